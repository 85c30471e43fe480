/* SPDX-License-Identifier: BSD-2-Clause */
/* What the library calls to make threads, to wait and to know the time (--wrap, meson.build). */
#include "strand_inside.h"
#include "waiting.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>

#define ROUND_NS 20000ull
#define NAP_NS   (30 * NS_PER_MS)

/* The library's call comes to __wrap_, the libc's function is __real_. */
#define WRAPPED(type, name, ...)         \
	type __real_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__)

WRAPPED(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
	void *arg);
WRAPPED(int, pthread_join, pthread_t thread, void **result);
WRAPPED(pthread_t, pthread_self, void);
WRAPPED(int, pthread_setname_np, pthread_t thread, const char *name);
WRAPPED(int, pthread_kill, pthread_t thread, int number);
WRAPPED(int, pthread_cond_wait, pthread_cond_t *cond, pthread_mutex_t *mutex);
WRAPPED(int, pthread_cond_timedwait, pthread_cond_t *cond, pthread_mutex_t *mutex,
	const struct timespec *until);
WRAPPED(int, pthread_cond_broadcast, pthread_cond_t *cond);
WRAPPED(int, pthread_cond_signal, pthread_cond_t *cond);
WRAPPED(int, nanosleep, const struct timespec *pause, struct timespec *rest);
WRAPPED(int, epoll_wait, int fd, struct epoll_event *events, int max, int timeout_ms);
WRAPPED(int, epoll_pwait2, int fd, struct epoll_event *events, int max,
	const struct timespec *timeout, const sigset_t *mask);
WRAPPED(int, poll, struct pollfd *polls, nfds_t n, int timeout_ms);
WRAPPED(int, madvise, void *at, size_t bytes, int advice);
WRAPPED(int, clock_gettime, clockid_t clock, struct timespec *time);
WRAPPED(uint64_t, gw_now_ns, void);
WRAPPED(void, waiting_round, struct waiting *waiting, uint64_t now_ns);

/*
 * The engine's threads come in this order: workers, the control loop, chores. One
 * that asks for less stack than the default is no worker.
 */
static enum strand_role role_of(const pthread_attr_t *attr)
{
	if (!attr)
		return STRAND_WORKER;
	for (unsigned int i = 0; i < strands.count; i++)
		if (strands.strand[i].role == STRAND_CONTROL)
			return STRAND_CHORE;
	return STRAND_CONTROL;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
			  void *arg)
{
	if (!strands.active)
		return __real_pthread_create(thread, attr, fn, arg);
	*thread = (pthread_t)strand_spawn(fn, arg, role_of(attr));
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
	if (!strand_inside())
		return __real_pthread_join(thread, result);
	strand_current()->join = (unsigned int)thread;
	while (strands.strand[thread].wait != WAIT_OVER)
		strand_yield(WAIT_JOIN);
	strands.strand[thread].joined = true;
	return 0;
}

pthread_t __wrap_pthread_self(void)
{
	return strands.active && strands.current >= 0 ? (pthread_t)strands.current
						      : __real_pthread_self();
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
	return strands.active ? 0 : __real_pthread_setname_np(thread, name);
}

int __wrap_pthread_kill(pthread_t thread, int number)
{
	return strands.active ? 0 : __real_pthread_kill(thread, number);
}

/* False: the time is over. */
static bool wait_for(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns)
{
	struct strand *strand = strand_current();

	pthread_mutex_unlock(mutex);
	strand->cond = cond;
	strand->deadline_ns = deadline_ns;
	strand_yield(WAIT_COND);
	strand->deadline_ns = 0;
	pthread_mutex_lock(mutex);
	return !strand->cond;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	if (!strand_inside())
		return __real_pthread_cond_wait(cond, mutex);
	wait_for(cond, mutex, 0);
	return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
				  const struct timespec *until)
{
	if (!strand_inside())
		return __real_pthread_cond_timedwait(cond, mutex, until);
	return wait_for(cond, mutex, (uint64_t)until->tv_sec * NS_PER_S + (uint64_t)until->tv_nsec)
		       ? 0
		       : ETIMEDOUT;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	if (!strands.active)
		return __real_pthread_cond_broadcast(cond);
	for (unsigned int i = 0; i < strands.count; i++)
		if (strands.strand[i].wait == WAIT_COND && strands.strand[i].cond == cond)
			strands.strand[i].cond = NULL;
	return 0;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	return strands.active ? __wrap_pthread_cond_broadcast(cond)
			      : __real_pthread_cond_signal(cond);
}

/*
 * Who looks again and again gives the others a turn, and as his time is what ends that, he
 * has a few of them only.
 */
int __wrap_nanosleep(const struct timespec *pause, struct timespec *rest)
{
	if (!strand_inside())
		return __real_nanosleep(pause, rest);
	strand_current()->naps++;
	strand_yield(WAIT_NOT);
	strands.now_ns += NAP_NS;
	return 0;
}

static void wait_epoll(int fd, uint64_t deadline_ns)
{
	struct strand *strand = strand_current();

	strand->fd = fd;
	strand->deadline_ns = deadline_ns;
	strand_yield(WAIT_EPOLL);
	strand->deadline_ns = 0;
}

bool strand_fds_ready(struct pollfd *polls, nfds_t n)
{
	return __real_poll(polls, n, 0) > 0;
}

static uint64_t after_ms(int timeout_ms)
{
	return timeout_ms < 0 ? 0 : strands.now_ns + (uint64_t)timeout_ms * NS_PER_MS;
}

int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout_ms)
{
	if (!strand_inside())
		return __real_epoll_wait(fd, events, max, timeout_ms);
	wait_epoll(fd, after_ms(timeout_ms));
	return __real_epoll_wait(fd, events, max, 0);
}

int __wrap_epoll_pwait2(int fd, struct epoll_event *events, int max, const struct timespec *timeout,
			const sigset_t *mask)
{
	if (!strand_inside())
		return __real_epoll_pwait2(fd, events, max, timeout, mask);
	wait_epoll(fd, timeout ? strands.now_ns + (uint64_t)timeout->tv_sec * NS_PER_S +
					 (uint64_t)timeout->tv_nsec
			       : 0);
	return __real_epoll_wait(fd, events, max, 0);
}

int __wrap_poll(struct pollfd *polls, nfds_t n, int timeout_ms)
{
	struct strand *strand;

	if (!strands.active || !timeout_ms || strand_fds_ready(polls, n))
		return __real_poll(polls, n, strands.active ? 0 : timeout_ms);
	strand_inside();
	strand = strand_current();
	strand->polls = polls;
	strand->poll_count = n;
	strand->deadline_ns = after_ms(timeout_ms);
	strand_yield(WAIT_POLL);
	strand->deadline_ns = 0;
	return __real_poll(polls, n, 0);
}

/* No witness of guest memory (src/mem/witness.h): it would be half of a run's time. */
int __wrap_madvise(void *at, size_t bytes, int advice)
{
	if (!strands.active || advice != MADV_POPULATE_READ)
		return __real_madvise(at, bytes, advice);
	errno = ENOSYS;
	return -1;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	if (!strands.active)
		return __real_clock_gettime(clock, time);
	time->tv_sec = (time_t)(strands.now_ns / NS_PER_S);
	time->tv_nsec = (long)(strands.now_ns % NS_PER_S);
	return 0;
}

uint64_t __wrap_gw_now_ns(void)
{
	return strands.active ? strands.now_ns : __real_gw_now_ns();
}

/* Here, with its commands done and its ports not yet visited, a worker gives the hand back. */
void __wrap_waiting_round(struct waiting *waiting, uint64_t now_ns)
{
	if (strands.active) {
		strand_yield(WAIT_NOT);
		strands.now_ns += ROUND_NS;
	}
	__real_waiting_round(waiting, now_ns);
}
