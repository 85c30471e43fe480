/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loans, end to end in one process: what a guest's buffer is to a device, when it
 * comes back, and what decides between lending, copying and dropping. No test
 * here believes the ledger about a copy: it rewrites the guest's buffer and looks
 * at what the device then has.
 */
#include "rig.h"

#include "loop.h"
#include <string.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LEN 1000u
#define OLD 0xaa
#define NEW 0x55

static const char *const pair_ports[] = { "a=guest:%s/a", "d=loop:", NULL };

struct setup {
	struct rig rig;
	struct vm vm;
	struct loop *loop;
};

/* A guest, a device, and the driver's answer for that guest's memory. */
static void setup(struct setup *s, const char *const *ports)
{
	memset(s, 0, sizeof(*s));
	rig_start(&s->rig, ports);
	rig_guest(&s->rig, &s->vm, "a");
	s->loop = loop_test_find("d");
	assert_non_null(s->loop);
	rig_settle(&s->rig, &s->vm, "a", "d");
}

static void teardown(struct setup *s)
{
	vm_free(&s->vm);
	rig_free(&s->rig);
}

static uint16_t send_one(struct vm *vm, uint32_t len, uint8_t fill)
{
	uint8_t frame[VM_SLOT_BYTES];

	vm_frame(frame, len, 0xd0, 0xe0, fill);
	return vm_send(vm, frame, len);
}

/* What the device would transmit now of the frame at `index`. */
static uint8_t device_sees(struct loop *loop, unsigned int index)
{
	uint8_t bytes[VM_SLOT_BYTES];
	struct loop_test_view view;

	loop_test_peek(loop, index, &view, bytes, sizeof(bytes));
	return bytes[view.len - 1];
}

/* ---- whose bytes the device reads ---- */

static void lent_frame_shows_rewritten_bytes(void **state)
{
	struct setup s;
	uint16_t head;

	setup(&s, pair_ports);
	loop_test_hold(s.loop, true);
	head = send_one(&s.vm, LEN, OLD);
	rig_wait_held(s.loop, 1);
	assert_int_equal(device_sees(s.loop, 0), OLD);
	memset(vm_sent_bytes(&s.vm, head) + 14, NEW, LEN - 14);
	assert_int_equal(device_sees(s.loop, 0), NEW);
	teardown(&s);
}

static void bounced_frame_keeps_old_bytes(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:,answer=no", NULL };
	struct setup s;
	uint16_t head;

	setup(&s, ports);
	loop_test_hold(s.loop, true);
	head = send_one(&s.vm, LEN, OLD);
	/* The guest has its buffer back although the device has not completed anything. */
	assert_int_equal(vm_wait_used(&s.vm), head);
	rig_wait_held(s.loop, 1);
	memset(vm_sent_bytes(&s.vm, head) + 14, NEW, LEN - 14);
	assert_int_equal(device_sees(s.loop, 0), OLD);
	teardown(&s);
}

static void bounce_memory_is_not_guest_memory(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:,loan=never", NULL };
	struct loop_test_view view;
	struct setup s;

	setup(&s, ports);
	loop_test_hold(s.loop, true);
	send_one(&s.vm, LEN, OLD);
	rig_wait_held(s.loop, 1);
	loop_test_peek(s.loop, 0, &view, NULL, 0);
	assert_null(view.memmap);
	/* No descriptor ever came with a reply: a guest has nothing to map. */
	vm_stop_ring(&s.vm, 1);
	assert_int_equal(s.vm.reply_fds, 0);
	teardown(&s);
}

/* ---- when the buffer comes back ---- */

static void buffer_returns_only_after_completion(void **state)
{
	struct setup s;
	uint16_t head, used[4];

	setup(&s, pair_ports);
	loop_test_hold(s.loop, true);
	head = send_one(&s.vm, LEN, OLD);
	rig_wait_held(s.loop, 1);
	assert_int_equal(vm_poll_used(&s.vm, used, 4), 0);
	assert_int_equal(loop_test_release(s.loop, 1), 1);
	assert_int_equal(vm_wait_used(&s.vm), head);
	assert_int_equal(vm_poll_used(&s.vm, used, 4), 0);
	teardown(&s);
}

static void buffers_return_in_the_devices_order(void **state)
{
	struct setup s;
	uint16_t head[3];

	setup(&s, pair_ports);
	loop_test_hold(s.loop, true);
	for (unsigned int i = 0; i < 3; i++)
		head[i] = send_one(&s.vm, LEN, OLD);
	rig_wait_held(s.loop, 3);
	loop_test_complete(s.loop, 2, false);
	assert_int_equal(vm_wait_used(&s.vm), head[2]);
	loop_test_complete(s.loop, 0, false);
	assert_int_equal(vm_wait_used(&s.vm), head[0]);
	loop_test_complete(s.loop, 0, true);
	assert_int_equal(vm_wait_used(&s.vm), head[1]);
	assert_int_equal(rig_pair(&s.rig, "a", "d").reasons[GW_DROP_DEVICE_ERROR], 1);
	teardown(&s);
}

/* Duplicates, bogus cookies and random order, under load: each head exactly once. */
static void each_buffer_returns_exactly_once(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:,order=random,duplicate=3",
					     NULL };
	bool out[VM_RING_SIZE] = { false };
	unsigned int sent = 0, back = 0;
	struct setup s;

	setup(&s, ports);
	while (back < 20000) {
		if (sent < 20000 && sent - back < 100) {
			uint16_t head = send_one(&s.vm, LEN, OLD);

			assert_false(out[head]);
			out[head] = true;
			sent++;
		} else {
			uint16_t head = vm_wait_used(&s.vm);

			assert_true(out[head]);
			out[head] = false;
			back++;
		}
		if (sent % 1000 == 0)
			loop_test_bogus(s.loop, 0xffff000000000000ull | sent, 2);
	}
	assert_int_equal(vm_stop_ring(&s.vm, 1), (uint16_t)(20000 + 1));
	assert_true(loop_test_counts(s.loop).bogus > 0);
	teardown(&s);
}

/* ---- the decision ---- */

static void short_frames_are_copied(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:,copybreak=500", NULL };
	struct gw_pair_info info;
	struct setup s;

	setup(&s, ports);
	send_one(&s.vm, 499, OLD);
	send_one(&s.vm, 500, OLD);
	vm_wait_used(&s.vm);
	vm_wait_used(&s.vm);
	rig_wait_decided(&s.rig, "a", "d", 3);
	info = rig_pair(&s.rig, "a", "d");
	assert_int_equal(info.reasons[GW_COPY_COPYBREAK], 1);
	assert_int_equal(info.lent_frames, 1);
	assert_int_equal(info.lent_bytes, 500);
	teardown(&s);
}

static bool mapped_anew(void *arg)
{
	struct loop_test_counts counts = loop_test_counts(arg);

	return counts.maps == 2 && counts.unmaps == 1;
}

static void query_runs_once_for_each_memory(void **state)
{
	struct setup s;
	unsigned int before;

	setup(&s, pair_ports);
	before = loop_test_queries(s.loop);
	assert_int_equal(before, 1);
	for (unsigned int i = 0; i < 500; i++) {
		send_one(&s.vm, LEN, OLD);
		vm_wait_used(&s.vm);
	}
	assert_int_equal(loop_test_queries(s.loop), 1);
	/* New memory is a new question, and the old is not mapped any more. */
	vm_free(&s.vm);
	rig_guest(&s.rig, &s.vm, "a");
	send_one(&s.vm, LEN, OLD);
	vm_wait(mapped_anew, s.loop, "the second memory to be mapped");
	assert_int_equal(loop_test_queries(s.loop), 2);
	assert_int_equal(loop_test_counts(s.loop).mapped, 1);
	teardown(&s);
}

struct flip_wait {
	struct setup *s;
	enum gw_reason reason; /* of a copy; GW_REASON_NONE: loans */
	uint64_t before;
};

static uint64_t decided_so(struct setup *s, enum gw_reason reason)
{
	struct gw_pair_info info = rig_pair(&s->rig, "a", "d");

	return reason == GW_REASON_NONE ? info.lent_frames : info.reasons[reason];
}

/* Keeps traffic going until a frame is decided by the new answer. */
static bool flipped(void *arg)
{
	struct flip_wait *wait = arg;

	send_one(&wait->s->vm, LEN, OLD);
	vm_wait_used(&wait->s->vm);
	/* A frame is back before it is counted: the last one may have been decided long ago. */
	return decided_so(wait->s, wait->reason) > wait->before + 1;
}

static void flip_to(struct setup *s, const struct gw_answer *answer, enum gw_reason reason)
{
	struct flip_wait wait = { s, reason, decided_so(s, reason) };

	loop_test_answer(s->loop, answer);
	vm_wait(flipped, &wait, "a frame to be decided by the new answer");
}

static void answer_flips_under_traffic(void **state)
{
	const struct gw_answer no = { .verdict = GW_NO,
				      .reason = GW_COPY_DEVICE_CANNOT,
				      .max_segs = 1 };
	struct gw_answer yes;
	struct setup s;

	setup(&s, pair_ports);
	yes = loop_test_current_answer(s.loop);
	for (unsigned int i = 0; i < 50; i++) {
		flip_to(&s, &no, GW_COPY_DEVICE_CANNOT);
		flip_to(&s, &yes, GW_REASON_NONE);
	}
	/* Once for the first frame, and once for each time the driver said so: no more. */
	assert_int_equal(loop_test_queries(s.loop), 101);
	teardown(&s);
}

/* A network of three: what cannot be lent or copied is dropped, and the guest gets it all back. */
static void beyond_loans_and_bounce_buffers_frames_are_dropped(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:,loans=8,bounce=4",
					     "n=null:", NULL };
	struct gw_pair_info info;
	struct setup s;
	uint16_t used[64];
	unsigned int back = 0;

	setup(&s, ports);
	loop_test_hold(s.loop, true);
	for (unsigned int i = 0; i < 40; i++)
		send_one(&s.vm, LEN, OLD);
	rig_wait_decided(&s.rig, "a", "d", 41);
	info = rig_pair(&s.rig, "a", "d");
	assert_int_equal(info.loans_out, 8);
	assert_int_equal(info.reasons[GW_COPY_LOANS_OUT], 4);
	assert_int_equal(info.reasons[GW_DROP_EGRESS_FULL], 28);
	while (back < 32)
		back += vm_poll_used(&s.vm, used, 64);
	assert_int_equal(back, 32);
	loop_test_hold(s.loop, false);
	for (unsigned int i = 0; i < 8; i++)
		vm_wait_used(&s.vm);
	teardown(&s);
}

/* ---- flood ---- */

static void flooded_frame_is_home_when_the_last_device_gave_it_back(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:", "e=loop:", NULL };
	struct loop *other;
	struct setup s;
	uint16_t head, used[4];

	setup(&s, ports);
	other = loop_test_find("e");
	rig_settle(&s.rig, &s.vm, "a", "e");
	loop_test_hold(s.loop, true);
	loop_test_hold(other, true);
	head = send_one(&s.vm, LEN, OLD);
	rig_wait_held(s.loop, 1);
	rig_wait_held(other, 1);
	memset(vm_sent_bytes(&s.vm, head) + 14, NEW, LEN - 14);
	assert_int_equal(device_sees(s.loop, 0), NEW);
	assert_int_equal(device_sees(other, 0), NEW);
	loop_test_release(s.loop, 1);
	rig_wait_held(s.loop, 0);
	assert_int_equal(vm_poll_used(&s.vm, used, 4), 0);
	loop_test_release(other, 1);
	assert_int_equal(vm_wait_used(&s.vm), head);
	teardown(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lent_frame_shows_rewritten_bytes),
		cmocka_unit_test(bounced_frame_keeps_old_bytes),
		cmocka_unit_test(bounce_memory_is_not_guest_memory),
		cmocka_unit_test(buffer_returns_only_after_completion),
		cmocka_unit_test(buffers_return_in_the_devices_order),
		cmocka_unit_test(each_buffer_returns_exactly_once),
		cmocka_unit_test(short_frames_are_copied),
		cmocka_unit_test(query_runs_once_for_each_memory),
		cmocka_unit_test(answer_flips_under_traffic),
		cmocka_unit_test(beyond_loans_and_bounce_buffers_frames_are_dropped),
		cmocka_unit_test(flooded_frame_is_home_when_the_last_device_gave_it_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
