/* SPDX-License-Identifier: BSD-2-Clause */
#include "strand.h"

#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#define STACK_BYTES   (512u * 1024u)
#define TLS_BYTES_MAX 512u
#define FRAMES_MAX    24
#define NS_PER_MS     1000000ull
#define NS_PER_S      1000000000ull
/* More than WORKER_SPIN_NS: a round that finds nothing is the last before sleep. */
#define ROUND_NS      20000ull
#define BEGIN_NS      (1000 * NS_PER_S)

enum wait { WAIT_NOT, WAIT_EPOLL, WAIT_POLL, WAIT_COND, WAIT_JOIN, WAIT_JOB, WAIT_OVER };

struct strand {
	ucontext_t context;
	void *stack;
	enum strand_role role;
	enum wait wait;
	int fd; /* EPOLL: the epoll's own */
	struct pollfd *polls;
	nfds_t poll_count;
	pthread_cond_t *cond; /* COND; NULL: it was told */
	unsigned int join;
	bool joined;          /* nobody asks for it any more */
	uint64_t deadline_ns; /* 0: waits for ever */
	void *(*fn)(void *arg);
	void *arg;
	uint64_t place;
	uint8_t tls[TLS_BYTES_MAX];
};

static struct strand strands[STRANDS_MAX];
static unsigned int count;
static int current = -1; /* -1: the test itself */
static bool active;
static ucontext_t test_context;
static uint64_t now_ns;
static void *round_site; /* the call of a worker that begins a round */
static void (*hand_job)(void *arg);
static void *hand_arg;

static void mistake(const char *what)
{
	fprintf(stderr, "strand: %s\n", what);
	abort();
}

/* ---- thread-local variables of the program, which are one thread's for the kernel ---- */

static struct {
	uint8_t *at;
	size_t bytes;
	uint8_t test[TLS_BYTES_MAX], fresh[TLS_BYTES_MAX];
} tls;

static int find_tls(struct dl_phdr_info *info, size_t size, void *arg)
{
	for (unsigned int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_TLS && info->dlpi_tls_data) {
			tls.at = info->dlpi_tls_data;
			tls.bytes = info->dlpi_phdr[i].p_memsz;
		}
	/* The program itself comes first; libraries keep theirs. */
	return 1;
}

static void tls_save(uint8_t *to)
{
	if (tls.bytes)
		memcpy(to, tls.at, tls.bytes);
}

static void tls_load(const uint8_t *from)
{
	if (tls.bytes)
		memcpy(tls.at, from, tls.bytes);
}

/* ---- switching ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	return (hash ^ word) * 0x9e3779b97f4a7c15ull >> 7 ^ (hash << 23 | hash >> 41);
}

/* The return addresses on the stack. A worker waits in two places only, by its kind of wait. */
static uint64_t place_of(const struct strand *strand)
{
	void *frames[FRAMES_MAX];
	uint64_t hash = strand->wait + 1;
	int n;

	if (strand->role == STRAND_WORKER)
		return hash;
	n = backtrace(frames, FRAMES_MAX);
	for (int i = 0; i < n; i++)
		hash = mix(hash, (uint64_t)(uintptr_t)frames[i]);
	return hash;
}

static void yield(enum wait wait)
{
	struct strand *strand = &strands[current];

	strand->wait = wait;
	strand->place = place_of(strand);
	swapcontext(&strand->context, &test_context);
}

static bool in_strand(void)
{
	if (active && current < 0)
		mistake("the test itself would block");
	return active;
}

static void strand_main(void)
{
	struct strand *strand = &strands[current];

	strand->fn(strand->arg);
	strand->wait = WAIT_OVER;
	/* uc_link is the test's. */
}

static unsigned int spawn(void *(*fn)(void *arg), void *arg, enum strand_role role)
{
	unsigned int i;
	struct strand *strand;
	void *stack;

	/* Chores come and go: the place of one that was joined is another's. */
	for (i = 0; i < count; i++)
		if (strands[i].wait == WAIT_OVER && strands[i].joined && strands[i].role == role)
			break;
	if (i == STRANDS_MAX)
		mistake("too many threads");
	count += i == count;
	strand = &strands[i];
	stack = strand->stack ? strand->stack : malloc(STACK_BYTES);
	*strand = (struct strand){ .role = role, .stack = stack, .fn = fn, .arg = arg };
	memcpy(strand->tls, tls.fresh, tls.bytes);
	getcontext(&strand->context);
	strand->context.uc_stack.ss_sp = stack;
	strand->context.uc_stack.ss_size = STACK_BYTES;
	strand->context.uc_link = &test_context;
	makecontext(&strand->context, strand_main, 0);
	return i;
}

static bool fds_ready(struct pollfd *polls, nfds_t n);

bool strand_can_run(unsigned int i)
{
	struct strand *strand = &strands[i];
	struct pollfd epoll = { .fd = strand->fd, .events = POLLIN };

	if (strand->wait == WAIT_OVER)
		return false;
	if (strand->deadline_ns && strand->deadline_ns <= now_ns)
		return true;
	switch (strand->wait) {
	case WAIT_NOT:
		return true;
	case WAIT_EPOLL:
		return fds_ready(&epoll, 1);
	case WAIT_POLL:
		return fds_ready(strand->polls, strand->poll_count);
	case WAIT_COND:
		return !strand->cond;
	case WAIT_JOIN:
		return strands[strand->join].wait == WAIT_OVER;
	case WAIT_JOB:
		return hand_job != NULL;
	case WAIT_OVER:
		break;
	}
	return false;
}

void strand_run(unsigned int i)
{
	tls_save(tls.test);
	tls_load(strands[i].tls);
	current = (int)i;
	swapcontext(&test_context, &strands[i].context);
	current = -1;
	tls_save(strands[i].tls);
	tls_load(tls.test);
}

/* ---- what the test asks ---- */

static void *hand_main(void *arg)
{
	for (;;) {
		while (!hand_job)
			yield(WAIT_JOB);
		hand_job(hand_arg);
		hand_job = NULL;
	}
	return NULL;
}

void strands_begin(void)
{
	if (!tls.at) {
		dl_iterate_phdr(find_tls, NULL);
		if (tls.bytes > TLS_BYTES_MAX)
			mistake("more thread-local variables than expected");
		tls_save(tls.fresh);
	}
	active = true;
	now_ns = BEGIN_NS;
	count = 0;
	hand_job = NULL;
	spawn(hand_main, NULL, STRAND_HAND);
	strand_run(0);
}

void strands_end(void)
{
	for (unsigned int i = 1; i < count; i++)
		if (strands[i].wait != WAIT_OVER)
			mistake("a thread is left");
	active = false;
}

void strand_give(void (*job)(void *arg), void *arg)
{
	if (hand_job)
		mistake("the hand is busy");
	hand_job = job;
	hand_arg = arg;
}

bool strand_idle(void)
{
	return !hand_job;
}

unsigned int strand_count(void)
{
	return count;
}

enum strand_role strand_role(unsigned int i)
{
	return strands[i].role;
}

bool strand_over(unsigned int i)
{
	return strands[i].wait == WAIT_OVER;
}

uint64_t strand_deadline_ns(void)
{
	uint64_t first = 0;

	for (unsigned int i = 0; i < count; i++) {
		const struct strand *strand = &strands[i];

		if (strand->wait == WAIT_OVER || strand->role == STRAND_WORKER ||
		    !strand->deadline_ns)
			continue;
		/* The front-end's patience with the back-end is the test's own deadline. */
		if (strand->role == STRAND_HAND && strand->wait == WAIT_POLL)
			continue;
		if (!first || strand->deadline_ns < first)
			first = strand->deadline_ns;
	}
	return first;
}

void strand_advance(uint64_t to_ns)
{
	if (to_ns > now_ns)
		now_ns = to_ns;
}

uint64_t strand_now_ns(void)
{
	return now_ns;
}

unsigned int strand_patience(unsigned int i)
{
	uint64_t deadline_ns = strands[i].deadline_ns;

	if (!deadline_ns)
		return 0;
	/* Rounds of a worker take a little, and do not matter. */
	return deadline_ns <= now_ns ? 1
				     : 2 + (unsigned int)((deadline_ns - now_ns + 5 * NS_PER_MS) /
							  (10 * NS_PER_MS));
}

uint64_t strand_place(unsigned int i)
{
	return strands[i].place;
}

/* ---- what the library calls (--wrap) ---- */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);
int __real_pthread_join(pthread_t thread, void **result);
pthread_t __real_pthread_self(void);
int __real_pthread_setname_np(pthread_t thread, const char *name);
int __real_pthread_kill(pthread_t thread, int number);
int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until);
int __real_pthread_cond_broadcast(pthread_cond_t *cond);
int __real_epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms);
int __real_epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
			const sigset_t *mask);
int __real_poll(struct pollfd *polls, nfds_t n, int timeout_ms);
int __real_madvise(void *at, size_t bytes, int advice);
int __real_clock_gettime(clockid_t clock, struct timespec *time);
uint64_t __real_gw_now_ns(void);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg);
int __wrap_pthread_join(pthread_t thread, void **result);
pthread_t __wrap_pthread_self(void);
int __wrap_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_pthread_kill(pthread_t thread, int number);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms);
int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
			const sigset_t *mask);
int __wrap_poll(struct pollfd *polls, nfds_t n, int timeout_ms);
int __wrap_madvise(void *at, size_t bytes, int advice);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
uint64_t __wrap_gw_now_ns(void);

/*
 * The engine's threads come in this order: workers, the control loop, chores. One
 * that asks for less stack than the default is no worker.
 */
static enum strand_role role_of(const pthread_attr_t *attr)
{
	if (!attr)
		return STRAND_WORKER;
	for (unsigned int i = 0; i < count; i++)
		if (strands[i].role == STRAND_CONTROL)
			return STRAND_CHORE;
	return STRAND_CONTROL;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg)
{
	if (!active)
		return __real_pthread_create(thread, attr, fn, arg);
	*thread = (pthread_t)spawn(fn, arg, role_of(attr));
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
	if (!in_strand())
		return __real_pthread_join(thread, result);
	strands[current].join = (unsigned int)thread;
	while (strands[thread].wait != WAIT_OVER)
		yield(WAIT_JOIN);
	strands[thread].joined = true;
	return 0;
}

pthread_t __wrap_pthread_self(void)
{
	return active && current >= 0 ? (pthread_t)current : __real_pthread_self();
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
	return active ? 0 : __real_pthread_setname_np(thread, name);
}

int __wrap_pthread_kill(pthread_t thread, int number)
{
	return active ? 0 : __real_pthread_kill(thread, number);
}

/* False: the time is over. */
static bool wait_for(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	struct strand *strand = &strands[current];

	pthread_mutex_unlock(mutex);
	strand->cond = cond;
	strand->deadline_ns = deadline_ns;
	yield(WAIT_COND);
	strand->deadline_ns = 0;
	pthread_mutex_lock(mutex);
	return !strand->cond;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	if (!in_strand())
		return __real_pthread_cond_wait(cond, mutex);
	wait_for(cond, mutex, 0);
	return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until)
{
	if (!in_strand())
		return __real_pthread_cond_timedwait(cond, mutex, until);
	return wait_for(cond, mutex, (uint64_t)until->tv_sec * NS_PER_S + (uint64_t)until->tv_nsec)
		       ? 0
		       : ETIMEDOUT;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	if (!active)
		return __real_pthread_cond_broadcast(cond);
	for (unsigned int i = 0; i < count; i++)
		if (strands[i].wait == WAIT_COND && strands[i].cond == cond)
			strands[i].cond = NULL;
	return 0;
}

static void wait_epoll(int fd, uint64_t deadline_ns)
{
	struct strand *strand = &strands[current];

	strand->fd = fd;
	strand->deadline_ns = deadline_ns;
	yield(WAIT_EPOLL);
	strand->deadline_ns = 0;
}

static uint64_t after_ms(int timeout_ms)
{
	return timeout_ms < 0 ? 0 : now_ns + (uint64_t)timeout_ms * NS_PER_MS;
}

int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms)
{
	if (!in_strand())
		return __real_epoll_wait(fd, events, max, timeout_ms);
	wait_epoll(fd, after_ms(timeout_ms));
	return __real_epoll_wait(fd, events, max, 0);
}

int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
			const sigset_t *mask)
{
	if (!in_strand())
		return __real_epoll_pwait2(fd, events, max, timeout, mask);
	wait_epoll(fd, timeout ? now_ns + (uint64_t)timeout->tv_sec * NS_PER_S +
					 (uint64_t)timeout->tv_nsec
			       : 0);
	return __real_epoll_wait(fd, events, max, 0);
}

static bool fds_ready(struct pollfd *polls, nfds_t n)
{
	return __real_poll(polls, n, 0) > 0;
}

int __wrap_poll(struct pollfd *polls, nfds_t n, int timeout_ms)
{
	struct strand *strand;

	if (!active || !timeout_ms || __real_poll(polls, n, 0) > 0)
		return __real_poll(polls, n, active ? 0 : timeout_ms);
	in_strand();
	strand = &strands[current];
	strand->polls = polls;
	strand->poll_count = n;
	strand->deadline_ns = after_ms(timeout_ms);
	yield(WAIT_POLL);
	strand->deadline_ns = 0;
	return __real_poll(polls, n, 0);
}

/* No witness of guest memory (src/mem/witness.h): it would be half of a run's time. */
int __wrap_madvise(void *at, size_t bytes, int advice)
{
	if (!active || advice != MADV_POPULATE_READ)
		return __real_madvise(at, bytes, advice);
	errno = ENOSYS;
	return -1;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	if (!active)
		return __real_clock_gettime(clock, time);
	time->tv_sec = (time_t)(now_ns / NS_PER_S);
	time->tv_nsec = (long)(now_ns % NS_PER_S);
	return 0;
}

uint64_t __wrap_gw_now_ns(void)
{
	void *site = __builtin_return_address(0);

	if (!active)
		return __real_gw_now_ns();
	if (current < 0 || strands[current].role != STRAND_WORKER)
		return now_ns;
	/* The first that a worker asks is what its round begins with. */
	if (!round_site)
		round_site = site;
	if (site == round_site) {
		yield(WAIT_NOT);
		now_ns += ROUND_NS;
	}
	return now_ns;
}
