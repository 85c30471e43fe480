/* SPDX-License-Identifier: BSD-2-Clause */
/* Chains that runs are made of, for the tests of runs; on top of ring_test_rig.h. */
#pragma once

#include "ring_test_rig.h"

#define RUN_MAX 16u
#define ADDR    0x5000ull
#define LEN     60u

/* A chain of one buffer; returns its head. Not offered. */
int linear_at(struct rig *rig, uint64_t addr, uint32_t len);
/* Offers one of LEN bytes, not published; the number decides where it lies. Returns its head. */
uint16_t offer_linear(struct rig *rig, unsigned int number);
/* The same count times, and published. */
void offer_many(struct rig *rig, unsigned int count);

/* Of max, ring_pop_run takes count. */
void run_is(struct rig *rig, unsigned int max, unsigned int count);
/* Pops a run, puts it back, and has ring_pop find the same. */
void run_is_what_pop_finds(struct rig *rig, unsigned int count);
