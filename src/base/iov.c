/* SPDX-License-Identifier: BSD-2-Clause */
#include "iov.h"

#include <stdint.h>
#include <string.h>

/* The segment that holds byte *off, which becomes the byte's place in it. */
static const struct iovec *seek(const struct iovec *seg, size_t *off)
{
	for (; *off >= seg->iov_len; seg++)
		*off -= seg->iov_len;
	return seg;
}

void gw_iov_copy(const struct iovec *to, size_t to_off, const struct iovec *from, size_t from_off,
		 size_t len)
{
	while (len) {
		size_t part = len;

		to = seek(to, &to_off);
		from = seek(from, &from_off);
		if (part > to->iov_len - to_off)
			part = to->iov_len - to_off;
		if (part > from->iov_len - from_off)
			part = from->iov_len - from_off;
		memcpy((uint8_t *)to->iov_base + to_off, (const uint8_t *)from->iov_base + from_off,
		       part);
		to_off += part;
		from_off += part;
		len -= part;
	}
}
