/* SPDX-License-Identifier: BSD-2-Clause */
/* What strand.c, which switches, and strand_calls.c, where a thread blocks, share. */
#pragma once

#include "strand.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <ucontext.h>

#define TLS_BYTES_MAX 512u
#define NS_PER_MS     1000000ull
#define NS_PER_S      1000000000ull

/* What a strand waits for. */
enum wait { WAIT_NOT, WAIT_EPOLL, WAIT_POLL, WAIT_COND, WAIT_JOIN, WAIT_JOB, WAIT_OVER };

struct strand {
	ucontext_t context; /* in which it begins */
	jmp_buf here;       /* where it goes on */
	bool begun;
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
	bool can_run;      /* when it was looked at last */
	unsigned int naps; /* nanosleep() */
	uint8_t tls[TLS_BYTES_MAX];
};

struct strands {
	struct strand strand[STRANDS_MAX];
	unsigned int count;
	int current; /* -1: the test itself */
	bool active;
	uint64_t now_ns;
};

extern struct strands strands;

unsigned int strand_spawn(void *(*fn)(void *arg), void *arg, enum strand_role role);
/* The one that runs waits. */
void strand_yield(enum wait wait);
/* False: there are no strands now. The test itself must not come here. */
bool strand_inside(void);

static inline struct strand *strand_current(void)
{
	return &strands.strand[strands.current];
}

/* strand_calls.c: the kernel's own answer. */
bool strand_fds_ready(struct pollfd *polls, nfds_t n);
