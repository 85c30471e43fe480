/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest behind an IOMMU: rings at I/O addresses, and what is taken away under them. */
#include "session.h"

#include "session_iommu_rig.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- rings ---- */

static void a_ring_waits_until_its_parts_are_mapped(void **state)
{
	struct message_iotlb miss;

	iommu_set_ring(0);
	assert_int_equal(front.starts[0], 0);
	/* Descriptors, available, used: 4 KiB apart. */
	assert_int_equal(iommu_asked(&miss), 3);
	assert_int_equal(miss.iova, IOVA + 2 * PAGE);
	assert_int_equal(miss.access, VHOST_USER_IOTLB_WRITE);
	iommu_update(IOVA, PAGE, FRONT_USER_ADDR + 7 * PAGE);
	iommu_update(IOVA + PAGE, PAGE, FRONT_USER_ADDR);
	assert_int_equal(front.starts[0], 0);
	assert_int_equal(iommu_asked(&miss), 3); /* each is asked for once */
	iommu_update(IOVA + 2 * PAGE, PAGE, FRONT_USER_ADDR + PAGE);
	assert_true(session_ring_running(front.session, 0));
	assert_int_equal(front.ring[0].config.desc_addr, IOVA);
	assert_ptr_equal(front.ring[0].config.iotlb, front.iotlb);
}

/* The used ring, which has 2054 bytes, lies across two pages that are mapped one by one. */
static void a_ring_across_pages(void **state)
{
	struct message_vring_addr addr = { .desc = IOVA,
					   .avail = IOVA + 0x1000,
					   .used = IOVA + 0x2f00 };
	struct message_iotlb miss;

	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, FRONT_RING_SIZE), 0);
	assert_int_equal(
		front_send(&front, VHOST_USER_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0), 0);
	iommu_update(IOVA, 3 * PAGE, FRONT_USER_ADDR);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(front.starts[0], 0);
	assert_int_equal(iommu_asked(&miss), 1);
	assert_int_equal(miss.iova, IOVA + 3 * PAGE);
	iommu_update(IOVA + 3 * PAGE, PAGE, FRONT_USER_ADDR + 3 * PAGE);
	assert_int_equal(front.starts[0], 1);
}

/* The front-end does not tell again what it has told, and it is addresses of its own. */
static void other_memory_under_the_same_addresses(void **state)
{
	iommu_start_rings();
	assert_int_equal(front_memory(&front, 1, 0), 0);
	assert_int_equal(iotlb_count(front.iotlb), 1);
	for (unsigned int i = 0; i < FRONT_RINGS; i++) {
		assert_int_equal(front.starts[i], 2);
		assert_true(session_ring_running(front.session, i));
	}
}

/* ---- invalidation ---- */

static void iotlb_invalidate_with_cached_ring_pointers(void **state)
{
	struct message_iotlb miss;

	iommu_start_rings();
	front.late = true;
	front.stop_base[1] = 44;
	/* One page of ring 1. */
	iommu_invalidate(IOVA + RING_GAP + PAGE, PAGE);
	assert_true(session_busy(front.session));
	assert_int_equal(front.reply_len, 0);
	assert_int_equal(front.stops[0], 0);
	assert_int_equal(front.stops[1], 1);
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
	assert_int_equal(front.stale_bytes, PAGE);
	assert_false(session_ring_running(front.session, 1));
	assert_true(session_ring_running(front.session, 0));
	assert_int_equal(iommu_asked(&miss), 1);
	assert_int_equal(miss.iova, IOVA + RING_GAP + PAGE);
	/* Mapped again: it goes on where it was. */
	iommu_update(IOVA + RING_GAP + PAGE, PAGE, FRONT_USER_ADDR + RING_GAP + PAGE);
	assert_true(session_ring_running(front.session, 1));
	assert_int_equal(front.ring[1].config.base, 44);
}

/* It has lent nothing. What it misses is asked for at once, all of it. */
static void a_receive_ring_waits_where_it_is(void **state)
{
	struct message_iotlb miss;

	iommu_start_rings();
	iommu_invalidate(IOVA, RING_GAP);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
	assert_int_equal(front.stale_bytes, RING_GAP);
	assert_true(session_ring_running(front.session, 0));
	assert_int_equal(front.stops[0] + front.stops[1], 0);
	assert_int_equal(iommu_asked(&miss), 3);
	assert_int_equal(miss.iova, IOVA + 2 * PAGE);
	iommu_update(IOVA, RING_GAP, FRONT_USER_ADDR);
	assert_int_equal(front.starts[0], 1);
	assert_int_equal(iommu_asked(&miss), 3);
}

/* It goes on meanwhile: who waits for the loans to come home may be the one to take them. */
static void a_receive_ring_runs_until_all_loans_are_home(void **state)
{
	unsigned int before;

	iommu_start_rings();
	before = front.iotlbs;
	front.late = true;
	iommu_invalidate(IOVA, 2 * RING_GAP);
	assert_true(front.stopping[1]);
	assert_true(session_ring_running(front.session, 0));
	assert_int_equal(front.iotlbs, before);
	assert_int_equal(front_stop_rings(&front), 0);
	assert_int_equal(front.iotlbs, before + 1);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
	assert_int_equal(front.stops[0], 0);
}

/* Not before the owner says that nothing is read there any more. */
static void invalidation_with_loans_out(void **state)
{
	const uint64_t buffers = 0x40000000ull;

	iommu_start_rings();
	iommu_update(buffers, 16 * PAGE, FRONT_USER_ADDR + 100 * PAGE);
	front.late_iotlb = true;
	iommu_invalidate(buffers + 3 * PAGE, 2 * PAGE);
	assert_true(session_busy(front.session));
	assert_true(front.iotlb_waits);
	assert_int_equal(front.stale_count, 1);
	assert_int_equal(front.stale_bytes, 2 * PAGE);
	assert_int_equal(front.reply_len, 0);
	assert_int_equal(front.stops[0] + front.stops[1], 0);
	session_iotlb_done(front.session);
	assert_false(session_busy(front.session));
	assert_int_equal(session_continue(front.session, &front.err), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
}

static void what_nobody_has_goes_at_once(void **state)
{
	iommu_start_rings();
	front.late_iotlb = true;
	front.stale_count = 77;
	iommu_invalidate(0x123000, PAGE);
	assert_false(session_busy(front.session));
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
	assert_int_equal(front.stale_count, 77);
}

/* The same I/O address, other memory: the old place is taken away. */
static void update_to_another_place(void **state)
{
	const uint64_t buffers = 0x40000000ull;

	iommu_start_rings();
	iommu_update(buffers, 4 * PAGE, FRONT_USER_ADDR + 100 * PAGE);
	front.stale_bytes = 0;
	iommu_update(buffers, 4 * PAGE, FRONT_USER_ADDR + 100 * PAGE); /* said twice */
	assert_int_equal(front.stale_bytes, 0);
	iommu_update(buffers + PAGE, PAGE, FRONT_USER_ADDR + 200 * PAGE);
	assert_int_equal(front.stale_bytes, PAGE);
	/* Less permission is as good as none. */
	assert_int_equal(iommu_msg(VHOST_USER_IOTLB_UPDATE, buffers + 2 * PAGE, 2 * PAGE,
				   FRONT_USER_ADDR + 102 * PAGE, VHOST_USER_IOTLB_READ),
			 0);
	assert_int_equal(front.stale_bytes, 2 * PAGE);
	assert_int_equal(front.stops[0] + front.stops[1], 0);
}

static void a_ring_that_moves(void **state)
{
	iommu_start_rings();
	iommu_update(IOVA + RING_GAP, RING_GAP, FRONT_USER_ADDR + FRONT_REGION_BYTES);
	assert_int_equal(front.stops[1], 1);
	assert_int_equal(front.starts[1], 2);
	assert_int_equal(front.stops[0], 0);
}

/* QEMU tells of no invalidation while the device is stopped, and its driver is another. */
static void rings_of_a_driver_that_is_loaded_again(void **state)
{
	struct message_iotlb miss;

	iommu_start_rings();
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 0, 0), 0);
	assert_int_equal(iotlb_count(front.iotlb), 1);
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 1, 0), 0);
	assert_int_equal(iotlb_count(front.iotlb), 0);
	assert_int_equal(iommu_asked(&miss), 0);
	iommu_set_ring(0);
	assert_int_equal(front.starts[0], 1);
	assert_int_equal(iommu_asked(&miss), 3);
	iommu_update(IOVA, RING_GAP, FRONT_USER_ADDR + FRONT_REGION_BYTES);
	assert_int_equal(front.starts[0], 2);
	assert_ptr_equal(front.ring[0].config.iotlb, front.iotlb);
}

/* The front-end leaves while loans are out in what it invalidated. */
static void front_end_leaves_while_an_invalidation_waits(void **state)
{
	iommu_start_rings();
	front.late_iotlb = true;
	iommu_invalidate(IOVA + 0xf000, PAGE);
	assert_true(session_busy(front.session));
	session_close(front.session);
	session_iotlb_done(front.session); /* late, and nobody waits */
	assert_int_equal(front.reply_len, 0);
	assert_false(session_busy(front.session));
}

static void front_end_leaves_while_rings_stop_for_an_invalidation(void **state)
{
	iommu_start_rings();
	front.late = true;
	iommu_invalidate(IOVA + RING_GAP, PAGE);
	session_close(front.session);
	assert_int_equal(front.stops[0], 1);
}

/* More pieces than are told one by one. */
static void everything_at_once(void **state)
{
	iommu_start_rings();
	for (unsigned int i = 0; i < 2000; i++)
		iommu_update(0x40000000ull + i * 2 * PAGE, 16, FRONT_USER_ADDR + i * 32);
	iommu_invalidate(1, UINT64_MAX);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_IOTLB_MSG), 0);
	assert_int_equal(front.stale_count, 2);
	assert_int_equal(front.stale_bytes, 2 * FRONT_REGION_BYTES);
	assert_int_equal(iotlb_count(front.iotlb), 0);
	assert_false(session_ring_running(front.session, 1));
}

/* ---- a run that ends while its ring waits for addresses ---- */

/* Its record must not be taken for that of the run to come. */
static void a_run_ends_while_its_ring_waits(void **state)
{
	static const struct {
		uint32_t request;
		bool reset;
	} cases[] = { { VHOST_USER_GET_VRING_BASE, false }, { VHOST_USER_RESET_DEVICE, true } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		iommu_start_rings();
		iommu_invalidate(IOVA + RING_GAP, PAGE);
		assert_false(session_ring_running(front.session, 1));
		assert_int_equal(front.overs[1], 0);
		if (cases[i].reset)
			assert_int_equal(front_empty(&front, cases[i].request), 0);
		else
			assert_int_equal(front_state(&front, cases[i].request, 1, 0), 0);
		assert_int_equal(front.overs[1], 1);
		assert_int_equal(front.resets[1], cases[i].reset);
		/* Of one that ran its owner hears when it stops. */
		assert_int_equal(front.overs[0], 0);
		/* Once is enough. */
		assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 1, 0), 0);
		assert_int_equal(front.overs[1], 1);
		front_close(&front);
		iommu_setup(NULL);
	}
}

#define TEST(name) FRONT_TEST(name, iommu_setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_ring_waits_until_its_parts_are_mapped),
		TEST(a_ring_across_pages),
		TEST(other_memory_under_the_same_addresses),
		TEST(iotlb_invalidate_with_cached_ring_pointers),
		TEST(a_receive_ring_waits_where_it_is),
		TEST(a_receive_ring_runs_until_all_loans_are_home),
		TEST(a_run_ends_while_its_ring_waits),
		TEST(invalidation_with_loans_out),
		TEST(what_nobody_has_goes_at_once),
		TEST(update_to_another_place),
		TEST(a_ring_that_moves),
		TEST(rings_of_a_driver_that_is_loaded_again),
		TEST(front_end_leaves_while_an_invalidation_waits),
		TEST(front_end_leaves_while_rings_stop_for_an_invalidation),
		TEST(everything_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
