/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back-end that is killed: after each single instruction.
 *
 * A child works on a ring with a record, one instruction at a time (PTRACE_SINGLESTEP).
 * Whenever that has changed the guest's memory or the record, the test looks at what a
 * process that was killed there would have left: it makes a ring of it, and the guest has
 * to get every chain exactly once, those in flight first and in their order, with the
 * descriptors that they had. The ring that goes on is itself killed after each
 * instruction of its beginning.
 *
 * The guest is the mock; bursts of pops, pushes in any order, unpops and flushes are
 * random ones with a fixed seed, on small rings that wrap often.
 */
#include "ring.h"

#include "mock_driver.h"
#include "ring_record.h"
#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FEATURE(bit)      (1ull << (bit))
#define INDIRECT          FEATURE(VIRTIO_RING_F_INDIRECT_DESC)
#define IN_ORDER          FEATURE(VIRTIO_F_IN_ORDER)
#define PACKED            (FEATURE(VIRTIO_F_RING_PACKED) | FEATURE(VIRTIO_F_VERSION_1))
#define RING_ADDR         0x1000ull
#define TABLE_ADDR        0x4000ull /* never the same one twice while a chain is out */
#define TABLE_BYTES       64u
#define TABLES            256u
#define BUFFER_ADDR       0x8000ull
#define MEMORY_BYTES      0x10000ull
#define WATCHED_BYTES     0x4000u /* up to there the device writes */
#define SIZE_MAX_HERE     8u
#define RECORD_BYTES      512u
#define BURST_OPS         7
/* Where the second lap of a packed ring begins. */
#define MOCK_PLACE_SECOND 0u
/* A beginning has some thousands of instructions, a burst some hundreds. */
#define STEPS_MAX         2000000u

/* A sanitizer's instructions are many, and add no states. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#ifdef SANITIZED
#define ROUNDS      3
#define BEGIN_EVERY 1000u
#else
#define ROUNDS      10
#define BEGIN_EVERY 20u
#endif

/* The guest, and what it knows of its chains. */
struct guest {
	struct mock_driver driver;
	uint16_t offered[SIZE_MAX_HERE]; /* heads that are the device's, in their order */
	unsigned int count;
	uint64_t bytes[SIZE_MAX_HERE]; /* of a head's chain */
	uint32_t serial;
};

struct rig {
	struct mock_memory memory;
	struct guest guest;
	uint8_t *record;
	bool based; /* the front-end knows the place: no back-end has died yet */
	uint64_t seed;
	struct ring *ring;
	uint16_t taken[SIZE_MAX_HERE];
	unsigned int taken_count;
	unsigned int states, states_again; /* that were looked at */
};

struct shared {
	uint8_t memory[MEMORY_BYTES];
	uint8_t record[RECORD_BYTES];
};

/* ---- what outlives a process ---- */

static void save(const struct rig *rig, struct shared *shared)
{
	memcpy(shared->memory, rig->memory.region[0].view, MEMORY_BYTES);
	memcpy(shared->record, rig->record, RECORD_BYTES);
}

static void restore(const struct rig *rig, const struct shared *shared)
{
	memcpy(rig->memory.region[0].view, shared->memory, MEMORY_BYTES);
	memcpy(rig->record, shared->record, RECORD_BYTES);
}

static bool changed(const struct rig *rig, const struct shared *shared)
{
	return memcmp(shared->memory, rig->memory.region[0].view, WATCHED_BYTES) != 0 ||
	       memcmp(shared->record, rig->record, RECORD_BYTES) != 0;
}

/* ---- the guest ---- */

static void *copy_of(const void *from, size_t bytes)
{
	void *copy = malloc(bytes);

	assert_non_null(copy);
	return memcpy(copy, from, bytes);
}

static void clone_guest(struct guest *to, const struct guest *from)
{
	const struct mock_driver *driver = &from->driver;
	size_t size = driver->size;

	*to = *from;
	to->driver.free_desc = copy_of(driver->free_desc, size * sizeof(driver->free_desc[0]));
	to->driver.chain_next = copy_of(driver->chain_next, size * sizeof(driver->chain_next[0]));
	to->driver.out = copy_of(driver->out, size * sizeof(driver->out[0]));
	if (driver->packed) {
		to->driver.desc = copy_of(driver->desc, size * sizeof(driver->desc[0]));
		to->driver.chain_len =
			copy_of(driver->chain_len, size * sizeof(driver->chain_len[0]));
		to->driver.chain_at = copy_of(driver->chain_at, size * sizeof(driver->chain_at[0]));
	}
}

/* One to three buffers, direct or in a table; no two chains have the same bytes. */
static bool offer(struct guest *guest)
{
	unsigned int serial = guest->serial++;
	/* Most of them are what runs are made of. */
	unsigned int buffers_count = serial % 2 ? 1 : 1 + serial / 2 % 3;
	struct mock_buffer buffers[3];
	uint64_t table = TABLE_ADDR + serial % TABLES * TABLE_BYTES;
	int head;

	for (unsigned int i = 0; i < buffers_count; i++)
		buffers[i] = (struct mock_buffer){ BUFFER_ADDR + i * 0x1000u, 1 + serial, false };
	if (serial % 4 == 3)
		head = mock_chain_indirect(&guest->driver, buffers, buffers_count, 0, table);
	else
		head = mock_chain(&guest->driver, buffers, buffers_count);
	if (head < 0)
		return false;
	guest->bytes[head] = (uint64_t)buffers_count * (1 + serial);
	guest->offered[guest->count++] = (uint16_t)head;
	mock_offer(&guest->driver, (uint16_t)head);
	mock_publish(&guest->driver);
	return true;
}

/* Each chain was the device's, and is no longer. */
static void collect(struct guest *guest)
{
	unsigned int i;
	uint32_t written;
	uint16_t head;

	while (mock_collect(&guest->driver, &head, &written)) {
		for (i = 0; i < guest->count && guest->offered[i] != head; i++)
			;
		if (i == guest->count)
			fail_msg("chain %u came back twice", head);
		guest->count--;
		memmove(&guest->offered[i], &guest->offered[i + 1],
			(guest->count - i) * sizeof(guest->offered[0]));
	}
}

/* ---- the device that goes on ---- */

static struct ring *open_ring(const struct rig *rig, const struct guest *guest)
{
	struct ring_config config = mock_driver_config(&guest->driver);
	struct gw_error err = { 0 };
	struct ring *ring;

	config.reads_only = true;
	/* What QEMU says after a back-end died: the used index; packed, nothing it knows. */
	config.base = guest->driver.packed ? MOCK_PLACE_FIRST | MOCK_PLACE_FIRST << 16
					   : guest->driver.used->idx;
	if (rig->based)
		config.base = MOCK_PLACE_SECOND | MOCK_PLACE_SECOND << 16;
	config.record = rig->record;
	if (ring_create(&config, &ring, &err))
		fail_msg("%s", err.text);
	return ring;
}

static void expect_pop(struct ring *ring, const struct guest *guest, uint16_t head)
{
	struct iovec seg[4];
	struct ring_chain chain;

	assert_int_equal(ring_pop(ring, &chain, seg, 4), 1);
	assert_int_equal(chain.head, head);
	assert_int_equal(chain.read_bytes, guest->bytes[head]);
}

/* All that the guest is owed, and nothing else, in its order; the next lap, too. */
static void expect_all_once(struct rig *rig, struct guest *guest)
{
	struct ring *ring = open_ring(rig, guest);
	struct ring_chain chain;
	struct iovec seg[4];
	uint32_t again = ring_resubmitted(ring);
	bool in_order = guest->driver.features & IN_ORDER;

	if (ring_record_refused(ring))
		fail_msg("the record was refused: %s", ring_record_refused(ring));
	assert_true(again <= guest->count);
	for (unsigned int i = 0; i < guest->count; i++) {
		expect_pop(ring, guest, guest->offered[i]);
		assert_int_equal(ring_resubmit_left(ring), i < again ? again - i - 1 : 0);
	}
	assert_int_equal(ring_pop(ring, &chain, seg, 4), 0);
	/* Put back and popped once more, over the border between both kinds. */
	ring_unpop(ring, guest->count);
	for (unsigned int i = 0; i < guest->count; i++)
		expect_pop(ring, guest, guest->offered[i]);
	/* In another order; the guest looks each time, and sees none of an old batch. */
	for (unsigned int left = guest->count; left; left--) {
		assert_int_equal(guest->count, left);
		ring_push(ring, guest->offered[in_order ? 0 : left / 2], 0);
		ring_flush(ring);
		collect(guest);
	}
	assert_int_equal(guest->count, 0);
	for (int i = 0; i < 6; i++) {
		assert_true(offer(guest));
		expect_pop(ring, guest, guest->offered[0]);
		ring_push(ring, guest->offered[0], 0);
		ring_flush(ring);
		collect(guest);
		assert_int_equal(guest->count, 0);
	}
	ring_destroy(ring);
	ring = open_ring(rig, guest);
	assert_null(ring_record_refused(ring));
	assert_int_equal(ring_resubmitted(ring), 0);
	assert_int_equal(ring_pop(ring, &chain, seg, 4), 0);
	ring_destroy(ring);
}

static void look(struct rig *rig)
{
	struct guest guest;

	clone_guest(&guest, &rig->guest);
	collect(&guest);
	expect_all_once(rig, &guest);
	mock_driver_close(&guest.driver);
}

/* ---- one instruction after the other ---- */

static bool step(pid_t pid)
{
	int status;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, 0, 0), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSTOPPED(status)) {
		assert_int_equal(WSTOPSIG(status), SIGTRAP);
		return true;
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	return false;
}

static pid_t start_traced(struct rig *rig, void (*act)(struct rig *))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0)
			_exit(2);
		raise(SIGSTOP);
		act(rig);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

/* Calls seen in each state of the shared memory that act goes through; they may change it. */
static void step_through(struct rig *rig, void (*act)(struct rig *), void (*seen)(struct rig *))
{
	struct shared state;
	pid_t pid = start_traced(rig, act);
	uint32_t steps;

	save(rig, &state);
	for (steps = 0; steps < STEPS_MAX && step(pid); steps++) {
		if (!changed(rig, &state))
			continue;
		save(rig, &state);
		seen(rig);
		restore(rig, &state);
	}
	assert_true(steps < STEPS_MAX);
}

/* ---- what is killed ---- */

static uint32_t draw(struct rig *rig, uint32_t below)
{
	rig->seed = rig->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rig->seed >> 33) % below;
}

static bool pop(struct rig *rig)
{
	struct ring_chain chain;
	struct iovec seg[4];

	if (ring_pop(rig->ring, &chain, seg, 4) != 1)
		return false;
	rig->taken[rig->taken_count++] = chain.head;
	return true;
}

static bool pop_run(struct rig *rig)
{
	struct ring_linear run[SIZE_MAX_HERE];
	unsigned int count = ring_pop_run(rig->ring, run, SIZE_MAX_HERE);

	for (unsigned int i = 0; i < count; i++)
		rig->taken[rig->taken_count++] = run[i].head;
	return count;
}

/* All of them, the last one first or last. */
static void push_run(struct rig *rig)
{
	uint16_t last;

	if (rig->taken_count && draw(rig, 2)) {
		last = rig->taken[rig->taken_count - 1];
		rig->taken[rig->taken_count - 1] = rig->taken[0];
		rig->taken[0] = last;
	}
	ring_push_run(rig->ring, rig->taken, rig->taken_count);
	rig->taken_count = 0;
}

static void push_any(struct rig *rig)
{
	uint32_t i;

	if (!rig->taken_count)
		return;
	i = draw(rig, rig->taken_count);
	ring_push(rig->ring, rig->taken[i], 0);
	rig->taken_count--;
	memmove(&rig->taken[i], &rig->taken[i + 1], (rig->taken_count - i) * sizeof(rig->taken[0]));
}

static void burst(struct rig *rig)
{
	bool popped = false;

	for (int i = 0; i < BURST_OPS; i++) {
		switch (draw(rig, 10)) {
		case 0:
			ring_flush(rig->ring);
			break;
		case 1:
			if (popped) {
				ring_unpop(rig->ring, 1);
				rig->taken_count--;
			}
			popped = false;
			break;
		case 2:
		case 3:
		case 4:
			push_any(rig);
			popped = false;
			break;
		case 5:
			push_run(rig);
			popped = false;
			break;
		case 6:
			popped = pop_run(rig) || popped;
			break;
		default:
			popped = pop(rig);
		}
	}
	if (draw(rig, 3))
		ring_flush(rig->ring);
}

static void begin(struct rig *rig)
{
	open_ring(rig, &rig->guest);
}

static void seen_in_begin(struct rig *rig)
{
	rig->states_again++;
	look(rig);
}

static void seen_in_burst(struct rig *rig)
{
	struct shared shared;

	rig->states++;
	save(rig, &shared);
	look(rig);
	restore(rig, &shared);
	/* Each beginning takes long; enough of them come by. */
	if (rig->states % BEGIN_EVERY == 0)
		step_through(rig, begin, seen_in_begin);
}

/* ---- tests ---- */

struct script {
	uint64_t features;
	uint32_t size;
	uint64_t seed;
	uint16_t start;
};

static void run_script(const struct script *script)
{
	const struct mock_region region = { .bytes = MEMORY_BYTES };
	struct rig rig = { .seed = script->seed };
	struct shared before;

	mock_memory_open(&rig.memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	rig.record =
		mmap(NULL, RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(rig.record, MAP_FAILED);
	assert_true(ring_record_bytes(script->size, script->features & PACKED) <= RECORD_BYTES);
	mock_driver_open(&rig.guest.driver, &rig.memory, script->size, RING_ADDR,
			 script->features | INDIRECT, script->start);
	rig.ring = open_ring(&rig, &rig.guest);
	for (int round = 0; round < ROUNDS; round++) {
		while (draw(&rig, 8) && offer(&rig.guest))
			;
		save(&rig, &before);
		step_through(&rig, burst, seen_in_burst);
		restore(&rig, &before);
		burst(&rig);
		collect(&rig.guest);
	}
	print_message("%u states, %u of a ring that begins\n", rig.states, rig.states_again);
	assert_true(rig.states > 10);
	ring_destroy(rig.ring);
	mock_driver_close(&rig.guest.driver);
	munmap(rig.record, RECORD_BYTES);
	mock_memory_close(&rig.memory);
}

/* It is killed while it begins, with no record there, on a ring that ran elsewhere before. */
static void run_first(const struct script *script)
{
	const struct mock_region region = { .bytes = MEMORY_BYTES };
	struct rig rig = { .based = script->features & PACKED };

	mock_memory_open(&rig.memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	rig.record =
		mmap(NULL, RECORD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(rig.record, MAP_FAILED);
	mock_driver_open(&rig.guest.driver, &rig.memory, script->size, RING_ADDR,
			 script->features | INDIRECT, script->start);
	assert_true(offer(&rig.guest));
	step_through(&rig, begin, seen_in_begin);
	print_message("%u states\n", rig.states_again);
	assert_true(rig.states_again > 1);
	mock_driver_close(&rig.guest.driver);
	munmap(rig.record, RECORD_BYTES);
	mock_memory_close(&rig.memory);
}

static void traceme(struct rig *rig)
{
}

/* Some sandboxes allow no single steps. */
static void need_single_steps(void)
{
	struct rig rig;
	pid_t pid = start_traced(&rig, traceme);
	int status;

	if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0) == 0)
		assert_int_equal(waitpid(pid, &status, 0), pid);
	else
		status = 0;
	kill(pid, SIGKILL);
	waitpid(pid, &(int){ 0 }, 0);
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) {
		print_message("single steps of a child (ptrace) are not to be had here\n");
		skip();
	}
}

static void a_split_ring_killed_anywhere(void **state)
{
	need_single_steps();
	run_script(&(struct script){ .features = 0, .size = 8, .seed = 1, .start = 65530 });
}

static void a_split_ring_in_order_killed_anywhere(void **state)
{
	need_single_steps();
	run_script(&(struct script){ .features = IN_ORDER, .size = 4, .seed = 2 });
}

static void a_packed_ring_killed_anywhere(void **state)
{
	need_single_steps();
	run_script(&(struct script){
		.features = PACKED, .size = 7, .seed = 3, .start = MOCK_PLACE_FIRST });
}

static void a_small_packed_ring_killed_anywhere(void **state)
{
	need_single_steps();
	run_script(&(struct script){
		.features = PACKED, .size = 3, .seed = 4, .start = MOCK_PLACE_FIRST });
}

static void a_packed_ring_in_order_killed_anywhere(void **state)
{
	need_single_steps();
	run_script(&(struct script){
		.features = PACKED | IN_ORDER, .size = 5, .seed = 5, .start = MOCK_PLACE_FIRST });
}

static void a_packed_ring_killed_in_its_first_beginning(void **state)
{
	need_single_steps();
	run_first(&(struct script){ .features = PACKED, .size = 4, .start = MOCK_PLACE_SECOND });
}

static void a_split_ring_killed_in_its_first_beginning(void **state)
{
	need_single_steps();
	run_first(&(struct script){ .features = 0, .size = 4, .start = 65534 });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_split_ring_killed_anywhere),
		cmocka_unit_test(a_split_ring_in_order_killed_anywhere),
		cmocka_unit_test(a_packed_ring_killed_anywhere),
		cmocka_unit_test(a_small_packed_ring_killed_anywhere),
		cmocka_unit_test(a_packed_ring_in_order_killed_anywhere),
		cmocka_unit_test(a_packed_ring_killed_in_its_first_beginning),
		cmocka_unit_test(a_split_ring_killed_in_its_first_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
