/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices that misbehave: hold everything for ever, never give anything back,
 * give it back too late. What that costs, and whom: the pair that uses the device
 * its share, and nobody else anything.
 */
#include "rig.h"

#include "loop.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LEN        1000u
/*
 * The bound for everything a front-end waits for, whatever a device does: not 2 s, with
 * room for a machine that does other things. Without a bound it would be for ever.
 */
#define BOUND_MS   8000u
#define ROUNDS_MAX 100000u
#define PACE_TRIES 10u

static uint16_t send_to(struct vm *vm, uint8_t destination, uint8_t source, uint8_t fill)
{
	uint8_t frame[LEN];

	vm_frame(frame, LEN, destination, source, fill);
	return vm_send(vm, frame, LEN);
}

/* Sends count frames one after the other, each waited for; returns nanoseconds. */
static uint64_t pace(struct vm *vm, unsigned int count, uint8_t destination)
{
	uint64_t begin_ns = gw_now_ns();

	for (unsigned int i = 0; i < count; i++) {
		send_to(vm, destination, 0xe0, 0);
		vm_wait_used(vm);
	}
	return gw_now_ns() - begin_ns;
}

/* The best of three: what else the machine does is not what is measured. */
static uint64_t best_pace(struct vm *vm, unsigned int count, uint8_t destination)
{
	uint64_t best_ns = UINT64_MAX;

	for (unsigned int i = 0; i < 3; i++) {
		uint64_t ns = pace(vm, count, destination);

		best_ns = ns < best_ns ? ns : best_ns;
	}
	return best_ns;
}

/* Fills a held device until it takes no more loans. */
static void fill_up(struct rig *rig, struct vm *vm, struct loop *loop, const char *source,
		    const char *egress, unsigned int loans)
{
	loop_test_hold(loop, true);
	for (unsigned int i = 0; i < loans; i++)
		send_to(vm, 0xd0, 0xe0, 0);
	rig_wait_held(loop, loans);
	assert_int_equal(rig_pair(rig, source, egress).loans_out, loans);
}

/* ---- a device that holds every completion ---- */

static void held_device_does_not_slow_another_guest(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a,network=red",
					     "d=loop:,network=red,loans=32,bounce=8",
					     "b=guest:%s/b,network=blue", "e=loop:,network=blue",
					     NULL };
	struct vm a, b;
	struct rig rig;
	uint64_t before_ns, after_ns = UINT64_MAX;

	rig_start(&rig, ports);
	rig_guest(&rig, &a, "a");
	rig_guest(&rig, &b, "b");
	rig_settle(&rig, &a, "a", "d");
	rig_settle(&rig, &b, "b", "e");
	pace(&b, 2000, 0xd0);
	before_ns = best_pace(&b, 5000, 0xd0);
	fill_up(&rig, &a, loop_test_find("d"), "a", "d", 32);
	for (unsigned int i = 0; i < 200; i++)
		send_to(&a, 0xd0, 0xe0, 0);
	/*
	 * Both include the scheduler's mood, so there are some attempts; a guest that waits
	 * for the device would take for ever.
	 */
	for (unsigned int i = 0; i < PACE_TRIES; i++) {
		after_ns = best_pace(&b, 5000, 0xd0);
		if (after_ns < 3 * before_ns + 100000000ull)
			break;
	}
	print_message("5000 round trips: %.1f ms alone, %.1f ms beside a dead device\n",
		      (double)before_ns / 1e6, (double)after_ns / 1e6);
	assert_true(after_ns < 3 * before_ns + 100000000ull);
	vm_free(&a);
	vm_free(&b);
	rig_free(&rig);
}

static bool full_drops(void *arg)
{
	return rig_pair(arg, "a", "d").reasons[GW_DROP_EGRESS_FULL] >= 1;
}

/* Frames of the same guest to another port of its network go on; the rest is dropped, counted. */
static void held_device_does_not_block_its_own_guest(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:,loans=32,bounce=8",
					     "e=loop:", NULL };
	const uint8_t here[14] = { 2, 0, 0, 0, 0, 0xe0, 2, 0, 0, 0, 0, 0xd0, 0x88, 0xb5 };
	const uint8_t there[14] = { 2, 0, 0, 0, 0, 0xe0, 2, 0, 0, 0, 0, 0xd1, 0x88, 0xb5 };
	uint8_t bytes[VM_SLOT_BYTES];
	struct loop *held;
	struct rig rig;
	struct vm vm;
	uint16_t used[64];
	unsigned int back = 0;

	rig_start(&rig, ports);
	rig_guest(&rig, &vm, "a");
	vm_offer_rx(&vm, 16);
	rig_settle(&rig, &vm, "a", "d");
	rig_settle(&rig, &vm, "a", "e");
	held = loop_test_find("d");
	/* The network learns who is behind which device. */
	assert_true(loop_test_receive(held, here, sizeof(here), NULL));
	assert_true(loop_test_receive(loop_test_find("e"), there, sizeof(there), NULL));
	vm_receive(&vm, bytes, sizeof(bytes));
	vm_receive(&vm, bytes, sizeof(bytes));
	fill_up(&rig, &vm, held, "a", "d", 32);
	for (unsigned int i = 0; i < 60; i++)
		send_to(&vm, 0xd0, 0xe0, 0);
	vm_wait(full_drops, &rig, "drops of what the held device cannot take");
	while (back < 60)
		back += vm_poll_used(&vm, used, 64);
	/* The pair's share is out; a quarter of the ring and more is still the guest's. */
	pace(&vm, 2000, 0xd1);
	assert_int_equal(rig_pair(&rig, "a", "e").reasons[GW_DROP_EGRESS_FULL], 0);
	assert_true(rig_pair(&rig, "a", "e").lent_frames >= 2000);
	assert_int_equal(rig_pair(&rig, "a", "d").reasons[GW_DROP_EGRESS_FULL], 52);
	vm_free(&vm);
	rig_free(&rig);
}

/* ---- stopping with loans out ---- */

static void stop_waits_for_loans_and_ends_with_used_equal_to_taken(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:", NULL };
	struct loop *loop;
	struct rig rig;
	struct vm vm;
	uint16_t base;

	rig_start(&rig, ports);
	rig_guest(&rig, &vm, "a");
	rig_settle(&rig, &vm, "a", "d");
	loop = loop_test_find("d");
	fill_up(&rig, &vm, loop, "a", "d", 20);
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

	rig_start(&rig, ports);
	rig_guest(&rig, &vm, "a");
	rig_settle(&rig, &vm, "a", "d");
	fill_up(&rig, &vm, loop_test_find("d"), "a", "d", 20);
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
	fill_up(rig, vm, loop_test_find("d"), "a", "d", 20);
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

	send_to(wait->vm, 0xd0, 0xe0, 0);
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
	send_to(&vm, 0xd0, 0xe0, 0);
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
	send_to(&vm, 0xd0, 0xe0, 0);
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
	fill_up(rig, vm, loop_test_find("d"), "a", "d", 20);
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
	head = send_to(&vm, 0xd0, 0xe0, 0);
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

	rig_start(&rig, ports);
	rig_guest_with(&rig, &vm, "a", &options);
	rig_settle(&rig, &vm, "a", "d");
	fill_up(&rig, &vm, loop_test_find("d"), "a", "d", 20);
	assert_int_equal(vm_suspend_tx(&vm), 21);
	assert_int_equal(vm.tx.driver.used->idx, 21);
	assert_int_equal(vm_recorded(&vm, 1), 0);
	vm_start_tx(&vm); /* the guest's driver anew: the record has no place of its own */
	vm_wait(device_runs, &rig, "the device to run again");
	send_to(&vm, 0xd0, 0xe0, 0);
	vm_wait_used(&vm);
	assert_int_equal(rig_port(&rig, "a").taken_again, 0);
	vm_free(&vm);
	rig_free(&rig);
}

/* ---- memory ---- */

static bool mapped_anew(void *arg)
{
	struct loop_test_counts counts = loop_test_counts(arg);

	return counts.maps == 2 && counts.unmaps == 1;
}

struct lent_wait {
	struct rig *rig;
	struct vm *vm;
	uint64_t before;
};

static bool lent_again(void *arg)
{
	struct lent_wait *wait = arg;

	send_to(wait->vm, 0xd0, 0xe0, 0);
	vm_wait_used(wait->vm);
	return rig_pair(wait->rig, "a", "d").lent_frames > wait->before;
}

static bool unmapped_for_discard(void *arg)
{
	struct lent_wait *wait = arg;

	send_to(wait->vm, 0xd0, 0xe0, 0);
	vm_wait_used(wait->vm);
	return mapped_anew(loop_test_find("d"));
}

/* cmocka takes SIGBUS for itself at the beginning of each test. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	if (!gw_sigbus(info->si_addr))
		abort();
}

static void handle_sigbus(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigaction(SIGBUS, &action, NULL);
}

static void need_userfaultfd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0) {
		print_message("no userfaultfd here: %s\n", strerror(errno));
		skip();
	}
	close(fd);
}

/* Long enough for more than one look. */
#define LOOKS_NS 1500000000ull

/* A balloon: what it takes is not sent from, and what is sent from is lent. */
static void memory_given_back_elsewhere_is_no_reason_to_copy(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:", NULL };
	const struct mock_region *region;
	struct rig rig;
	struct vm vm;
	struct lent_wait wait = { &rig, &vm, 0 };
	uint64_t until_ns;

	need_userfaultfd();
	rig_start(&rig, ports);
	handle_sigbus();
	rig_guest(&rig, &vm, "a");
	region = &vm.memory.region[0];
	/* What pinning does to the memory of a guest: every page is there. */
	assert_int_equal(fallocate(region->fd, 0, 0, (off_t)region->bytes), 0);
	rig_settle(&rig, &vm, "a", "d");
	vm_wait(lent_again, &wait, "a loan");
	assert_int_equal(fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)region->bytes - 65536, 65536),
			 0);
	until_ns = gw_now_ns() + LOOKS_NS;
	while (gw_now_ns() < until_ns) {
		wait.before = rig_pair(&rig, "a", "d").lent_frames;
		assert_true(lent_again(&wait));
	}
	assert_int_equal(loop_test_counts(loop_test_find("d")).maps, 1);
	vm_free(&vm);
	rig_free(&rig);
}

/* Another page at the same place, before anybody has looked: the file is as full as ever. */
static void a_page_that_went_and_came_back_is_not_lent(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a", "d=loop:", NULL };
	struct gw_pair_info before, after;
	const struct mock_region *region;
	struct rig rig;
	struct vm vm;
	struct lent_wait wait = { &rig, &vm, 0 };

	need_userfaultfd();
	rig_start(&rig, ports);
	handle_sigbus();
	rig_guest(&rig, &vm, "a");
	region = &vm.memory.region[0];
	rig_settle(&rig, &vm, "a", "d");
	vm_wait(lent_again, &wait, "a loan");
	before = rig_pair(&rig, "a", "d");
	assert_int_equal(fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)(vm.tx.slots_addr - VM_MEMORY_ADDR),
				   VM_SLOTS * VM_SLOT_BYTES),
			 0);
	assert_int_equal(fallocate(region->fd, 0, 0, (off_t)region->bytes), 0);
	send_to(&vm, 0xd0, 0xe0, 0);
	vm_wait_used(&vm);
	after = rig_pair(&rig, "a", "d");
	assert_int_equal(after.lent_frames, before.lent_frames);
	assert_int_equal(after.reasons[GW_COPY_MEMORY_DISCARDED],
			 before.reasons[GW_COPY_MEMORY_DISCARDED] + 1);
	vm_wait(unmapped_for_discard, &wait, "the memory to be mapped anew");
	wait.before = rig_pair(&rig, "a", "d").lent_frames;
	vm_wait(lent_again, &wait, "a loan of the memory that was mapped anew");
	vm_free(&vm);
	rig_free(&rig);
}

/* ---- isolation ---- */

static bool turned_out(void *arg)
{
	struct pollfd pollfd = { .fd = ((struct vm *)arg)->fd, .events = POLLRDHUP };

	return poll(&pollfd, 1, 0) > 0 && pollfd.revents & (POLLRDHUP | POLLHUP);
}

/* Whether an eventfd blocks is in its owner's hand at any time: here when it would interrupt. */
static void eventfd_that_blocks_costs_its_own_session(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a,network=red", "d=null:,network=red",
					     "b=guest:%s/b,network=blue", "e=null:,network=blue",
					     NULL };
	const uint64_t full = UINT64_MAX - 1;
	struct vm a, b;
	struct rig rig;

	rig_start(&rig, ports);
	rig_guest(&rig, &a, "a");
	rig_guest(&rig, &b, "b");
	mock_want_interrupt(&a.tx.driver);
	assert_int_equal(fcntl(a.tx.call_fd, F_SETFL, 0), 0);
	assert_int_equal(write(a.tx.call_fd, &full, sizeof(full)), sizeof(full));
	send_to(&a, 0xd0, 0xe0, 0);
	/* One worker serves both: b's frames prove that it goes on. */
	pace(&b, 1000, 0xd0);
	vm_wait(turned_out, &a, "the front-end to be turned out");
	pace(&b, 1000, 0xd0);
	fcntl(a.tx.call_fd, F_SETFL, O_NONBLOCK);
	vm_free(&a);
	vm_free(&b);
	rig_free(&rig);
}

static void two_networks_hear_nothing_of_each_other(void **state)
{
	static const char *const ports[] = { "a=guest:%s/a,network=red",
					     "d=loop:,network=red,echo=swap",
					     "b=guest:%s/b,network=blue",
					     "e=loop:,network=blue,answer=no,echo=swap", NULL };
	uint8_t bytes[VM_SLOT_BYTES];
	struct vm a, b;
	struct rig rig;

	rig_start(&rig, ports);
	rig_guest(&rig, &a, "a");
	rig_guest(&rig, &b, "b");
	/* Until the driver of red has answered, and frames there are lent. */
	for (unsigned int i = 0; i < 200 || !rig_pair(&rig, "a", "d").lent_frames; i++) {
		assert_true(i < ROUNDS_MAX);
		vm_offer_rx(&a, 1);
		vm_offer_rx(&b, 1);
		send_to(&a, 0xd0, 0xe0, 0xaa);
		send_to(&b, 0xd0, 0xe0, 0xbb);
		assert_int_equal(vm_receive(&a, bytes, sizeof(bytes)), LEN);
		assert_int_equal(bytes[LEN - 1], 0xaa);
		assert_int_equal(vm_receive(&b, bytes, sizeof(bytes)), LEN);
		assert_int_equal(bytes[LEN - 1], 0xbb);
		vm_wait_used(&a);
		vm_wait_used(&b);
	}
	assert_true(vm_nothing_received(&a));
	assert_true(vm_nothing_received(&b));
	assert_int_equal(rig_pair(&rig, "b", "e").lent_frames, 0);
	vm_free(&a);
	vm_free(&b);
	rig_free(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(held_device_does_not_slow_another_guest),
		cmocka_unit_test(held_device_does_not_block_its_own_guest),
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
		cmocka_unit_test(memory_given_back_elsewhere_is_no_reason_to_copy),
		cmocka_unit_test(a_page_that_went_and_came_back_is_not_lent),
		cmocka_unit_test(eventfd_that_blocks_costs_its_own_session),
		cmocka_unit_test(two_networks_hear_nothing_of_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
