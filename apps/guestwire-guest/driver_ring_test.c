/* SPDX-License-Identifier: BSD-2-Clause */
/* The driver's ring against a device played by hand, honest and not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver_ring_bed.h"

static void use(struct bed *bed, uint32_t id, uint32_t len)
{
	struct vring_used *used = bed->ring.used;

	used->ring[used->idx % BED_RING_SIZE] = (struct vring_used_elem){ id, len };
	used->idx++;
}

static void chain_is_written_and_comes_back(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	uint32_t token, len;
	int head = driver_ring_add(ring, bed->segments, 3, false, NULL, 77);
	struct vring_desc *d = &ring->desc[head];

	assert_true(head >= 0);
	assert_int_equal(ring->avail->idx, 0);
	driver_ring_publish(ring);
	assert_int_equal(ring->avail->idx, 1);
	assert_int_equal(ring->avail->ring[0], head);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(d->addr, bed->segments[i].gpa);
		assert_int_equal(d->len, 10 + i);
		assert_int_equal(d->flags, i < 2 ? VRING_DESC_F_NEXT : 0);
		d = &ring->desc[d->next];
	}
	assert_int_equal(ring->free_count, BED_RING_SIZE - 3);
	assert_int_equal(driver_ring_reap(ring, &token, &len), RING_NOTHING);
	use(bed, (uint32_t)head, 5);
	assert_int_equal(driver_ring_reap(ring, &token, &len), RING_DONE);
	assert_int_equal(token, 77);
	assert_int_equal(len, 5);
	assert_int_equal(ring->free_count, BED_RING_SIZE);
}

static void indirect_takes_one_descriptor(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	struct guest_span table = { bed->buffer.host + 1024, bed->buffer.gpa + 1024 };
	struct vring_desc *t = (struct vring_desc *)(void *)table.host;
	int head = driver_ring_add(ring, bed->segments, 4, true, &table, 1);

	assert_int_equal(ring->free_count, BED_RING_SIZE - 1);
	assert_int_equal(ring->desc[head].flags, VRING_DESC_F_INDIRECT);
	assert_int_equal(ring->desc[head].len, 4 * sizeof(*t));
	assert_int_equal(t[0].flags, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	assert_int_equal(t[2].next, 3);
	assert_int_equal(t[3].flags, VRING_DESC_F_WRITE);
}

static void full_ring_says_so_and_order_is_free(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	uint32_t token, len;
	int heads[BED_RING_SIZE];

	/* More than 65536 turns: indexes wrap. */
	for (uint32_t turn = 0; turn < 70000 / BED_RING_SIZE; turn++) {
		for (uint32_t i = 0; i < BED_RING_SIZE; i++)
			heads[i] = driver_ring_add(ring, bed->segments, 1, false, NULL, i);
		assert_int_equal(driver_ring_add(ring, bed->segments, 1, false, NULL, 9), -28);
		driver_ring_publish(ring);
		for (uint32_t i = BED_RING_SIZE; i-- > 0;)
			use(bed, (uint32_t)heads[i], 0);
		for (uint32_t i = BED_RING_SIZE; i-- > 0;) {
			assert_int_equal(driver_ring_reap(ring, &token, &len), RING_DONE);
			assert_int_equal(token, i);
		}
		assert_int_equal(driver_ring_out(ring), 0);
	}
}

static void double_completion_is_seen(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	uint32_t token, len;
	int head = driver_ring_add(ring, bed->segments, 1, false, NULL, 1);

	driver_ring_add(ring, bed->segments, 1, false, NULL, 2);
	driver_ring_publish(ring);
	use(bed, (uint32_t)head, 0);
	use(bed, (uint32_t)head, 0);
	assert_int_equal(driver_ring_reap(ring, &token, &len), RING_DONE);
	assert_int_equal(driver_ring_reap(ring, &token, &len), RING_BAD);
	assert_int_equal(ring->double_completions, 1);
}

static void unknown_id_and_index_jump_are_seen(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	uint32_t token, len;

	driver_ring_add(ring, bed->segments, 1, false, NULL, 1);
	driver_ring_publish(ring);
	use(bed, BED_RING_SIZE + 3, 0);
	assert_int_equal(driver_ring_reap(ring, &token, &len), RING_BAD);
	assert_int_equal(ring->unknown_ids, 1);
	use(bed, 0, 0);
	assert_int_equal(driver_ring_reap(ring, &token, &len), RING_BAD);
	assert_int_equal(ring->index_jumps, 1);
	assert_true(ring->broken);
	assert_int_equal(driver_ring_reap(ring, &token, &len), RING_NOTHING);
}

static uint64_t kicks_read(struct driver_ring *ring)
{
	uint64_t count = 0;

	return read(ring->kick_fd, &count, sizeof(count)) > 0 ? count : 0;
}

static void publish_one(struct bed *bed)
{
	uint32_t token, len;
	int head = driver_ring_add(&bed->ring, bed->segments, 1, false, NULL, 0);

	driver_ring_publish(&bed->ring);
	driver_ring_kick(&bed->ring);
	use(bed, (uint32_t)head, 0);
	assert_int_equal(driver_ring_reap(&bed->ring, &token, &len), RING_DONE);
}

static void kicks_are_suppressed_as_asked(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;

	publish_one(bed);
	assert_int_equal(kicks_read(ring), 1);
	ring->used->flags = VRING_USED_F_NO_NOTIFY;
	publish_one(bed);
	assert_int_equal(kicks_read(ring), 0);
	ring->event_idx = true;
	*ring->avail_event = 3; /* tell me when you pass 3 */
	publish_one(bed);
	assert_int_equal(kicks_read(ring), 0);
	publish_one(bed);
	assert_int_equal(kicks_read(ring), 1);
	publish_one(bed);
	assert_int_equal(kicks_read(ring), 0);
}

static void calls_are_asked_for_and_refused(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;

	driver_ring_refuse_call(ring);
	assert_int_equal(ring->avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	assert_false(driver_ring_want_call(ring));
	assert_int_equal(ring->avail->flags, 0);
	ring->event_idx = true;
	ring->used_seen = 2;
	ring->used->idx = 2;
	assert_false(driver_ring_want_call(ring));
	assert_int_equal(*ring->used_event, 2);
	ring->used->idx = 3;
	assert_true(driver_ring_want_call(ring));
}

/* One used element, that of the last, for a batch (2.7.5.1); then the next one. */
static void in_order_batches_come_back_one_by_one(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	/* what was skipped was used up (2.7.8.2) */
	static const uint32_t lens[] = { 10, 10 + 11, 7, 5 };
	uint32_t token, len;
	int heads[4];

	ring->in_order = true;
	for (uint32_t turn = 0; turn < 40; turn++) {
		for (uint32_t i = 0; i < 4; i++)
			heads[i] = driver_ring_add(ring, bed->segments, 1 + i % 2, true, NULL, i);
		assert_int_equal(heads[2], (heads[0] + 3) % BED_RING_SIZE);
		driver_ring_publish(ring);
		ring->used->ring[ring->used->idx % BED_RING_SIZE] =
			(struct vring_used_elem){ (uint32_t)heads[2], 7 };
		ring->used->idx += 3;
		use(bed, (uint32_t)heads[3], 5);
		for (uint32_t i = 0; i < 4; i++) {
			assert_true(driver_ring_has_used(ring));
			assert_int_equal(driver_ring_reap(ring, &token, &len), RING_DONE);
			assert_int_equal(token, i);
			assert_int_equal(len, lens[i]);
		}
		assert_int_equal(driver_ring_reap(ring, &token, &len), RING_NOTHING);
		assert_int_equal(ring->free_count, BED_RING_SIZE);
	}
}

/* A device that comes back and goes on at the used index: what it had taken and not
 * given back, out of order, is forgotten. */
static void what_a_base_forgets_is_lost(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	uint32_t token, len;
	int heads[4];

	for (uint32_t i = 0; i < 4; i++)
		heads[i] = driver_ring_add(ring, bed->segments, 1, true, NULL, i);
	driver_ring_publish(ring);
	use(bed, (uint32_t)heads[1], 0);
	assert_int_equal(driver_ring_reap(ring, &token, &len), RING_DONE);
	assert_int_equal(driver_ring_base(ring), 1);
	assert_int_equal(driver_ring_lost(ring, 1), 1);
	assert_int_equal(driver_ring_lost(ring, 0), 0);
	assert_int_equal(driver_ring_lost(ring, 4), 3);
}

int main(void)
{
#define RING_TEST(f) BED_TEST(f, NULL)
	static const struct CMUnitTest tests[] = {
		RING_TEST(reset_gives_back_what_is_out),
		RING_TEST(chain_is_written_and_comes_back),
		RING_TEST(indirect_takes_one_descriptor),
		RING_TEST(full_ring_says_so_and_order_is_free),
		RING_TEST(double_completion_is_seen),
		RING_TEST(unknown_id_and_index_jump_are_seen),
		RING_TEST(kicks_are_suppressed_as_asked),
		RING_TEST(calls_are_asked_for_and_refused),
		RING_TEST(in_order_batches_come_back_one_by_one),
		RING_TEST(what_a_base_forgets_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
