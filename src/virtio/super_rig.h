/* SPDX-License-Identifier: BSD-2-Clause */
/* A frame of a guest, for the tests of the cutter. */
#pragma once

#include "super_frame.h"

#include "mock_super.h"
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SEGS_MAX 1024u

/* In memory of its exact size, so that a sanitizer sees each byte too far. */
struct sent {
	struct gw_frame frame;
	uint8_t *bytes;
	struct iovec seg[SEGS_MAX];
};

/* The first `len` bytes, in segments of at most `step` bytes; 0: one. */
void sent_open(struct sent *sent, const struct mock_super *super, uint32_t len, uint32_t step);
void sent_close(struct sent *sent);
