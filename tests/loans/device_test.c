/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that hold loans, for long or for ever, when a ring stops, is suspended, its
 * memory changes, its guest leaves or the engine ends: each of these ends all the same,
 * and what a dead device holds is quarantined. (isolation_test.c: what that costs others.)
 */
#include "rig.h"

#include "loop.h"
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/*
 * The bound for everything a front-end waits for, whatever a device does: not 2 s, with
 * room for a machine that does other things. Without a bound it would be for ever.
 */
#define BOUND_MS 8000u

/* ---- stopping with loans out ---- */

static void stop_waits_for_loans_and_ends_with_used_equal_to_taken(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:", NULL };
	struct loop *loop;
	struct rig rig;
	struct vm vm;
	uint16_t base;

	rig_start_with(&rig, ports, RIG_STOP_MAX_MS);
	rig_guest(&rig, &vm, "a");
	rig_settle(&rig, &vm, "a", "d");
	loop = loop_test_find("d");
	rig_fill_up(&rig, &vm, loop, "a", "d", 20);
	vm_stop_begin(&vm, 1);
	assert_false(vm_answered(&vm, 50));
	loop_test_hold(loop, false);
	base = vm_stop_end(&vm, 1);
	assert_int_equal(base, 21);
	assert_int_equal(vm.tx.driver.used->idx, base);
	vm_free(&vm);
	rig_free(&rig);
}

static bool device_runs(void *arg)
{
	return rig_port(arg, "d").state == GW_PORT_RUNNING;
}

static void stop_recalls_loans_from_a_held_device(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:", NULL };
	uint64_t begin_ns;
	struct rig rig;
	struct vm vm;
	uint16_t base;

	rig_start_with(&rig, ports, RIG_STOP_MAX_MS);
	rig_guest(&rig, &vm, "a");
	rig_settle(&rig, &vm, "a", "d");
	rig_fill_up(&rig, &vm, loop_test_find("d"), "a", "d", 20);
	begin_ns = gw_now_ns();
	base = vm_stop_ring(&vm, 1);
	assert_true(gw_now_ns() - begin_ns < BOUND_MS * 1000000ull);
	assert_int_equal(base, 21);
	assert_int_equal(vm.tx.driver.used->idx, base);
	assert_int_equal(rig_port(&rig, "d").quarantined, 0);
	/* The loans were home before the device runs again. */
	vm_wait(device_runs, &rig, "the device to run again");
	vm_free(&vm);
	rig_free(&rig);
}

/* Room for every copy that is made while the device is asked again: it gives none back. */
static const char *const stubborn_ports[] = { "a=guest:%s/a",
					      "d=loop:,stubborn=on,ring=4096,bounce=2000", NULL };

/* The device gives nothing back even when it is closed: 20 frames in quarantine. */
static void quarantine(struct rig *rig, struct vm *vm, void (*end)(struct vm *vm))
{
	uint64_t begin_ns;

	rig_start(rig, stubborn_ports);
	rig_guest(rig, vm, "a");
	rig_settle(rig, vm, "a", "d");
	rig_fill_up(rig, vm, loop_test_find("d"), "a", "d", 20);
	begin_ns = gw_now_ns();
	end(vm);
	assert_true(gw_now_ns() - begin_ns < BOUND_MS * 1000000ull);
}

static bool is_quarantined(void *arg)
{
	return rig_port(arg, "d").quarantined == 20;
}

static bool quarantine_over(void *arg)
{
	return rig_port(arg, "d").quarantined == 0;
}

static void stop_ring(struct vm *vm)
{
	/* The heads are not completed: the guest must not reuse what a device may read. */
	assert_int_equal(vm_stop_ring(vm, 1), 21);
	assert_int_equal(vm->tx.driver.used->idx, 1);
}

static void stop_quarantines_what_a_dead_device_holds(void **state)
{
	struct rig rig;
	struct vm vm;

	quarantine(&rig, &vm, stop_ring);
	vm_wait(is_quarantined, &rig, "the loans to be quarantined");
	vm_free(&vm);
	rig_free(&rig);
}

struct quarantine_wait {
	struct rig *rig;
	struct vm *vm;
};

static bool copied_for_quarantine(void *arg)
{
	struct quarantine_wait *wait = arg;

	rig_send(wait->vm, 0xd0, 0);
	vm_wait_used(wait->vm);
	return rig_pair(wait->rig, "a", "d").reasons[GW_COPY_QUARANTINE] > 0;
}

static void quarantined_device_is_lent_nothing(void **state)
{
	struct rig rig;
	struct vm vm;
	struct quarantine_wait wait = { &rig, &vm };

	quarantine(&rig, &vm, stop_ring);
	vm_start_tx(&vm);
	vm_wait(device_runs, &rig, "the device to run again");
	vm_wait(copied_for_quarantine, &wait, "a copy because of the quarantine");
	assert_int_equal(rig_pair(&rig, "a", "d").loans_out, 20);
	vm_free(&vm);
	rig_free(&rig);
}

static void late_completions_after_a_stop_hurt_nobody(void **state)
{
	struct rig rig;
	struct vm vm;

	quarantine(&rig, &vm, stop_ring);
	vm_start_tx(&vm);
	loop_test_hold(loop_test_find("d"), false);
	vm_wait(quarantine_over, &rig, "the quarantine to end");
	/* None of the old heads was completed on the new run of the ring. */
	assert_int_equal(vm.tx.driver.used->idx, 0);
	rig_send(&vm, 0xd0, 0);
	vm_wait_used(&vm);
	vm_free(&vm);
	rig_free(&rig);
}

static void change_memory(struct vm *vm)
{
	struct mock_memory old = vm->memory;

	memset(&vm->memory, 0, sizeof(vm->memory));
	vm_share_memory(vm); /* a REPLY_ACK says when it is done */
	mock_memory_close(&old);
}

static void memory_change_ends_although_a_device_is_dead(void **state)
{
	struct rig rig;
	struct vm vm;

	quarantine(&rig, &vm, change_memory);
	vm_wait(is_quarantined, &rig, "the loans to be quarantined");
	/* What the device still reads is still mapped. */
	assert_int_equal(loop_test_counts(loop_test_find("d")).mapped, 1);
	vm_free(&vm);
	rig_free(&rig);
}

static void disconnect_ends_although_a_device_is_dead(void **state)
{
	struct rig rig;
	struct vm vm;

	quarantine(&rig, &vm, vm_disconnect);
	vm_wait(is_quarantined, &rig, "the loans to be quarantined");
	/* The next front-end is served. */
	vm_free(&vm);
	rig_guest(&rig, &vm, "a");
	rig_send(&vm, 0xd0, 0);
	vm_wait_used(&vm);
	vm_free(&vm);
	rig_free(&rig);
}

static void engine_stop_reports_what_is_lost(void **state)
{
	struct rig rig;
	struct vm vm;

	quarantine(&rig, &vm, stop_ring);
	assert_int_equal(rig_stop(&rig), 20);
	vm_free(&vm);
	rig_free(&rig);
}

/* ---- GET_VRING_BASE_SKIP_DRAIN ---- */

static const char *const two_stubborn_ports[] = { "a=guest:%s/a", "b=guest:%s/b",
						  "d=loop:,stubborn=on,ring=4096,bounce=2000",
						  NULL };

/* 20 frames are in a device that is dead, and its guest's ring was suspended. */
static void suspend(struct rig *rig, struct vm *vm)
{
	const struct vm_options options = { .inflight = true };
	uint64_t begin_ns;

	rig_start(rig, two_stubborn_ports);
	rig_guest_with(rig, vm, "a", &options);
	rig_settle(rig, vm, "a", "d");
	assert_int_equal(vm_recorded(vm, 1), 0);
	rig_fill_up(rig, vm, loop_test_find("d"), "a", "d", 20);
	begin_ns = gw_now_ns();
	assert_int_equal(vm_suspend_tx(vm), 21);
	assert_true(gw_now_ns() - begin_ns < BOUND_MS * 1000000ull);
	assert_int_equal(vm->tx.driver.used->idx, 1);
	assert_int_equal(vm_recorded(vm, 1), 20);
	vm_wait(is_quarantined, rig, "the loans to be quarantined");
	vm_wait(device_runs, rig, "the device to run again");
}

static bool all_used(void *arg)
{
	return *(volatile uint16_t *)&((struct vm *)arg)->tx.driver.used->idx == 21;
}

static void a_suspended_ring_is_gone_on_with_by_another(void **state)
{
	char path[128];
	struct rig rig;
	struct vm vm;

	suspend(&rig, &vm);
	vm_disconnect(&vm);
	snprintf(path, sizeof(path), "%s/b", rig.folder);
	vm_connect(&vm, path);
	vm_share_inflight(&vm);
	vm_share_memory(&vm);
	vm_go_on(&vm, 1, 21);
	vm_wait(all_used, &vm, "what was in flight to be given back");
	assert_int_equal(rig_port(&rig, "b").taken_again, 20);
	assert_int_equal(vm_stop_ring(&vm, 1), 21);
	assert_int_equal(vm_recorded(&vm, 1), 0);
	/* The device's own come home to nobody. */
	loop_test_hold(loop_test_find("d"), false);
	vm_wait(quarantine_over, &rig, "the quarantine to end");
	assert_true(all_used(&vm));
	vm_free(&vm);
	rig_free(&rig);
}

/* The back-end that goes on is the one whose device has them: neither sent nor given back. */
static void a_suspended_ring_is_gone_on_with_beside_its_ghost(void **state)
{
	struct rig rig;
	struct vm vm;
	uint16_t head;

	suspend(&rig, &vm);
	vm_go_on(&vm, 1, 21);
	head = rig_send(&vm, 0xd0, 0);
	assert_int_equal(vm_wait_used(&vm), head);
	assert_int_equal(rig_port(&rig, "a").taken_again, 0);
	loop_test_hold(loop_test_find("d"), false);
	vm_wait(quarantine_over, &rig, "the quarantine to end");
	assert_int_equal(vm_stop_ring(&vm, 1), 22);
	assert_int_equal(vm.tx.driver.used->idx, 2);
	vm_free(&vm);
	rig_free(&rig);
}

/* Where the device gives all back, nothing is left, and the ring goes by its base. */
static void a_suspended_ring_waits_for_its_loans(void **state)
{
	const struct vm_options options = { .inflight = true };
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:,ring=4096,bounce=2000",
					     NULL };
	struct rig rig;
	struct vm vm;

	rig_start_with(&rig, ports, RIG_STOP_MAX_MS);
	rig_guest_with(&rig, &vm, "a", &options);
	rig_settle(&rig, &vm, "a", "d");
	rig_fill_up(&rig, &vm, loop_test_find("d"), "a", "d", 20);
	assert_int_equal(vm_suspend_tx(&vm), 21);
	assert_int_equal(vm.tx.driver.used->idx, 21);
	assert_int_equal(vm_recorded(&vm, 1), 0);
	vm_start_tx(&vm); /* the guest's driver anew: the record has no place of its own */
	vm_wait(device_runs, &rig, "the device to run again");
	rig_send(&vm, 0xd0, 0);
	vm_wait_used(&vm);
	assert_int_equal(rig_port(&rig, "a").taken_again, 0);
	vm_free(&vm);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stop_waits_for_loans_and_ends_with_used_equal_to_taken),
		cmocka_unit_test(stop_recalls_loans_from_a_held_device),
		cmocka_unit_test(stop_quarantines_what_a_dead_device_holds),
		cmocka_unit_test(quarantined_device_is_lent_nothing),
		cmocka_unit_test(a_suspended_ring_is_gone_on_with_by_another),
		cmocka_unit_test(a_suspended_ring_is_gone_on_with_beside_its_ghost),
		cmocka_unit_test(a_suspended_ring_waits_for_its_loans),
		cmocka_unit_test(late_completions_after_a_stop_hurt_nobody),
		cmocka_unit_test(memory_change_ends_although_a_device_is_dead),
		cmocka_unit_test(disconnect_ends_although_a_device_is_dead),
		cmocka_unit_test(engine_stop_reports_what_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
