/* SPDX-License-Identifier: BSD-2-Clause */
#include "driver_ring_bed.h"

#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MEMORY_BYTES  (2u << 20)
#define BUFFER_BYTES  4096u
#define BUFFER_ALIGN  64u
#define SEGMENT_STEP  64u
#define SEGMENT_BYTES 10u /* of the first */

int bed_setup(void **state)
{
	static struct bed bed;
	struct guest_memory_config config = { .size = MEMORY_BYTES, .region_count = 1 };
	struct fail fail;

	memset(&bed, 0, sizeof(bed));
	bed.avail.wrap = bed.used.wrap = true;
	if (guest_memory_open(&bed.memory, &config, &fail) ||
	    driver_ring_open(&bed.ring, &bed.memory,
			     *state ? DRIVER_RING_PACKED : DRIVER_RING_SPLIT, BED_RING_SIZE,
			     &fail) ||
	    guest_memory_alloc(&bed.memory, BUFFER_BYTES, BUFFER_ALIGN, &bed.buffer, &fail))
		return -1;
	for (uint32_t i = 0; i < BED_SEGMENTS; i++)
		bed.segments[i] = (struct ring_segment){ bed.buffer.host + SEGMENT_STEP * i,
							 bed.buffer.gpa + SEGMENT_STEP * i,
							 SEGMENT_BYTES + i };
	*state = &bed;
	return 0;
}

int bed_teardown(void **state)
{
	struct bed *bed = *state;

	driver_ring_close(&bed->ring);
	guest_memory_close(&bed->memory);
	return 0;
}

void reset_gives_back_what_is_out(void **state)
{
	struct bed *bed = *state;
	uint32_t tokens[BED_RING_SIZE], token, len;

	for (uint32_t i = 0; i < 3; i++)
		assert_true(driver_ring_add(&bed->ring, bed->segments, 2, false, NULL, 100 + i) >=
			    0);
	driver_ring_publish(&bed->ring);
	assert_int_equal(driver_ring_reset(&bed->ring, tokens), 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(tokens[i], 100 + i);
	assert_int_equal(driver_ring_out(&bed->ring), 0);
	assert_int_equal(bed->ring.free_count, BED_RING_SIZE);
	assert_int_equal(bed->ring.home, bed->ring.serial);
	assert_int_equal(driver_ring_reap(&bed->ring, &token, &len), RING_NOTHING);
	for (uint32_t i = 0; i < BED_RING_SIZE; i++)
		assert_true(driver_ring_add(&bed->ring, bed->segments, 1, false, NULL, i) >= 0);
	driver_ring_publish(&bed->ring);
	assert_int_equal(driver_ring_out(&bed->ring), BED_RING_SIZE);
	assert_int_equal(driver_ring_reap(&bed->ring, &token, &len), RING_NOTHING);
}
