/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose frames a transmit ring lends, and where they go home: two guests of one worker, on
 * rings of either layout, by runs and chain by chain.
 */
#include "guest.h"

#include "port_queue.h"
#include "ring_test_rig.h"

#include <string.h>

#define GUESTS   2u
#define SIZE     32u
#define ADDR     0x10000ull
#define STEP     0x1000ull
#define LEN      100u
#define HEADER   sizeof(struct virtio_net_hdr_v1)
#define SHARED   8u
#define WORKERS  2u
#define RING_GAP 0x10000ull

/* wake.c's and announce.c's, which are not asked here. */
void guest_signal(struct gw_queue *queue, int *fd, int event_fd)
{
}

void guest_tell_broken(struct gw_queue *queue, struct ring *ring, const char *which,
		       unsigned int pair, bool *told, int *err_fd, int event_fd)
{
	fail_msg("the %s ring of pair %u is broken", which, pair);
}

struct gw_frame *announce_take(struct guest_queue *queue)
{
	return NULL;
}

void announce_home(struct guest_queue *queue)
{
	fail_msg("nothing was announced");
}

/* A guest, its ring, and what one worker has of it. */
struct sender {
	struct mock_driver driver;
	struct lender *lender;
	struct port_queue queue[WORKERS];
	struct guest_queue own[WORKERS];
	unsigned int chains;
};

struct bed {
	struct rig *rig;
	struct frame_pool pool[WORKERS];
	struct sender sender[GUESTS];
	struct gw_frame *frame[GUESTS * SIZE];
	unsigned int count;
};

static void sits_with(struct sender *sender, unsigned int worker)
{
	for (unsigned int w = 0; w < WORKERS; w++)
		sender->own[w].lending_count = w == worker;
	sender->own[worker].lending[0] = sender->lender;
}

static void begin_sender(struct bed *bed, unsigned int g, uint32_t pool_frames)
{
	struct sender *sender = &bed->sender[g];
	bool packed = bed->rig->packed;
	struct session_ring ring = { .kick_fd = -1, .call_fd = -1, .err_fd = -1, .enabled = true };
	struct gw_error err;

	mock_driver_open(&sender->driver, &bed->rig->memory, SIZE, RIG_RING + g * RING_GAP,
			 packed ? PACKED : FEATURE(VIRTIO_F_VERSION_1),
			 packed ? MOCK_PLACE_FIRST : 0);
	ring.config = mock_driver_config(&sender->driver);
	for (unsigned int w = 0; w < WORKERS; w++) {
		sender->queue[w].queue.priv = &sender->own[w];
		sender->queue[w].frames = pool_frames ? &bed->pool[w] : NULL;
	}
	assert_int_equal(
		lender_create(&sender->queue[0].queue, 0, &ring, -1, &sender->lender, &err), 0);
	sits_with(sender, 0);
}

static struct bed *begin(struct rig *rig, uint32_t pool_frames)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	assert_non_null(bed);
	bed->rig = rig;
	for (unsigned int w = 0; w < WORKERS; w++)
		assert_int_equal(frame_pool_init(&bed->pool[w], pool_frames), 0);
	for (unsigned int g = 0; g < GUESTS; g++)
		begin_sender(bed, g, pool_frames);
	return bed;
}

static void end(struct bed *bed)
{
	for (unsigned int g = 0; g < GUESTS; g++) {
		lender_free(bed->sender[g].lender);
		mock_driver_close(&bed->sender[g].driver);
	}
	for (unsigned int w = 0; w < WORKERS; w++)
		frame_pool_destroy(&bed->pool[w]);
	free(bed);
}

static struct gw_queue *queue_of(struct sender *sender)
{
	return sender->lender->queue;
}

/* The guest sends so many, of one descriptor each or of two, and the worker lends them. */
static void sends(struct bed *bed, unsigned int g, unsigned int count, unsigned int parts)
{
	struct sender *sender = &bed->sender[g];

	for (unsigned int i = 0; i < count; i++) {
		uint64_t addr = ADDR + STEP * (g * SIZE + sender->chains++ % SIZE);
		struct mock_buffer whole = { addr, HEADER + LEN, false };
		struct mock_buffer two[] = { { addr, HEADER, false },
					     { addr + HEADER, LEN, false } };
		int head = mock_chain(&sender->driver, parts == 1 ? &whole : two, parts);

		assert_true(head >= 0);
		memset(mock_at(&bed->rig->memory, addr), 0, HEADER + LEN);
		mock_offer(&sender->driver, (uint16_t)head);
	}
	mock_publish(&sender->driver);
	assert_int_equal(lender_rx(queue_of(sender), bed->frame + bed->count, SIZE), count);
	bed->count += count;
}

/* All that is out, in the order in which it stands there. */
static void all_come_home(struct bed *bed, struct sender *sender)
{
	lender_release(queue_of(sender), bed->frame, bed->count);
	bed->count = 0;
}

static unsigned int collects(struct sender *sender)
{
	unsigned int count = 0;
	uint32_t written;
	uint16_t head;

	while (mock_collect(&sender->driver, &head, &written))
		count++;
	return count;
}

static bool is_of(const struct frame_pool *pool, uint32_t count, const struct gw_frame *frame)
{
	uintptr_t begin = (uintptr_t)(pool->idle + count), at = (uintptr_t)frame;

	return at >= begin && at - begin < FRAME_POOL_ALIGN + count * sizeof(struct pooled_frame);
}

static void are_of(const struct bed *bed, unsigned int from, const struct frame_pool *pool,
		   uint32_t pool_frames)
{
	for (unsigned int i = from; i < bed->count; i++) {
		assert_true(is_of(pool, pool_frames, bed->frame[i]));
		for (unsigned int k = 0; k < i; k++)
			assert_ptr_not_equal(bed->frame[i], bed->frame[k]);
	}
}

static void whoever_sends_has_the_same_frames(void **state)
{
	for (unsigned int parts = 1; parts <= 2; parts++) {
		struct bed *bed = begin(*state, SHARED);
		struct gw_frame *first[4];

		sends(bed, 0, 4, parts);
		are_of(bed, 0, &bed->pool[0], SHARED);
		/* As desks give them back: the last first, so that the next order is the same. */
		for (unsigned int i = 0; i < 4; i++)
			first[i] = bed->frame[i];
		for (unsigned int i = 0; i < 4; i++)
			bed->frame[i] = first[3 - i];
		all_come_home(bed, &bed->sender[0]);
		sends(bed, 1, 4, parts);
		assert_memory_equal(bed->frame, first, sizeof(first));
		all_come_home(bed, &bed->sender[1]);
		assert_int_equal(collects(&bed->sender[0]), 4);
		assert_int_equal(collects(&bed->sender[1]), 4);
		assert_int_equal(bed->pool[0].idle_count, SHARED);
		end(bed);
	}
}

/* Whatever others hold, all heads of a ring can be out. */
static void there_is_always_a_frame(void **state)
{
	for (unsigned int parts = 1; parts <= 2; parts++) {
		struct bed *bed = begin(*state, SHARED);
		struct sender *sender = &bed->sender[1];

		sends(bed, 0, SHARED, parts);
		assert_int_equal(bed->pool[0].idle_count, 0);
		sends(bed, 1, SIZE / parts, parts);
		are_of(bed, SHARED, &sender->lender->own, SIZE);
		assert_int_equal(sender->lender->own.idle_count, SIZE - SIZE / parts);
		/* The two guests' are released by their own queues. */
		lender_release(queue_of(sender), bed->frame + SHARED, bed->count - SHARED);
		assert_int_equal(sender->lender->own.idle_count, SIZE);
		assert_int_equal(bed->pool[0].idle_count, 0);
		bed->count = SHARED;
		all_come_home(bed, &bed->sender[0]);
		assert_int_equal(bed->pool[0].idle_count, SHARED);
		assert_int_equal(collects(&bed->sender[0]), SHARED);
		assert_int_equal(collects(sender), SIZE / parts);
		end(bed);
	}
}

/* Frames of one ring and of both pools, in turn. */
static void each_goes_home_to_its_pool(void **state)
{
	struct bed *bed = begin(*state, SHARED);
	struct sender *sender = &bed->sender[0];
	struct gw_frame *mixed[2 * SHARED];

	sends(bed, 0, SHARED, 1);
	sends(bed, 0, SHARED, 1);
	are_of(bed, SHARED, &sender->lender->own, SIZE);
	for (unsigned int i = 0; i < SHARED; i++) {
		mixed[2 * i] = bed->frame[i];
		mixed[2 * i + 1] = bed->frame[SHARED + i];
	}
	lender_release(queue_of(sender), mixed, 2 * SHARED);
	bed->count = 0;
	assert_int_equal(bed->pool[0].idle_count, SHARED);
	assert_int_equal(sender->lender->own.idle_count, SIZE);
	assert_int_equal(sender->lender->out, 0);
	assert_int_equal(collects(sender), 2 * SHARED);
	/* What is in a pool is of it. */
	sends(bed, 0, SHARED, 1);
	are_of(bed, 0, &bed->pool[0], SHARED);
	end(bed);
}

/* A run for which there are not enough is not cut for that. */
static void a_run_comes_out_of_one_pool(void **state)
{
	struct bed *bed = begin(*state, SHARED);
	struct sender *sender = &bed->sender[0];

	sends(bed, 0, SHARED + 1, 1);
	assert_int_equal(bed->pool[0].idle_count, SHARED);
	are_of(bed, 0, &sender->lender->own, SIZE);
	all_come_home(bed, sender);
	assert_int_equal(sender->lender->own.idle_count, SIZE);
	end(bed);
}

static void a_pair_that_moved_has_the_frames_of_its_worker(void **state)
{
	struct bed *bed = begin(*state, SHARED);
	struct sender *sender = &bed->sender[0];

	sends(bed, 0, 3, 1);
	are_of(bed, 0, &bed->pool[0], SHARED);
	all_come_home(bed, sender);
	lender_place(sender->lender, &sender->queue[1].queue);
	sits_with(sender, 1);
	sends(bed, 0, 3, 1);
	are_of(bed, 0, &bed->pool[1], SHARED);
	assert_int_equal(bed->pool[0].idle_count, SHARED);
	all_come_home(bed, sender);
	assert_int_equal(bed->pool[1].idle_count, SHARED);
	end(bed);
}

/* What a dead device has is nobody's until it is home; it is the worker's then. */
static void a_ghosts_frames_are_kept_from_others(void **state)
{
	struct bed *bed = begin(*state, SHARED);
	struct sender *ghost = &bed->sender[0];

	sends(bed, 0, 5, 1);
	ghost->lender->ghost = true;
	sends(bed, 1, 3, 1);
	are_of(bed, 5, &bed->pool[0], SHARED);
	lender_release(queue_of(&bed->sender[1]), bed->frame + 5, 3);
	assert_int_equal(bed->pool[0].idle_count, 3);
	bed->count = 5;
	all_come_home(bed, ghost);
	assert_int_equal(bed->pool[0].idle_count, SHARED);
	assert_int_equal(collects(ghost), 0);
	assert_int_equal(collects(&bed->sender[1]), 3);
	end(bed);
}

/* Its memory is gone then, and none of it is in the worker's pool. */
static void who_goes_takes_its_own_frames_only(void **state)
{
	struct bed *bed = begin(*state, SHARED);
	struct sender *sender = &bed->sender[0];

	sends(bed, 0, SHARED, 1);
	sends(bed, 0, SHARED, 1);
	all_come_home(bed, sender);
	lender_free(sender->lender);
	sender->lender = NULL;
	sends(bed, 1, SHARED, 1);
	are_of(bed, 0, &bed->pool[0], SHARED);
	all_come_home(bed, &bed->sender[1]);
	end(bed);
}

static void without_a_worker_a_ring_has_its_own(void **state)
{
	for (unsigned int parts = 1; parts <= 2; parts++) {
		struct bed *bed = begin(*state, 0);
		struct sender *sender = &bed->sender[0];

		sends(bed, 0, SIZE / parts, parts);
		are_of(bed, 0, &sender->lender->own, SIZE);
		all_come_home(bed, sender);
		assert_int_equal(collects(sender), SIZE / parts);
		end(bed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(whoever_sends_has_the_same_frames),
		RING_TEST(there_is_always_a_frame),
		RING_TEST(each_goes_home_to_its_pool),
		RING_TEST(a_run_comes_out_of_one_pool),
		RING_TEST(a_pair_that_moved_has_the_frames_of_its_worker),
		RING_TEST(a_ghosts_frames_are_kept_from_others),
		RING_TEST(who_goes_takes_its_own_frames_only),
		RING_TEST(without_a_worker_a_ring_has_its_own),
	};

	return cmocka_run_group_tests_name("lender", tests, NULL, NULL);
}
