/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program for real guests: what an application does that knows which of its
 * pages it sends. Built statically, and put into the guest's image by the tests.
 *
 * It prints lines for machines, "WORD NAME=VALUE ...", and ends with status 0 if
 * everything was sent and every completion came.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- pages (guest_pages.c) ---- */

/* Anonymous memory of its own, every page touched and locked; ends the program if it fails. */
void *pages_alloc(size_t bytes);
/* Word i of a stream: what is sent can be told by place and seed. */
void pages_fill(void *memory, size_t bytes, uint64_t seed, uint64_t first_word);
/* The frame number of the page that address is in, as the guest's kernel counts. */
uint64_t pages_frame(const void *address);
/* A line "page offset=N gfn=0xN" for each page of the memory. */
void pages_print(const void *memory, size_t bytes);

/* ---- sending with MSG_ZEROCOPY (guest_zerocopy.c) ---- */

struct zerocopy {
	int fd;
	uint32_t sent;      /* calls */
	uint32_t completed; /* of them */
	uint32_t copied;    /* of those: the kernel says that it copied */
};

void zerocopy_open(struct zerocopy *zc, int kind, const char *address, const char *port);
/* All of the bytes. Memory is the kernel's until the completion. */
void zerocopy_send(struct zerocopy *zc, const void *bytes, size_t len);
/* Reads the completions that are there. */
void zerocopy_read(struct zerocopy *zc);
/* Reads completions until at most `left` are open. */
void zerocopy_wait(struct zerocopy *zc, uint32_t left);
/* After the last byte: the peer closes, too; so all of it has arrived. */
void zerocopy_finish(struct zerocopy *zc);

/* ---- commands that have a file of their own ---- */

void duplex(char **arg);
void flood(char **arg);

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);
