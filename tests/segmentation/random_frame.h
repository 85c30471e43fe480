/* SPDX-License-Identifier: BSD-2-Clause */
/* Super-frames of all kinds, by chance: the same for the same seed. */
#pragma once

#include "ip_frame.h"
#include <guestwire/driver.h>
#include <stdint.h>

/* xorshift64; not 0. */
uint64_t random_next(uint64_t *state);
/* 0 to below - 1. */
uint32_t random_below(uint64_t *state, uint32_t below);

/* At most RANDOM_PIECES_MAX frames of TCP, 128 of UDP (the kernel takes no more). */
#define RANDOM_PIECES_MAX 300u
void random_frame(uint64_t *state, struct ip_frame *frame);
/* Cuts memory of len bytes into up to max segments, none empty. */
unsigned int random_segments(uint64_t *state, uint8_t *bytes, uint32_t len, struct iovec *seg,
			     unsigned int max);
