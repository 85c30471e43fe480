/* SPDX-License-Identifier: BSD-2-Clause */
#include "apart.h"

#include <stdlib.h>
#include <string.h>

void *gw_alloc_apart(size_t bytes)
{
	size_t whole = (bytes + GW_APART_BYTES - 1) & -(size_t)GW_APART_BYTES;
	void *memory = aligned_alloc(GW_APART_BYTES, whole);

	return memory ? memset(memory, 0, whole) : NULL;
}
