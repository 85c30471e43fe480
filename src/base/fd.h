/* SPDX-License-Identifier: BSD-2-Clause */
/* File descriptors: close once, eventfds, memfds. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Closes *fd if it is >= 0 and sets it to -1. errno is kept. */
void gw_fd_close(int *fd);
/* Closes all and sets them to -1. */
void gw_fds_close(int *fds, unsigned int count);
/* Non-blocking, close-on-exec eventfd; or -errno. */
int gw_eventfd(void);
/*
 * 0, or -EINTR: it blocked until a signal came. That happens only with a
 * descriptor that somebody else has a hand on: he made it blocking and filled its
 * counter.
 */
int gw_eventfd_signal(int fd);
/* Reads it to zero. */
void gw_eventfd_clear(int fd);
/* A memfd of size bytes, sealed against shrinking and growing; or -errno. */
int gw_memfd(const char *name, size_t size);
