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
#include "ring_crash_rig.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BURST_OPS 7
/* A beginning has some thousands of instructions, a burst some hundreds. */
#define STEPS_MAX 2000000u

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
	crash_ring(rig, &rig->guest);
}

static void seen_in_begin(struct rig *rig)
{
	rig->states_again++;
	crash_look(rig);
}

static void seen_in_burst(struct rig *rig)
{
	struct shared shared;

	rig->states++;
	save(rig, &shared);
	crash_look(rig);
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
	struct rig rig = { .seed = script->seed };
	struct shared before;

	crash_open(&rig, script->features, script->size, script->start);
	rig.ring = crash_ring(&rig, &rig.guest);
	for (int round = 0; round < ROUNDS; round++) {
		while (draw(&rig, 8) && crash_offer(&rig.guest))
			;
		save(&rig, &before);
		step_through(&rig, burst, seen_in_burst);
		restore(&rig, &before);
		burst(&rig);
		crash_collect(&rig.guest);
	}
	print_message("%u states, %u of a ring that begins\n", rig.states, rig.states_again);
	assert_true(rig.states > 10);
	ring_destroy(rig.ring);
	crash_close(&rig);
}

/* It is killed while it begins, with no record there, on a ring that ran elsewhere before. */
static void run_first(const struct script *script)
{
	struct rig rig = { .based = script->features & PACKED };

	crash_open(&rig, script->features, script->size, script->start);
	assert_true(crash_offer(&rig.guest));
	step_through(&rig, begin, seen_in_begin);
	print_message("%u states\n", rig.states_again);
	assert_true(rig.states_again > 1);
	crash_close(&rig);
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
