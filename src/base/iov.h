/* SPDX-License-Identifier: BSD-2-Clause */
/* Copying between lists of segments. */
#pragma once

#include <stddef.h>
#include <sys/uio.h>

/*
 * Copies len bytes: from `from_off` bytes into from[] to `to_off` bytes into to[].
 * Both have that much.
 */
void gw_iov_copy(const struct iovec *to, size_t to_off, const struct iovec *from, size_t from_off,
		 size_t len);
