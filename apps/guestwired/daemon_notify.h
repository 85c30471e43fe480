/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Tells the service manager, as sd_notify(3) describes it: one datagram with
 * "READY=1", "STOPPING=1" ... to the socket that NOTIFY_SOCKET names. 0 (also if
 * nobody wants to know) or -errno.
 */
int daemon_notify(const char *state);
