/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest behind an IOMMU, whose front-end maps and takes away pages while devices
 * hold frames: nothing is given back while a device may read it. Both layouts.
 */
#include "rig.h"

#include "loop.h"
#include "mock_super.h"
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define LEN         1000u
/* With its header longer than a receive buffer, and no longer than what the device receives. */
#define LONG_LEN    4090u
#define UNTOUCHED   0xaau
#define LOANS       20u
#define BUFFERS     40u
/* More than GW_FRAME_SEGS; divides LEN. */
#define MANY        25u
#define FLUSHES     3u
/* Rounds that may be needed for so many: who waits for long is dropped after all. */
#define FLUSHES_MAX 20u
/* Longer than an answer takes that waits for nothing; it is not waited for where it comes. */
#define SHORT_MS    20u
/* For what is answered whatever a device does; without a bound it would be for ever. */
#define BOUND_MS    8000u

struct setup {
	struct rig rig;
	struct vm vm;
	struct loop *loop;
	uint64_t first_addr; /* of what the device holds: page by page */
};

static const char *const device_ports[] = { "a=guest:%s/a", "d=loop:", NULL };
static const char *const stubborn_ports[] = { "a=guest:%s/a", "d=loop:,stubborn=on,ring=4096",
					      NULL };
static const char *const three_ports[] = { "a=guest:%s/a", "d=loop:", "e=loop:", NULL };

static void start(struct setup *s, const char *const *ports, const void *packed)
{
	const struct vm_options options = {
		.iommu = true,
		.features = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
			    (packed ? 1ull << VIRTIO_F_RING_PACKED : 0),
	};

	rig_start(&s->rig, ports);
	rig_guest_with(&s->rig, &s->vm, "a", &options);
	s->loop = loop_test_find("d");
}

static void end(struct setup *s)
{
	vm_free(&s->vm);
	rig_free(&s->rig);
}

/* The device holds LOANS frames, each in a page of its own. */
static void lend(struct setup *s)
{
	struct vm *vm = &s->vm;
	uint8_t frame[LEN];

	vm_map(vm, vm->tx.slots_addr, VM_SLOTS * VM_SLOT_BYTES);
	rig_settle(&s->rig, vm, "a", "d");
	s->first_addr = vm->tx.slots_addr + vm->tx.next_slot * VM_SLOT_BYTES;
	loop_test_hold(s->loop, true);
	vm_frame(frame, LEN, 0xd0, 0xe0, 0);
	for (unsigned int i = 0; i < LOANS; i++)
		vm_send(vm, frame, LEN);
	rig_wait_held(s->loop, LOANS);
	assert_int_equal(rig_pair(&s->rig, "a", "d").loans_out, LOANS);
}

/* A frame in more buffers than it can carry, all in one page, and not side by side. */
static void send_in_pieces(struct vm *vm, const struct virtio_net_hdr_v1 *header,
			   const uint8_t *bytes, uint32_t len)
{
	struct mock_buffer buffer[MANY + 1];
	uint64_t addr = vm->tx.slots_addr + vm->tx.next_slot++ * VM_SLOT_BYTES;
	uint32_t step = len / MANY;

	assert_int_equal(len % MANY, 0);
	mock_write(&vm->memory, addr, header, VM_HEADER);
	buffer[0] = (struct mock_buffer){ addr, VM_HEADER, false };
	addr += VM_HEADER + 1;
	for (unsigned int i = 0; i < MANY; i++, addr += step + 1) {
		mock_write(&vm->memory, addr, bytes + i * step, step);
		buffer[i + 1] = (struct mock_buffer){ addr, step, false };
	}
	assert_true(vm_send_buffers(vm, buffer, MANY + 1) >= 0);
	vm_publish(vm);
}

static void take_away(struct setup *s, unsigned int first, unsigned int count)
{
	vm_unmap_begin(&s->vm, s->first_addr + first * VM_SLOT_BYTES,
		       (uint64_t)count * VM_SLOT_BYTES);
}

/* ---- taken away under loans ---- */

/* The pages of two frames: the answer comes when these two are home, and not before. */
static void invalidation_waits_for_the_loans_it_touches(void **state)
{
	struct setup s;

	start(&s, device_ports, *state);
	lend(&s);
	take_away(&s, 5, 2);
	assert_false(vm_answered(&s.vm, SHORT_MS));
	loop_test_release(s.loop, 5); /* what lies before them */
	assert_false(vm_answered(&s.vm, SHORT_MS));
	loop_test_complete(s.loop, 1, false);
	assert_false(vm_answered(&s.vm, SHORT_MS));
	loop_test_complete(s.loop, 0, false);
	vm_unmap_end(&s.vm);
	/* All others are where they were. */
	assert_int_equal(loop_test_held(s.loop), LOANS - 7);
	assert_int_equal(rig_pair(&s.rig, "a", "d").loans_out, LOANS - 7);
	end(&s);
}

/* Where the segments of its parent were listed, those of another frame may be by now. */
static void invalidation_waits_for_pieces_of_a_frame_in_many_buffers(void **state)
{
	static const struct mock_super_shape shape = { .payload = 2446, .gso_size = 1000 };
	static const struct virtio_net_hdr_v1 plain;
	static struct mock_super super;
	uint8_t frame[LEN];
	struct setup s;

	start(&s, device_ports, *state);
	vm_map(&s.vm, s.vm.tx.slots_addr, VM_SLOTS * VM_SLOT_BYTES);
	rig_settle(&s.rig, &s.vm, "a", "d");
	s.first_addr = s.vm.tx.slots_addr + s.vm.tx.next_slot * VM_SLOT_BYTES;
	loop_test_hold(s.loop, true);
	mock_super_make(&super, &shape);
	send_in_pieces(&s.vm, &super.header, super.bytes, super.len);
	rig_wait_held(s.loop, 3);
	assert_int_equal(rig_pair(&s.rig, "a", "d").loans_out, 3);
	vm_frame(frame, LEN, 0xd0, 0xe0, 0);
	send_in_pieces(&s.vm, &plain, frame, LEN);
	rig_wait_held(s.loop, 4); /* a copy */
	take_away(&s, 0, 1);
	assert_false(vm_answered(&s.vm, SHORT_MS));
	loop_test_release(s.loop, 2);
	assert_false(vm_answered(&s.vm, SHORT_MS));
	loop_test_complete(s.loop, 0, false);
	vm_unmap_end(&s.vm);
	end(&s);
}

static void invalidation_beside_loans_waits_for_none(void **state)
{
	struct setup s;

	start(&s, device_ports, *state);
	lend(&s);
	take_away(&s, LOANS, 3);
	vm_unmap_end(&s.vm);
	assert_int_equal(loop_test_held(s.loop), LOANS);
	end(&s);
}

/* With its pages a ring stops, and so it waits for all that it has lent. */
static void rings_taken_away_stop_with_their_loans(void **state)
{
	struct setup s;

	start(&s, device_ports, *state);
	lend(&s);
	vm_unmap_begin(&s.vm, VM_MEMORY_ADDR, 1u << 20);
	assert_false(vm_answered(&s.vm, SHORT_MS));
	loop_test_hold(s.loop, false);
	vm_unmap_end(&s.vm);
	assert_int_equal(rig_pair(&s.rig, "a", "d").loans_out, 0);
	end(&s);
}

/* It is stopped and started for the sake of the answer, and has let go by then. */
static void held_device_is_recalled_for_an_invalidation(void **state)
{
	uint64_t begin_ns;
	struct setup s;

	start(&s, device_ports, *state);
	lend(&s);
	begin_ns = gw_now_ns();
	take_away(&s, 0, 1);
	assert_true(vm_answered(&s.vm, BOUND_MS));
	assert_true(gw_now_ns() - begin_ns > SHORT_MS * 1000000ull);
	vm_unmap_end(&s.vm);
	assert_int_equal(rig_pair(&s.rig, "a", "d").loans_out, 0);
	assert_int_equal(rig_port(&s.rig, "d").quarantined, 0);
	end(&s);
}

static bool all_quarantined(void *arg)
{
	return rig_port(arg, "d").quarantined == LOANS;
}

/* What a dead device may read still is counted; the front-end has its answer. */
static void dead_device_holds_up_no_invalidation(void **state)
{
	uint16_t heads[LOANS];
	struct setup s;

	start(&s, stubborn_ports, *state);
	lend(&s);
	take_away(&s, 0, 1);
	assert_true(vm_answered(&s.vm, BOUND_MS));
	vm_unmap_end(&s.vm);
	vm_wait(all_quarantined, &s.rig, "the loans to be quarantined");
	assert_int_equal(vm_poll_used(&s.vm, heads, LOANS), 0);
	end(&s);
}

/* ---- asked for ahead ---- */

/* Makes BUFFERS receive buffers available, each in a page of its own, none of them mapped. */
static void offer_buffers(struct setup *s)
{
	vm_offer_rx(&s->vm, BUFFERS);
}

static void answer_all(struct setup *s)
{
	for (unsigned int i = 0; i < BUFFERS; i++) {
		uint64_t addr = s->vm.rx.slots_addr + (uint64_t)i * VM_SLOT_BYTES;

		assert_int_equal(vm_wait_miss(&s->vm), addr);
		vm_map(&s->vm, addr, VM_SLOT_BYTES);
	}
}

static void receive_some(struct setup *s, unsigned int count)
{
	uint8_t frame[LEN], bytes[LEN];

	for (unsigned int i = 0; i < count; i++) {
		vm_frame(frame, LEN, 0xff, 0xd0, (uint8_t)i);
		assert_true(loop_test_receive(s->loop, frame, LEN, NULL));
		assert_int_equal(vm_receive(&s->vm, bytes, LEN), LEN);
		assert_int_equal(bytes[LEN - 1], (uint8_t)i);
	}
}

/* Nothing has been sent to the guest yet. */
static void receive_buffers_are_asked_for_before_a_frame_comes(void **state)
{
	struct setup s;

	start(&s, device_ports, *state);
	offer_buffers(&s);
	answer_all(&s);
	receive_some(&s, BUFFERS);
	end(&s);
}

/* In a network of three nothing waits for a guest: the answers have to be there before. */
static void no_frame_is_dropped_for_an_address_that_was_to_be_had(void **state)
{
	struct setup s;

	start(&s, three_ports, *state);
	offer_buffers(&s);
	answer_all(&s);
	receive_some(&s, BUFFERS);
	assert_int_equal(rig_pair(&s.rig, "d", "a").reasons[GW_DROP_NO_RX_BUFFERS], 0);
	end(&s);
}

/* ---- rings without a place ---- */

/* All that is mapped, as when a guest that is not strict drops what it has unmapped. */
static void flush_all(struct setup *s)
{
	vm_unmap_begin(&s->vm, 1, UINT64_MAX);
	vm_unmap_end(&s->vm);
}

struct fate {
	struct setup *setup;
	uint64_t dropped; /* before */
};

static uint64_t dropped_for_buffers(struct setup *s)
{
	return rig_pair(&s->rig, "d", "a").reasons[GW_DROP_NO_RX_BUFFERS];
}

/* It waits, or has waited for too long already (on a machine that is slow today). */
static bool waits_or_dropped(void *arg)
{
	struct fate *fate = arg;

	return loop_test_counts(fate->setup->loop).lent ||
	       dropped_for_buffers(fate->setup) > fate->dropped;
}

static bool has_left(void *arg)
{
	return !loop_test_counts(((struct fate *)arg)->setup->loop).lent;
}

/* A frame comes while the rings have no place, and then they have. True: it was received. */
static bool frame_without_a_place(struct setup *s, uint8_t fill)
{
	struct fate fate = { s, dropped_for_buffers(s) };
	uint8_t frame[LEN], bytes[LEN];

	flush_all(s);
	vm_frame(frame, LEN, 0xff, 0xd0, fill);
	assert_true(loop_test_receive(s->loop, frame, LEN, NULL));
	vm_wait(waits_or_dropped, &fate, "a frame to wait");
	assert_true(vm_nothing_received(&s->vm));
	vm_map(&s->vm, VM_MEMORY_ADDR, VM_MEMORY_BYTES);
	vm_wait(has_left, &fate, "a frame to be taken, or dropped");
	if (dropped_for_buffers(s) > fate.dropped)
		return false;
	assert_int_equal(vm_receive(&s->vm, bytes, LEN), LEN);
	assert_int_equal(bytes[LEN - 1], fill);
	return true;
}

/* What comes for the guest meanwhile waits, as it does for a ring without buffers. */
static void frames_wait_for_a_ring_without_a_place(void **state)
{
	unsigned int received = 0;
	struct gw_pair_info pair;
	struct setup s;

	start(&s, device_ports, *state);
	offer_buffers(&s);
	answer_all(&s);
	for (unsigned int i = 0; i < FLUSHES_MAX && received < FLUSHES; i++) {
		receive_some(&s, 1);
		received += frame_without_a_place(&s, (uint8_t)(0x80 + i));
	}
	assert_int_equal(received, FLUSHES);
	pair = rig_pair(&s.rig, "d", "a");
	for (unsigned int i = GW_DROP_FIRST; i < GW_REASON_COUNT; i++)
		if (i != GW_DROP_NO_RX_BUFFERS)
			assert_int_equal(pair.reasons[i], 0);
	end(&s);
}

static bool a_frame_is_dropped(void *arg)
{
	return rig_pair(arg, "d", "a").reasons[GW_DROP_NO_RX_BUFFERS] == 1;
}

/* In a network of three it does not; but the port is not down. */
static void frames_without_a_place_are_dropped_for_that(void **state)
{
	uint8_t frame[LEN];
	struct setup s;

	start(&s, three_ports, *state);
	offer_buffers(&s);
	answer_all(&s);
	flush_all(&s);
	vm_frame(frame, LEN, 0xff, 0xd0, 0);
	assert_true(loop_test_receive(s.loop, frame, LEN, NULL));
	vm_wait(a_frame_is_dropped, &s.rig, "a frame that found no place");
	assert_int_equal(rig_pair(&s.rig, "d", "a").reasons[GW_DROP_EGRESS_DOWN], 0);
	vm_map(&s.vm, VM_MEMORY_ADDR, VM_MEMORY_BYTES);
	receive_some(&s, 1);
	end(&s);
}

/*
 * CVE-2021-3748: QEMU wrote num_buffers into the first buffer of a frame when that had been
 * unmapped already. Here nothing is written before there is a place for all of it.
 */
static void half_a_place_for_a_frame_is_not_written_to(void **state)
{
	uint8_t frame[LONG_LEN], bytes[VM_SLOT_BYTES];
	const uint8_t *slot;
	struct setup s;
	uint64_t addr;

	start(&s, three_ports, *state);
	addr = s.vm.rx.slots_addr;
	slot = memset(mock_at(&s.vm.memory, addr), UNTOUCHED, 2 * VM_SLOT_BYTES);
	vm_offer_rx(&s.vm, 2);
	assert_int_equal(vm_wait_miss(&s.vm), addr);
	vm_map(&s.vm, addr, VM_SLOT_BYTES);
	assert_int_equal(vm_wait_miss(&s.vm), addr + VM_SLOT_BYTES);
	vm_frame(frame, LONG_LEN, 0xff, 0xd0, 1);
	assert_true(loop_test_receive(s.loop, frame, LONG_LEN, NULL));
	vm_wait(a_frame_is_dropped, &s.rig, "a frame that found half a place");
	vm_unmap_begin(&s.vm, addr, VM_SLOT_BYTES);
	vm_unmap_end(&s.vm);
	for (unsigned int i = 0; i < 2 * VM_SLOT_BYTES; i++)
		assert_int_equal(slot[i], UNTOUCHED);
	vm_map(&s.vm, addr, 2 * VM_SLOT_BYTES);
	assert_true(loop_test_receive(s.loop, frame, LONG_LEN, NULL));
	assert_int_equal(vm_receive(&s.vm, bytes, sizeof(bytes)), VM_SLOT_BYTES - VM_HEADER);
	assert_int_equal(slot[offsetof(struct virtio_net_hdr_v1, num_buffers)], 2);
	assert_memory_equal(bytes, frame, VM_SLOT_BYTES - VM_HEADER);
	end(&s);
}

/* The run ends before the front-end has said where its rings are: nothing is lost with it. */
static void a_run_ends_before_its_rings_have_a_place(void **state)
{
	uint16_t heads[LOANS];
	uint16_t base;
	struct setup s;

	start(&s, device_ports, *state);
	offer_buffers(&s);
	answer_all(&s);
	receive_some(&s, 3);
	lend(&s);
	vm_unmap_begin(&s.vm, 1, UINT64_MAX);
	assert_false(vm_answered(&s.vm, SHORT_MS));
	loop_test_hold(s.loop, false);
	vm_unmap_end(&s.vm);
	/* Each was shown where the ring was until then. */
	assert_int_equal(vm_poll_used(&s.vm, heads, LOANS), LOANS);
	base = vm_stop_ring(&s.vm, 0);
	if (!*state)
		assert_int_equal(base, 3);
	base = vm_stop_ring(&s.vm, 1);
	if (!*state)
		assert_int_equal(base, LOANS + 1);
	end(&s);
}

/*
 * A process before this one had two buffers of each ring in its hands when it was killed;
 * those of the guest's have no address yet.
 */
static void start_with_two_in_flight(struct setup *s)
{
	const struct vm_options options = { .iommu = true, .inflight = true };
	uint8_t frame[LEN];
	char path[128];

	rig_start(&s->rig, device_ports);
	rig_guest_with(&s->rig, &s->vm, "a", &options);
	s->loop = loop_test_find("d");
	offer_buffers(s);
	vm_frame(frame, LEN, 0xd0, 0xe0, 0);
	vm_stop_ring(&s->vm, 0);
	vm_stop_ring(&s->vm, 1);
	for (unsigned int i = 0; i < 2; i++)
		vm_send(&s->vm, frame, LEN);
	for (unsigned int i = 0; i < 2; i++)
		vm_record(&s->vm, i, 2);
	snprintf(path, sizeof(path), "%s/a", s->rig.folder);
	vm_come_again(&s->vm, path);
}

/* They are given back, unseen: nobody can say where they are, and the base is behind them. */
static void a_run_ends_before_buffers_in_flight_have_an_address(void **state)
{
	struct setup s;

	start_with_two_in_flight(&s);
	for (unsigned int i = 0; i < 2; i++) {
		const struct vm_ring *ring = i ? &s.vm.tx : &s.vm.rx;

		assert_int_equal(vm_stop_ring(&s.vm, i), 2);
		assert_int_equal(ring->driver.used->idx, 2);
		assert_int_equal(vm_recorded(&s.vm, i), 0);
	}
	end(&s);
}

/* No more can they be given back where the ring itself has no place: the next run has them. */
static void a_run_ends_when_its_ring_with_buffers_in_flight_has_no_place(void **state)
{
	struct setup s;

	start_with_two_in_flight(&s);
	vm_unmap_begin(&s.vm, 1, UINT64_MAX);
	vm_unmap_end(&s.vm);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(vm_stop_ring(&s.vm, i), 2);
		assert_int_equal(vm_recorded(&s.vm, i), 2);
	}
	vm_map(&s.vm, VM_MEMORY_ADDR, VM_MEMORY_BYTES);
	for (unsigned int i = 0; i < 2; i++)
		vm_go_on(&s.vm, i, 2);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vm_wait_used(&s.vm), s.vm.tx.driver.avail->ring[i]);
	receive_some(&s, 2);
	assert_int_equal(s.vm.rx.driver.used->idx, 2);
	end(&s);
}

/* The guest forgets all that it had, and so does the record. */
static void a_reset_of_rings_with_buffers_in_flight(void **state)
{
	struct setup s;

	start_with_two_in_flight(&s);
	flush_all(&s);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vm_recorded(&s.vm, i), 2);
	vm_reset_owner(&s.vm);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(vm_recorded(&s.vm, i), 0);
	end(&s);
}

#define BOTH(fn)                                                  \
	cmocka_unit_test(fn),                                     \
	{                                                         \
#fn " (packed)", fn, NULL, NULL, (void *)"packed" \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(invalidation_waits_for_the_loans_it_touches),
		BOTH(invalidation_waits_for_pieces_of_a_frame_in_many_buffers),
		BOTH(invalidation_beside_loans_waits_for_none),
		BOTH(rings_taken_away_stop_with_their_loans),
		BOTH(held_device_is_recalled_for_an_invalidation),
		BOTH(dead_device_holds_up_no_invalidation),
		BOTH(receive_buffers_are_asked_for_before_a_frame_comes),
		BOTH(no_frame_is_dropped_for_an_address_that_was_to_be_had),
		BOTH(frames_wait_for_a_ring_without_a_place),
		BOTH(frames_without_a_place_are_dropped_for_that),
		BOTH(half_a_place_for_a_frame_is_not_written_to),
		BOTH(a_run_ends_before_its_rings_have_a_place),
		cmocka_unit_test(a_run_ends_before_buffers_in_flight_have_an_address),
		cmocka_unit_test(a_run_ends_when_its_ring_with_buffers_in_flight_has_no_place),
		cmocka_unit_test(a_reset_of_rings_with_buffers_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
