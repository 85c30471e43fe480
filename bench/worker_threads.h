/* SPDX-License-Identifier: BSD-2-Clause */
/* A library's workers, as the kernel sees them: threads of this process. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define WORKER_THREADS_MAX 64u

/* Nanoseconds so far: on a processor, and waiting for one that others had. */
struct account {
	uint64_t ran_ns, waited_ns;
};

/*
 * Puts the thread of worker i, for each i below count, into tid[i], which is 0 before.
 * Threads that an earlier call found are others'. False: not all are there yet, since
 * a thread names itself, soon after it was made; call it again.
 */
bool worker_threads_find(int *tid, unsigned int count);
/* tid 0: this thread. */
bool worker_thread_pin(int tid, unsigned int processor);
bool worker_thread_account(int tid, struct account *account);
/* Of ran_ns, what was not in the kernel: in ticks of the clock, so for long runs only. */
bool worker_thread_user_ticks(int tid, uint64_t *ticks);
