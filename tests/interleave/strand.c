/* SPDX-License-Identifier: BSD-2-Clause */
/* Stacks, and who runs on them. Where a thread blocks, it comes to strand_calls.c. */
#undef _FORTIFY_SOURCE /* to it a jump to another stack is a fault */
#include "strand.h"

#include "strand_inside.h"
#include <execinfo.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK_BYTES (512u * 1024u)
#define FRAMES_MAX  24
#define POLLS_MAX   64u
#define BEGIN_NS    (1000 * NS_PER_S)

struct strands strands = { .current = -1 };

static jmp_buf test_here;
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

/* ---- switching: swapcontext() is two system calls each time ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	return (hash ^ word) * 0x9e3779b97f4a7c15ull >> 7 ^ (hash << 23 | hash >> 41);
}

/* The return addresses on the stack. A worker waits in two places only, by its kind of wait. */
static uint64_t place_of(const struct strand *strand)
{
	void *frames[FRAMES_MAX];
	uint64_t hash = strand->wait + 1 + ((uint64_t)strand->naps << 8);
	int n;

	if (strand->role == STRAND_WORKER)
		return hash;
	n = backtrace(frames, FRAMES_MAX);
	for (int i = 0; i < n; i++)
		hash = mix(hash, (uint64_t)(uintptr_t)frames[i]);
	return hash;
}

void strand_yield(enum wait wait)
{
	struct strand *strand = strand_current();

	strand->wait = wait;
	strand->place = place_of(strand);
	if (!_setjmp(strand->here))
		_longjmp(test_here, 1);
}

bool strand_inside(void)
{
	if (strands.active && strands.current < 0)
		mistake("the test itself would block");
	return strands.active;
}

static void strand_main(void)
{
	struct strand *strand = strand_current();

	strand->fn(strand->arg);
	strand->wait = WAIT_OVER;
	_longjmp(test_here, 1);
}

/* By itself: to a compiler getcontext returns twice, with what the caller has in registers lost. */
static void make_context(struct strand *strand)
{
	getcontext(&strand->context);
	strand->context.uc_stack.ss_sp = strand->stack;
	strand->context.uc_stack.ss_size = STACK_BYTES;
	strand->context.uc_link = NULL; /* it never returns */
	makecontext(&strand->context, strand_main, 0);
}

/* Chores come and go: the place of one that was joined is another's. */
static unsigned int free_place(enum strand_role role)
{
	unsigned int i;

	for (i = 0; i < strands.count; i++)
		if (strands.strand[i].wait == WAIT_OVER && strands.strand[i].joined &&
		    strands.strand[i].role == role)
			return i;
	if (i == STRANDS_MAX)
		mistake("too many threads");
	strands.count++;
	return i;
}

unsigned int strand_spawn(void *(*fn)(void *arg), void *arg, enum strand_role role)
{
	unsigned int i = free_place(role);
	struct strand *strand = &strands.strand[i];
	void *stack = strand->stack ? strand->stack : malloc(STACK_BYTES);

	*strand = (struct strand){ .role = role, .stack = stack, .fn = fn, .arg = arg };
	memcpy(strand->tls, tls.fresh, tls.bytes);
	make_context(strand);
	return i;
}

/* What the kernel is asked about, and for whom. */
struct question {
	struct pollfd polls[POLLS_MAX];
	struct strand *of[POLLS_MAX];
	unsigned int count;
};

static void ask(struct question *question, struct strand *strand, const struct pollfd *polls,
		nfds_t count)
{
	if (count > POLLS_MAX - question->count)
		mistake("too many descriptors");
	for (nfds_t k = 0; k < count; k++) {
		question->polls[question->count] = polls[k];
		question->of[question->count++] = strand;
	}
}

/* As far as it can be told without the kernel. */
static bool can_run(struct strand *strand, struct question *question)
{
	const struct pollfd epoll = { .fd = strand->fd, .events = POLLIN };

	if (strand->wait == WAIT_OVER)
		return false;
	if (strand->deadline_ns && strand->deadline_ns <= strands.now_ns)
		return true;
	switch (strand->wait) {
	case WAIT_NOT:
		return true;
	case WAIT_EPOLL:
		ask(question, strand, &epoll, 1);
		break;
	case WAIT_POLL:
		ask(question, strand, strand->polls, strand->poll_count);
		break;
	case WAIT_COND:
		return !strand->cond;
	case WAIT_JOIN:
		return strands.strand[strand->join].wait == WAIT_OVER;
	case WAIT_JOB:
		return hand_job != NULL;
	case WAIT_OVER:
		break;
	}
	return false;
}

void strands_look(void)
{
	struct question question;

	question.count = 0;
	for (unsigned int i = 0; i < strands.count; i++)
		strands.strand[i].can_run = can_run(&strands.strand[i], &question);
	if (!question.count || !strand_fds_ready(question.polls, question.count))
		return;
	for (unsigned int k = 0; k < question.count; k++)
		if (question.polls[k].revents)
			question.of[k]->can_run = true;
}

bool strand_can_run(unsigned int i)
{
	return strands.strand[i].can_run;
}

/* Until it yields. By itself: setjmp returns twice. */
static void go_on(struct strand *strand)
{
	if (_setjmp(test_here))
		return;
	if (strand->begun)
		_longjmp(strand->here, 1);
	strand->begun = true;
	setcontext(&strand->context);
}

void strand_run(unsigned int i)
{
	tls_save(tls.test);
	tls_load(strands.strand[i].tls);
	strands.current = (int)i;
	go_on(&strands.strand[i]);
	strands.current = -1;
	tls_save(strands.strand[i].tls);
	tls_load(tls.test);
}

/* ---- what the test asks ---- */

static void *hand_main(void *arg)
{
	for (;;) {
		while (!hand_job)
			strand_yield(WAIT_JOB);
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
	strands.active = true;
	strands.now_ns = BEGIN_NS;
	strands.count = 0;
	hand_job = NULL;
	strand_spawn(hand_main, NULL, STRAND_HAND);
	strand_run(0);
}

void strands_end(void)
{
	for (unsigned int i = 1; i < strands.count; i++)
		if (strands.strand[i].wait != WAIT_OVER)
			mistake("a thread is left");
	strands.active = false;
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
	return strands.count;
}

enum strand_role strand_role(unsigned int i)
{
	return strands.strand[i].role;
}

bool strand_over(unsigned int i)
{
	return strands.strand[i].wait == WAIT_OVER;
}

uint64_t strand_deadline_ns(void)
{
	uint64_t first = 0;

	for (unsigned int i = 0; i < strands.count; i++) {
		const struct strand *strand = &strands.strand[i];

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
	if (to_ns > strands.now_ns)
		strands.now_ns = to_ns;
}

uint64_t strand_now_ns(void)
{
	return strands.now_ns;
}

unsigned int strand_patience(unsigned int i)
{
	uint64_t deadline_ns = strands.strand[i].deadline_ns;

	if (!deadline_ns)
		return 0;
	/* Rounds of a worker take a little, and do not matter. */
	return deadline_ns <= strands.now_ns
		       ? 1
		       : 2 + (unsigned int)((deadline_ns - strands.now_ns + 5 * NS_PER_MS) /
					    (10 * NS_PER_MS));
}

uint64_t strand_place(unsigned int i)
{
	return strands.strand[i].place;
}
