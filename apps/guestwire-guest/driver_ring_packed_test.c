/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's packed ring against a small device that goes by VIRTIO 1.2 section 2.8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver_ring_bed.h"

#define AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT  (1u << VRING_PACKED_DESC_F_USED)
#define KINDS     (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)
#define TURNS     20000u

struct chain {
	uint16_t id, count, first;
};

/* ---- the device ---- */

static void advance(struct place *place, uint16_t count)
{
	place->slot += count;
	if (place->slot < BED_RING_SIZE)
		return;
	place->slot -= BED_RING_SIZE;
	place->wrap = !place->wrap;
}

static bool take(struct bed *bed, struct chain *chain)
{
	struct vring_packed_desc *d = &bed->ring.packed.desc[bed->avail.slot];

	if (!!(d->flags & AVAIL_BIT) != bed->avail.wrap ||
	    !!(d->flags & USED_BIT) == bed->avail.wrap)
		return false;
	*chain = (struct chain){ .first = bed->avail.slot };
	do {
		d = &bed->ring.packed.desc[bed->avail.slot];
		chain->count++;
		advance(&bed->avail, 1);
	} while (d->flags & VRING_DESC_F_NEXT);
	chain->id = d->id;
	return true;
}

/* count: descriptors of all the chains that this element stands for. */
static void use(struct bed *bed, uint16_t id, uint16_t count, uint32_t len)
{
	struct vring_packed_desc *d = &bed->ring.packed.desc[bed->used.slot];

	d->id = id;
	d->len = len;
	d->flags = bed->used.wrap ? AVAIL_BIT | USED_BIT : 0;
	advance(&bed->used, count);
}

static enum ring_reaped reap(struct bed *bed, uint32_t *token)
{
	uint32_t len;

	return driver_ring_reap(&bed->ring, token, &len);
}

/* ---- tests ---- */

static void chain_is_written_and_comes_back(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	struct vring_packed_desc *d = ring->packed.desc;
	struct chain chain;
	uint32_t token, len;
	int id = driver_ring_add(ring, bed->segments, 3, false, NULL, 77);

	assert_true(id >= 0);
	assert_false(take(bed, &chain));
	driver_ring_publish(ring);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(d[i].addr, bed->segments[i].gpa);
		assert_int_equal(d[i].len, 10 + i);
		assert_int_equal(d[i].flags & KINDS, i < 2 ? VRING_DESC_F_NEXT : 0);
		assert_int_equal(d[i].id == id, i == 2);
	}
	assert_true(take(bed, &chain));
	assert_false(take(bed, &(struct chain){ 0 }));
	assert_int_equal(chain.id, id);
	assert_int_equal(chain.count, 3);
	assert_int_equal(reap(bed, &token), RING_NOTHING);
	use(bed, chain.id, chain.count, 5);
	assert_int_equal(driver_ring_reap(ring, &token, &len), RING_DONE);
	assert_int_equal(token, 77);
	assert_int_equal(len, 5);
	assert_int_equal(ring->free_count, BED_RING_SIZE);
	assert_int_equal(driver_ring_used_idx(ring), 3 | 1 << 15);
	assert_int_equal(driver_ring_base(ring), 0x80038003);
}

static void a_batch_is_shown_by_its_first_descriptor(void **state)
{
	struct bed *bed = *state;
	struct chain chain;

	for (uint32_t i = 0; i < 3; i++)
		driver_ring_add(&bed->ring, bed->segments, 2, true, NULL, i);
	assert_false(take(bed, &chain));
	driver_ring_publish(&bed->ring);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(take(bed, &chain));
	assert_false(take(bed, &chain));
}

static void indirect_takes_one_descriptor(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	struct guest_span table = { bed->buffer.host + 1024, bed->buffer.gpa + 1024 };
	struct vring_packed_desc *t = (struct vring_packed_desc *)(void *)table.host;

	driver_ring_add(ring, bed->segments, 4, true, &table, 1);
	driver_ring_publish(ring);
	assert_int_equal(ring->free_count, BED_RING_SIZE - 1);
	assert_int_equal(ring->packed.desc[0].flags & KINDS, VRING_DESC_F_INDIRECT);
	assert_int_equal(ring->packed.desc[0].len, 4 * sizeof(*t));
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(t[i].addr, bed->segments[i].gpa);
		assert_int_equal(t[i].flags, VRING_DESC_F_WRITE);
	}
}

/* As many chains as there is room for, given back in any order, round and round. */
static void order_is_free_and_positions_wrap(void **state)
{
	struct bed *bed = *state;
	struct chain chains[BED_RING_SIZE];
	uint32_t token, pick, x = 1;
	bool out[BED_RING_SIZE] = { false };

	for (uint32_t turn = 0, count = 0; turn < TURNS; turn++) {
		x = x * 1664525 + 1013904223;
		while (count < BED_RING_SIZE) {
			uint32_t i = 0;

			while (out[i])
				i++;
			if (driver_ring_add(&bed->ring, bed->segments, 1 + (x >> 8 & 1), false,
					    NULL, i) < 0)
				break;
			out[i] = true;
			driver_ring_publish(&bed->ring);
			assert_true(take(bed, &chains[count++]));
		}
		assert_true(count > 0);
		pick = (x >> 16) % count;
		use(bed, chains[pick].id, chains[pick].count, 0);
		chains[pick] = chains[--count];
		assert_int_equal(reap(bed, &token), RING_DONE);
		assert_true(out[token]);
		out[token] = false;
		assert_int_equal(driver_ring_out(&bed->ring), count);
	}
}

static void what_the_device_may_not_say_is_seen(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	uint32_t token;
	int id = driver_ring_add(ring, bed->segments, 1, false, NULL, 1);

	driver_ring_add(ring, bed->segments, 1, false, NULL, 2);
	driver_ring_publish(ring);
	use(bed, (uint16_t)id, 1, 0);
	use(bed, (uint16_t)id, 1, 0);
	assert_int_equal(reap(bed, &token), RING_DONE);
	assert_int_equal(reap(bed, &token), RING_BAD);
	assert_int_equal(ring->double_completions, 1);
	assert_true(ring->broken && ring->why[0]);
	assert_int_equal(reap(bed, &token), RING_NOTHING);
}

static void an_id_beyond_the_ring_is_seen(void **state)
{
	struct bed *bed = *state;
	uint32_t token;

	driver_ring_add(&bed->ring, bed->segments, 1, false, NULL, 1);
	driver_ring_publish(&bed->ring);
	use(bed, BED_RING_SIZE + 3, 1, 0);
	assert_int_equal(reap(bed, &token), RING_BAD);
	assert_int_equal(bed->ring.unknown_ids, 1);
}

static void what_was_never_out_is_seen(void **state)
{
	struct bed *bed = *state;
	uint32_t token;

	use(bed, 0, 1, 0);
	assert_int_equal(reap(bed, &token), RING_BAD);
	assert_int_equal(bed->ring.index_jumps, 1);
}

static uint64_t kicks_read(struct driver_ring *ring)
{
	uint64_t count = 0;

	return read(ring->kick_fd, &count, sizeof(count)) > 0 ? count : 0;
}

/* Returns whether the device was kicked for it. */
static bool publish_one(struct bed *bed)
{
	struct chain chain;
	uint32_t token;

	driver_ring_add(&bed->ring, bed->segments, 1, false, NULL, 0);
	driver_ring_publish(&bed->ring);
	driver_ring_kick(&bed->ring);
	assert_true(take(bed, &chain));
	use(bed, chain.id, 1, 0);
	assert_int_equal(reap(bed, &token), RING_DONE);
	return kicks_read(&bed->ring) == 1;
}

static void kicks_are_suppressed_as_asked(void **state)
{
	struct bed *bed = *state;
	struct vring_packed_desc_event *e = bed->ring.packed.device_event;

	assert_true(publish_one(bed));
	e->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	assert_false(publish_one(bed));
	bed->ring.event_idx = true;
	e->flags = VRING_PACKED_EVENT_FLAG_DESC;
	e->off_wrap = 3 | 1 << 15; /* when descriptor 3 of this round is made available */
	assert_false(publish_one(bed));
	assert_true(publish_one(bed));
	assert_false(publish_one(bed));
	e->off_wrap = 1; /* descriptor 1 of the next round */
	for (uint32_t i = 5; i < BED_RING_SIZE + 1; i++)
		assert_false(publish_one(bed));
	assert_true(publish_one(bed));
	assert_false(publish_one(bed));
}

static void calls_are_asked_for_and_refused(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	struct vring_packed_desc_event *e = ring->packed.driver_event;
	int id;

	driver_ring_refuse_call(ring);
	assert_int_equal(e->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	assert_false(driver_ring_want_call(ring));
	assert_int_equal(e->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
	ring->event_idx = true;
	for (uint32_t i = 0; i < BED_RING_SIZE + 2; i++)
		publish_one(bed);
	id = driver_ring_add(ring, bed->segments, 1, false, NULL, 0);
	driver_ring_publish(ring);
	assert_false(driver_ring_want_call(ring));
	assert_int_equal(e->flags, VRING_PACKED_EVENT_FLAG_DESC);
	assert_int_equal(e->off_wrap, 2); /* the wrap counter is 0 in the second round */
	use(bed, (uint16_t)id, 1, 0);
	assert_true(driver_ring_want_call(ring));
}

static void in_order_batches_come_back_one_by_one(void **state)
{
	struct bed *bed = *state;
	struct chain chains[3];
	uint32_t token, len;

	bed->ring.in_order = true;
	for (uint32_t turn = 0; turn < 40; turn++) {
		for (uint32_t i = 0; i < 3; i++)
			driver_ring_add(&bed->ring, bed->segments, 1 + i % 2, true, NULL, i);
		driver_ring_publish(&bed->ring);
		for (uint32_t i = 0; i < 3; i++)
			assert_true(take(bed, &chains[i]));
		use(bed, chains[1].id, 3, 7);
		use(bed, chains[2].id, 1, 5);
		for (uint32_t i = 0; i < 3; i++) {
			assert_int_equal(driver_ring_reap(&bed->ring, &token, &len), RING_DONE);
			assert_int_equal(token, i);
			assert_int_equal(len, i == 0 ? 10 : i == 1 ? 7 : 5);
		}
		assert_int_equal(driver_ring_reap(&bed->ring, &token, &len), RING_NOTHING);
	}
}

static void what_a_base_forgets_is_lost(void **state)
{
	struct bed *bed = *state;
	struct chain chains[3];
	uint32_t token;

	for (uint32_t i = 0; i < BED_RING_SIZE - 1; i++)
		publish_one(bed);
	for (uint32_t i = 0; i < 3; i++)
		driver_ring_add(&bed->ring, bed->segments, 1, true, NULL, i);
	driver_ring_publish(&bed->ring);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(take(bed, &chains[i]));
	assert_int_equal(driver_ring_lost(&bed->ring, driver_ring_base(&bed->ring)), 0);
	use(bed, chains[1].id, 1, 0);
	assert_int_equal(reap(bed, &token), RING_DONE);
	assert_int_equal(driver_ring_base(&bed->ring), 0);
	assert_int_equal(driver_ring_lost(&bed->ring, driver_ring_base(&bed->ring)), 1);
	assert_int_equal(driver_ring_lost(&bed->ring, driver_ring_avail_idx(&bed->ring)), 2);
}

int main(void)
{
#define RING_TEST(f) BED_TEST(f, "packed")
	static const struct CMUnitTest tests[] = {
		RING_TEST(reset_gives_back_what_is_out),
		RING_TEST(chain_is_written_and_comes_back),
		RING_TEST(a_batch_is_shown_by_its_first_descriptor),
		RING_TEST(indirect_takes_one_descriptor),
		RING_TEST(order_is_free_and_positions_wrap),
		RING_TEST(what_the_device_may_not_say_is_seen),
		RING_TEST(an_id_beyond_the_ring_is_seen),
		RING_TEST(what_was_never_out_is_seen),
		RING_TEST(kicks_are_suppressed_as_asked),
		RING_TEST(calls_are_asked_for_and_refused),
		RING_TEST(in_order_batches_come_back_one_by_one),
		RING_TEST(what_a_base_forgets_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
