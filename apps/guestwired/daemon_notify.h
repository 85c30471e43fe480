/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Tells the service manager how we are, as sd_notify(3) describes it: one datagram with
 * "READY=1", "STOPPING=1" ... to the socket that NOTIFY_SOCKET names.
 */

/*
 * Before rights are given up: the user that we become may have no way to that socket.
 * 0, and *fd is where to tell (-1: nobody wants to know); or -errno.
 */
int daemon_notify_open(int *fd);
/* 0 (also if nobody wants to know) or -errno. */
int daemon_notify(int *fd, const char *state);
