/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest of several queue pairs on two workers: they send, are received from, and move
 * from one worker to the other while they do, and no frame is lost, or overtaken by another
 * of its pair.
 */
#include "rig.h"

#include "atomic.h"
#include "loop.h"
#include "loop_test_api.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define PAIRS     4u
#define LEN       300u
/* Behind the addresses and the type: the pair, and the number of the frame. */
#define PAIR_AT   20u
#define SERIAL_AT 24u

struct guest {
	struct vm vm;
	struct vm_ring ring[PAIRS]; /* transmit */
	uint32_t sent[PAIRS], home[PAIRS];
};

struct seen {
	uint32_t next[PAIRS]; /* atomic: the worker writes */
	uint32_t wrong;       /* atomic */
};

static uint64_t ring_addr(unsigned int pair)
{
	return VM_MEMORY_ADDR + (640u << 10) + pair * (16u << 10);
}

static uint64_t slot_addr(unsigned int pair, unsigned int slot)
{
	return VM_MEMORY_ADDR + VM_MEMORY_BYTES + (pair * VM_RING_SIZE + slot) * 512ull;
}

static void guest_start(struct rig *rig, struct guest *guest)
{
	char path[128];

	memset(guest, 0, sizeof(*guest));
	guest->vm.fd = -1;
	guest->vm.options.multiqueue = true;
	guest->vm.options.memory_bytes = VM_MEMORY_BYTES + PAIRS * VM_RING_SIZE * 512ull;
	snprintf(path, sizeof(path), "%s/a", rig->folder);
	vm_connect(&guest->vm, path);
	vm_share_memory(&guest->vm);
	for (unsigned int p = 0; p < PAIRS; p++)
		vm_start_ring(&guest->vm, &guest->ring[p], 2 * p + 1, VM_RING_SIZE, ring_addr(p));
}

static void guest_free(struct guest *guest)
{
	for (unsigned int p = 0; p < PAIRS; p++)
		vm_close_ring(&guest->ring[p]);
	vm_free(&guest->vm);
}

static bool collect(struct guest *guest, unsigned int pair)
{
	uint32_t written;
	uint16_t head;

	if (!mock_collect(&guest->ring[pair].driver, &head, &written))
		return false;
	guest->home[pair]++;
	return true;
}

/* False: the ring is full. Heads come back in any order: their number is the slot's. */
static bool send_on(struct guest *guest, unsigned int pair)
{
	struct vm_ring *ring = &guest->ring[pair];
	struct mock_buffer buffer = { 0, VM_HEADER + LEN, false };
	uint64_t one = 1;
	uint8_t *at;
	int head;

	while (collect(guest, pair))
		;
	head = mock_chain(&ring->driver, &buffer, 1);
	if (head < 0)
		return false;
	mock_desc(&ring->driver, (uint16_t)head)->addr = slot_addr(pair, (unsigned int)head);
	at = mock_at(&guest->vm.memory, slot_addr(pair, (unsigned int)head));
	memset(at, 0, VM_HEADER);
	vm_frame(at + VM_HEADER, LEN, 0xd0, (uint8_t)(0xa0 + pair), 0x33);
	memcpy(at + VM_HEADER + PAIR_AT, &pair, sizeof(pair));
	memcpy(at + VM_HEADER + SERIAL_AT, &guest->sent[pair], sizeof(guest->sent[pair]));
	mock_offer(&ring->driver, (uint16_t)head);
	guest->sent[pair]++;
	if (mock_publish(&ring->driver))
		assert_int_equal(write(ring->kick_fd, &one, sizeof(one)), sizeof(one));
	return true;
}

/* On a worker. */
static void see(struct seen *seen, const uint8_t *bytes, uint32_t len)
{
	uint32_t pair, serial;

	if (len != LEN) {
		gw_store_relaxed(&seen->wrong, 1u);
		return;
	}
	memcpy(&pair, bytes + PAIR_AT, sizeof(pair));
	memcpy(&serial, bytes + SERIAL_AT, sizeof(serial));
	if (pair >= PAIRS || serial != gw_load_relaxed(&seen->next[pair]) || bytes[LEN - 1] != 0x33)
		gw_store_relaxed(&seen->wrong, 1u);
	else
		gw_store_relaxed(&seen->next[pair], serial + 1);
}

static void on_wire(void *arg, const uint8_t *bytes, uint32_t len,
		    const struct virtio_net_hdr_v1 *header)
{
	see(arg, bytes, len);
}

struct wait {
	struct guest *guest;
	struct seen *seen;
};

static bool all_home(void *arg)
{
	struct wait *wait = arg;
	bool all = true;

	for (unsigned int p = 0; p < PAIRS; p++) {
		while (collect(wait->guest, p))
			;
		all &= wait->guest->home[p] == wait->guest->sent[p];
	}
	return all;
}

static bool all_seen(void *arg)
{
	struct wait *wait = arg;
	bool all = true;

	for (unsigned int p = 0; p < PAIRS; p++)
		all &= gw_load_relaxed(&wait->seen->next[p]) == wait->guest->sent[p];
	return all || gw_load_relaxed(&wait->seen->wrong);
}

/* ---- moving while it sends ---- */

struct mover {
	struct rig *rig;
	uint32_t stop;  /* atomic */
	uint32_t moves; /* atomic */
	uint32_t wrong; /* atomic: a move failed for another reason than that it has to wait */
};

static void *move_on(void *arg)
{
	struct mover *mover = arg;

	for (unsigned int i = 0; !gw_load_acquire(&mover->stop); i++) {
		struct gw_error err = { 0 };
		int ret = gw_move(mover->rig->context, "a", i % PAIRS, (i / PAIRS) & 1, &err);

		if (!ret)
			gw_store_relaxed(&mover->moves, mover->moves + 1);
		else if (ret != -EBUSY)
			gw_store_relaxed(&mover->wrong, 1u);
	}
	return NULL;
}

#define MOVES_LEAST  30u
#define FRAMES_LEAST 20000u
#define TIME_NS      60000000000ull

static void send_while_it_moves(struct rig *rig, struct guest *guest)
{
	struct mover mover = { .rig = rig };
	uint64_t end_ns = gw_now_ns() + TIME_NS;
	unsigned int sent = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, move_on, &mover), 0);
	while (sent < FRAMES_LEAST || gw_load_relaxed(&mover.moves) < MOVES_LEAST) {
		bool any = false;

		for (unsigned int p = 0; p < PAIRS; p++)
			any |= send_on(guest, p);
		sent += any;
		if (!any)
			sched_yield();
		assert_true(gw_now_ns() < end_ns);
	}
	gw_store_release(&mover.stop, 1u);
	pthread_join(thread, NULL);
	assert_int_equal(mover.wrong, 0);
}

static void pairs_move_while_they_send_to_a_device(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:,ring=512", NULL };
	struct guest guest;
	struct seen seen = { 0 };
	struct wait wait = { &guest, &seen };
	struct gw_pair_info info;
	struct rig rig;

	rig_start(&rig, ports);
	loop_test_wire(loop_test_find("d"), (struct loop_wire){ on_wire, &seen });
	guest_start(&rig, &guest);
	send_while_it_moves(&rig, &guest);
	vm_wait(all_home, &wait, "all buffers to come home");
	vm_wait(all_seen, &wait, "all frames to be sent");
	assert_int_equal(seen.wrong, 0);
	info = rig_pair(&rig, "a", "d");
	for (unsigned int r = GW_DROP_FIRST; r < GW_REASON_COUNT; r++)
		assert_int_equal(info.reasons[r], 0);
	assert_int_equal(rig_port(&rig, "a").rx_frames, info.lent_frames + info.copied_frames);
	guest_free(&guest);
	assert_int_equal(rig_stop(&rig), 0);
	rig_free(&rig);
}

static bool is_answered(void *arg)
{
	struct gw_pair_info info = rig_pair(arg, "a", "d");

	return info.asked && info.answer.verdict == GW_YES;
}

static bool is_idle(void *arg)
{
	/* The second look comes after the visit of the first one's end. */
	return !rig_pair(arg, "a", "d").bounce_out && rig_pair(arg, "a", "d").asked;
}

/* What a device keeps is not lost for a move: the pair stays, and goes on. */
static void a_pair_whose_frames_a_device_keeps_stays(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:,hold=on", NULL };
	struct gw_error err = { 0 };
	struct guest guest;
	struct seen seen = { 0 };
	struct wait wait = { &guest, &seen };
	struct loop *loop;
	struct rig rig;

	rig_start(&rig, ports);
	loop = loop_test_find("d");
	guest_start(&rig, &guest);
	/* The first is copied, since nobody has answered yet. */
	send_on(&guest, 1);
	rig_wait_held(loop, 1);
	vm_wait(is_answered, &rig, "the driver's answer");
	/* A device that does nothing for a while would be lent nothing. */
	loop_test_release(loop, 1);
	vm_wait(is_idle, &rig, "the copy to come back");
	send_on(&guest, 1);
	rig_wait_held(loop, 1);
	assert_int_equal(gw_move(rig.context, "a", 1, 0, &err), -EBUSY);
	assert_non_null(strstr(err.text, "devices keep 1 frames"));
	/* Another one moves meanwhile, and this one goes on. */
	assert_int_equal(gw_move(rig.context, "a", 0, 1, &err), 0);
	send_on(&guest, 1);
	send_on(&guest, 0);
	rig_wait_held(loop, 3);
	loop_test_hold(loop, false);
	vm_wait(all_home, &wait, "all buffers to come home");
	assert_int_equal(gw_move(rig.context, "a", 1, 0, &err), 0);
	guest_free(&guest);
	assert_int_equal(rig_stop(&rig), 0);
	rig_free(&rig);
}

static void where_a_pair_is_can_be_seen(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=null:", NULL };
	struct gw_error err = { 0 };
	struct gw_port_info info;
	struct guest guest;
	struct rig rig;

	rig_start(&rig, ports);
	assert_int_equal(rig_port(&rig, "a").queue_pair_count, 0);
	guest_start(&rig, &guest);
	info = rig_port(&rig, "a");
	assert_int_equal(info.queue_pair_count, PAIRS);
	for (unsigned int p = 0; p < PAIRS; p++)
		assert_int_equal(info.queue_pair_worker[p], (info.worker + p) % 2);
	assert_int_equal(rig_port(&rig, "d").queue_pair_count, 0);
	assert_int_equal(gw_move(rig.context, "a", 1, info.worker, &err), 0);
	assert_int_equal(gw_move(rig.context, "a", PAIRS, info.worker, &err), 0);
	assert_int_equal(rig_port(&rig, "a").queue_pair_count, PAIRS + 1);
	assert_int_equal(rig_port(&rig, "a").queue_pair_worker[0], info.worker);
	assert_int_equal(rig_port(&rig, "a").queue_pair_worker[1], info.worker);
	assert_int_equal(rig_port(&rig, "a").queue_pair_worker[PAIRS], info.worker);
	guest_free(&guest);
	rig_stop(&rig);
	rig_free(&rig);
}

static void what_cannot_move_is_told(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a,queues=4", "d=loop:", NULL };
	struct gw_error err = { 0 };
	struct rig rig;

	rig_start(&rig, ports);
	assert_int_equal(gw_move(rig.context, "x", 0, 0, &err), -ENOENT);
	assert_int_equal(gw_move(rig.context, "d", 0, 0, &err), -EINVAL);
	assert_int_equal(gw_move(rig.context, "a", 0, 2, &err), -EINVAL);
	assert_int_equal(gw_move(rig.context, "a", 4, 0, &err), -EINVAL);
	assert_non_null(strstr(err.text, "0 to 3"));
	/* Before there is a guest: it will be there. */
	assert_int_equal(gw_move(rig.context, "a", 3, 0, &err), 0);
	rig_stop(&rig);
	assert_int_equal(gw_move(rig.context, "a", 3, 0, &err), -ENOTCONN);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_move_while_they_send_to_a_device),
		cmocka_unit_test(a_pair_whose_frames_a_device_keeps_stays),
		cmocka_unit_test(where_a_pair_is_can_be_seen),
		cmocka_unit_test(what_cannot_move_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
