/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests of record_file.c: a directory for the file, a guest's ring that it is about,
 * and a daemon that is killed.
 */
#pragma once

#include "mock_driver.h"
#include "record_file.h"

#define RECORD_RIG_RINGS  4u
#define RECORD_RIG_SOCKET "/tmp/guest a.sock"
#define RECORD_RIG_SIZE   8u /* of the ring */
#define RECORD_RIG_ADDR   0x2000ull
#define RECORD_RIG_MEMORY 0x10000ull /* bytes */

struct record_rig {
	char dir[64];
	int dir_fd;
	struct mock_memory memory;
	struct mock_driver driver;
	struct ring_config config;
};

/* Of a case, for cmocka; *state is the rig. */
int record_rig_setup(void **state);
int record_rig_teardown(void **state);

/* The path of the one file in the directory; false if there is none. */
bool record_rig_find(const struct record_rig *f, char *path, size_t size);
/* The same as a question, without a process of its own. */
bool record_rig_has_file(const struct record_rig *f);
/* The file, opened; closed by the caller. */
struct record_file *record_rig_file(const struct record_rig *f);
/* As a ring does that finds nothing to go on with. */
void record_rig_begin(void *record, const struct ring_config *config);
/* Starts ring 1: does it go on with what was? */
bool record_rig_continues(struct record_file *file, const struct ring_config *config);
/* A daemon that starts ring 1 and is killed; what it does before, in between. */
void record_rig_die(const struct record_rig *f, void (*live)(const struct record_rig *, void *));
/*
 * The driver makes five chains available, and says which (heads may be NULL). Of those a
 * life takes three: one is given back, and one more without its being shown.
 */
void record_rig_offer_five(struct record_rig *f, int *heads);
void record_rig_take_three(const struct record_rig *f, void *record);
