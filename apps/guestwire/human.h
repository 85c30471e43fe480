/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers and foreign text for people's eyes. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HUMAN_BYTES 24

/* A formatted number, by value so that several fit into one printf. */
struct human {
	char text[HUMAN_BYTES];
};

/* "9999", "12.3 k", "4.56 M": whole below 10000, then three digits. */
struct human human_count(uint64_t count);
/* "999 B", "1.43 MiB". */
struct human human_bytes(uint64_t bytes);
/* "850 ns", "1.25 us", "3.20 ms", "12.0 s". */
struct human human_time(uint64_t ns);
/* part of whole: "99.2 %"; "" if whole is 0. 100 % and 0 % are said only when they are exact. */
struct human human_percent(uint64_t part, uint64_t whole);

/* Copies text with '?' for control characters: names and paths must not drive the terminal. */
void human_clean(char *dst, size_t dst_bytes, const char *text);
/* The same, printed: whole, however long it is. */
void human_print(FILE *out, const char *text);
