/* SPDX-License-Identifier: BSD-2-Clause */
/* The listening control socket as a thing in the file system: made, and removed. */
#pragma once

#include "control_path.h"

#include <stdbool.h>
#include <sys/types.h>

struct control_listener {
	int fd; /* -1: closed */
	char path[CONTROL_PATH_BYTES];
	dev_t dev; /* of the socket's file, so that only our own is removed */
	ino_t ino; /* 0: it is another process's */
};

/*
 * Binds and listens, mode 0600. A socket that is left over from a dead daemon is
 * replaced; one that somebody listens on is -EADDRINUSE, and what is no socket
 * is -EEXIST and not touched.
 */
int control_listener_open(struct control_listener *listener, const char *path,
			  struct gw_error *err);
/*
 * Takes fd, on which another process has listened at that path. The file is that process's
 * before control_listener_own.
 */
void control_listener_adopt(struct control_listener *listener, const char *path, int fd);
/* The file, and what comes, is ours from here on; and no longer. */
int control_listener_own(struct control_listener *listener, struct gw_error *err);
void control_listener_disown(struct control_listener *listener);
/*
 * After -EADDRINUSE: waits for a process that listens there and is already on its way out.
 * (One that was killed listens until the memory of its guests is no longer pinned, which
 * takes a second or two.) False: it lives, or is not gone in time. May block.
 */
bool control_listener_ends(const char *path, unsigned int timeout_ms);
/* Removes the file if it is still ours. Closed ones are fine. */
void control_listener_close(struct control_listener *listener);
