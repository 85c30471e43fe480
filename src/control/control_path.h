/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the control socket lies. Daemon and CLI ask here, so that they agree. */
#pragma once

#include <guestwire/error.h>
#include <stddef.h>
#include <sys/un.h>

/* Longest path of a unix socket with its ending 0; the kernel's limit. */
#define CONTROL_PATH_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

/*
 * The path when nobody names one: /run/guestwire.sock for root,
 * $XDG_RUNTIME_DIR/guestwire.sock for others. -ENOENT if that variable is
 * missing or no absolute path, -ENAMETOOLONG.
 */
int control_default_path(char *path, size_t path_bytes, struct gw_error *err);

/* The socket address of a path. -EINVAL for an empty one, -ENAMETOOLONG. */
int control_address(const char *path, struct sockaddr_un *address, struct gw_error *err);
