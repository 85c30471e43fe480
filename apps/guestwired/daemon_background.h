/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#include <guestwire/error.h>

/*
 * A daemon in the background: the process that was started ends when the daemon is
 * ready, or with the daemon's exit status if it never is.
 *
 * The daemon is no child of the one that ends, but of whoever takes orphans: init, or
 * the service manager, which hears of its end.
 */

/*
 * While there is one thread. 0 in the daemon, and *fd is for daemon_background_tell; the
 * process that was started does not return. Or -errno.
 */
int daemon_background(int *fd, struct gw_error *err);
/* The exit status of the process that waits; once. -1 is fine: nobody waits. */
void daemon_background_tell(int *fd, int status);
