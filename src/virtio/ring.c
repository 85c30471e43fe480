/* SPDX-License-Identifier: BSD-2-Clause */
/* What does not depend on the ring's layout. */
#include "ring.h"

#define FAULT_NAME(id, name, text) [id] = name,
#define FAULT_TEXT(id, name, text) [id] = text,

const char *ring_fault_name(enum ring_fault fault)
{
	static const char *const names[] = { [RING_FAULT_NONE] = "none", RING_FAULTS(FAULT_NAME) };

	return (unsigned int)fault < RING_FAULT_COUNT ? names[fault] : "unknown";
}

const char *ring_fault_text(enum ring_fault fault)
{
	static const char *const texts[] = { [RING_FAULT_NONE] = "no rule was broken",
					     RING_FAULTS(FAULT_TEXT) };

	return (unsigned int)fault < RING_FAULT_COUNT ? texts[fault] : "unknown";
}
