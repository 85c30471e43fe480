/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The XDP program that brings the received frames of our queues to their sockets,
 * and leaves all other queues to the kernel.
 *
 * It is held by a BPF link, and the link by a descriptor of this process: when
 * that closes, by SIGKILL too, the program is off the interface. Nothing is
 * pinned. (libxdp's dispatcher would pin: that is why it is not used.) Twenty
 * instructions need no compiler.
 */
#pragma once

#include <guestwire/error.h>
#include <stdbool.h>
#include <stdint.h>

struct program {
	int map_fd, passed_fd, program_fd, link_fd; /* -1: none */
	int cpus;                                   /* that count, each for itself */
	bool native;                                /* in the driver; else generic, on copies */
};

#define PROGRAM_NONE                                                           \
	{                                                                      \
		.map_fd = -1, .passed_fd = -1, .program_fd = -1, .link_fd = -1 \
	}

/*
 * Loads and attaches, native first, for queues 0 to queues - 1. -EPERM without CAP_BPF
 * and CAP_NET_ADMIN, -EBUSY if the interface has a program already. Leaves *program
 * closed on failure.
 */
int program_attach(struct program *program, unsigned int ifindex, unsigned int queues,
		   struct gw_error *err);
/* Frames received on this queue go to this AF_XDP socket from now on. 0 or -errno. */
int program_point(struct program *program, unsigned int queue, int xsk_fd);
/* They pass to the kernel's own stack. 0 or -errno. */
int program_forget(struct program *program, unsigned int queue);
/* Frames received on this queue that passed to the kernel's own stack so far. */
uint64_t program_passed(const struct program *program, unsigned int queue);
/* Detaches. Safe on a closed one. */
void program_detach(struct program *program);
