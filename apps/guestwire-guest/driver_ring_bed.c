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
#define AVAIL_BIT     (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT      (1u << VRING_PACKED_DESC_F_USED)
#define KINDS         (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)

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

static bool is_packed(const struct bed *bed)
{
	return bed->ring.kind == DRIVER_RING_PACKED;
}

static void advance(struct place *place, uint32_t count)
{
	place->slot += (uint16_t)count;
	if (place->slot < BED_RING_SIZE)
		return;
	place->slot -= BED_RING_SIZE;
	place->wrap = !place->wrap;
}

static bool take_packed(struct bed *bed, struct bed_taken *taken)
{
	const struct vring_packed_desc *d = &bed->ring.packed.desc[bed->avail.slot];
	bool avail = d->flags & AVAIL_BIT, used = d->flags & USED_BIT;

	if (avail != bed->avail.wrap || used == bed->avail.wrap)
		return false;
	*taken = (struct bed_taken){ d->addr, d->id, d->len, d->flags & KINDS };
	advance(&bed->avail, 1);
	return true;
}

bool bed_take(struct bed *bed, struct bed_taken *taken)
{
	const struct driver_ring *ring = &bed->ring;
	const struct vring_desc *d;
	uint16_t head;

	if (is_packed(bed))
		return take_packed(bed, taken);
	if (bed->avail.slot == ring->avail->idx)
		return false;
	head = ring->avail->ring[bed->avail.slot++ % BED_RING_SIZE];
	d = &ring->desc[head];
	*taken = (struct bed_taken){ d->addr, head, d->len, d->flags };
	return true;
}

void bed_use(struct bed *bed, uint32_t id, uint32_t len, uint32_t count)
{
	struct vring_used *used = bed->ring.used;
	struct vring_packed_desc *d;

	if (!is_packed(bed)) {
		used->ring[used->idx % BED_RING_SIZE] = (struct vring_used_elem){ id, len };
		used->idx += (uint16_t)count;
		return;
	}
	d = &bed->ring.packed.desc[bed->used.slot];
	d->id = (uint16_t)id;
	d->len = len;
	d->flags = bed->used.wrap ? AVAIL_BIT | USED_BIT : 0;
	advance(&bed->used, count);
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
