/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that one thread writes to all the time, and that no other is to feel.
 *
 * What lies in one cache line with it has to be fetched anew after each store, even if it never
 * changes. Two workers' structs from calloc are neighbours, so the end of one, where it counts its
 * rounds, is in a line with what the other one reads in each round.
 */
#pragma once

#include <stddef.h>

/* Lines are fetched in pairs. */
#define GW_APART_BYTES 128u

/* Zeroed, in lines that nothing else is in; free() frees it. NULL: no memory. */
void *gw_alloc_apart(size_t bytes);
