/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dirty log of a migration, and what has to be in it (vhost-user, "Migration").
 *
 * A bitmap in a file that the back-end maps, a bit for each page of guest physical
 * memory. As QEMU does, we take bits away while it runs, each word at once, and keep
 * them; so a back-end that does not set them with an atomic OR loses some.
 *
 * What must be marked is known without comparing memory: whenever the rings see an element
 * that the device wrote, its page, the page of the index, and those of received bytes
 * are noted. What may be marked: receive buffers, and the device's parts of rings. A
 * mark on any other page is superfluous: a page that is only read.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "fail.h"
#include "guest_memory.h"

struct guest_log {
	int fd;
	uint64_t bytes; /* of the bitmap */
	uint64_t *shared;
	uint64_t *seen; /* what was ever taken from it */
	uint64_t *must, *may;
	bool on; /* the back-end logs: what it writes is noted */
};

struct guest_log_result {
	uint64_t written, missing, superfluous; /* pages */
};

int guest_log_open(struct guest_log *log, const struct guest_memory *memory, struct fail *fail);
void guest_log_close(struct guest_log *log);

/* NULL is no log. The device wrote this, and we saw it. */
void guest_log_must(struct guest_log *log, uint64_t gpa, uint64_t len);
/* It may write this. */
void guest_log_may(struct guest_log *log, uint64_t gpa, uint64_t len);
/* Takes what is marked by now. */
void guest_log_take(struct guest_log *log);
struct guest_log_result guest_log_judge(struct guest_log *log);
