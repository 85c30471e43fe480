/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest that changes its ring, and what the ring refers to, under our eyes. */
#include "ring_test_rig.h"

#include "atomic.h"
#include "loop.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RACE_NS     150000000u
#define RACE_MAX_NS 20000000000ull

struct race {
	struct rig *rig;
	bool end;
};

/* A guest that rewrites its table and its available ring while they are read. */
static void *rewrite(void *arg)
{
	struct race *race = arg;
	volatile struct vring_desc *entry = rig_table_entry(race->rig, 0);
	unsigned int seed = 7;

	while (!gw_load_relaxed(&race->end)) {
		entry[0].addr = rand_r(&seed) % 2 ? 0x1000 : RIG_TOP_END - 1;
		entry[0].len = rand_r(&seed) % 2 ? 1 : 0xffffffff;
		entry[0].flags = rand_r(&seed) % 2 ? VRING_DESC_F_NEXT : 0;
		entry[0].next = rand_r(&seed) % 2 ? 1 : 0xffff;
	}
	return NULL;
}

static void inside_window(const struct rig *rig)
{
	struct gw_window window;
	unsigned int count = rig->chain.read_count + rig->chain.write_count;
	const uint8_t *base;

	gw_memmap_window(rig->memory.memmap, &window);
	for (unsigned int i = 0; i < count; i++) {
		base = rig->seg[i].iov_base;
		assert_true(base >= (uint8_t *)window.base + window.arena_bytes);
		assert_true(rig->seg[i].iov_len <= window.len);
		assert_true(base + rig->seg[i].iov_len <= (uint8_t *)window.base + window.len);
	}
}

/*
 * Every chain that is taken lies inside guest memory, whatever the guest does. CVE-2020-14375:
 * DPDK, in vhost-crypto, used what a guest could change after the check.
 */
static void indirect_table_changed_after_the_check(void **state)
{
	struct rig *rig = *state;
	struct race race = { .rig = rig };
	struct ring_config config = mock_driver_config(&rig->driver);
	uint64_t begin_ns = gw_now_ns(), passed_ns;
	unsigned int taken = 0, broken = 0;
	pthread_t guest;
	int head;

	rig_indirect_chain(rig, &head);
	pthread_create(&guest, NULL, rewrite, &race);
	/* Both have to be seen: on a busy machine the guest may not run for a while. */
	for (passed_ns = 0; passed_ns < RACE_NS || (!(taken && broken) && passed_ns < RACE_MAX_NS);
	     passed_ns = gw_now_ns() - begin_ns) {
		rig_offer(rig, head);
		if (rig_pop(rig) == 1) {
			inside_window(rig);
			taken++;
			ring_push(rig->ring, (uint16_t)head, 0);
			ring_flush(rig->ring);
			continue;
		}
		broken++;
		ring_destroy(rig->ring);
		config.base = rig->driver.avail_shown;
		if (ring_create(&config, &rig->ring, NULL))
			break;
	}
	gw_store_relaxed(&race.end, true);
	pthread_join(guest, NULL);
	print_message("%u chains taken, ring broken %u times\n", taken, broken);
	assert_true(taken > 0 && broken > 0);
}

/* The available ring is rewritten between pop and unpop: our own record counts. */
static void avail_ring_changed_before_unpop(void **state)
{
	struct rig *rig = *state;
	int head = rig_good_chain(rig);

	rig_offer(rig, head);
	assert_int_equal(rig_pop(rig), 1);
	rig->driver.avail->ring[0] = 0x7777;
	ring_unpop(rig->ring, 1);
	assert_int_equal(ring_in_flight(rig->ring), 0);
	rig_breaks(rig, RING_FAULT_HEAD);
}

static void used_ring_changed_by_the_guest(void **state)
{
	struct rig *rig = *state;
	int head = rig_good_chain(rig);

	rig_offer(rig, head);
	assert_int_equal(rig_pop(rig), 1);
	memset(rig->driver.used, 0xff, 6 + 8 * RIG_RING_SIZE);
	ring_push(rig->ring, (uint16_t)head, 0);
	ring_flush(rig->ring);
	assert_int_equal(rig->driver.used->idx, 1);
	assert_int_equal(rig->driver.used->ring[0].id, head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAULT_TEST(indirect_table_changed_after_the_check),
		FAULT_TEST(avail_ring_changed_before_unpop),
		FAULT_TEST(used_ring_changed_by_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
