/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that tests make memmaps of. */
#pragma once

#include "memmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PAGE        4096u
#define FILE_BYTES  (64u * PAGE)
#define USER_OFFSET 0x7f1200000000ull
#define NO_ARENA    ((struct memmap_arena){ .fd = -1 })

/* A file of FILE_BYTES in which every page begins with its number. */
struct fixture {
	int fd;
	uint8_t *view;
	struct memmap_region region;
	struct gw_memmap *memmap;
	struct gw_error err;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);
#define MEMMAP_TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

/* The memmap of a good table. */
void fixture_make(struct fixture *f, const struct memmap_region *regions, unsigned int count);
/* There is none, and the error says this. */
void fixture_refused(struct fixture *f, const struct memmap_region *regions, unsigned int count,
		     const char *why);
