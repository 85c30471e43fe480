/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs of the driver's rings against a small device of either kind, honest and not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "driver_ring_bed.h"

#define WRITE     VRING_DESC_F_WRITE
#define TOKENS    BED_RING_SIZE
#define TURNS     30000u
#define BUFFER(i) ((struct ring_plain){ 0x10000u + 0x100u * (i), 60u + (i) })

static struct ring_plain plain[TOKENS];

/* ---- the driver ---- */

static void add_run(struct bed *bed, uint32_t first, uint32_t count, bool device_writes)
{
	uint32_t tokens[TOKENS];
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < count; i++) {
		tokens[i] = (first + i) % TOKENS;
		plain[tokens[i]] = BUFFER(tokens[i]);
		bytes += plain[tokens[i]].len;
	}
	assert_int_equal(driver_ring_add_run(&bed->ring, plain, tokens, count, device_writes),
			 bytes);
}

static void add_one(struct bed *bed, uint32_t token, bool device_writes)
{
	struct ring_segment segment = { NULL, BUFFER(token).gpa, BUFFER(token).len };

	assert_true(driver_ring_add(&bed->ring, &segment, 1, device_writes, NULL, token) >= 0);
}

static uint32_t reap_run(struct bed *bed, uint32_t *tokens)
{
	uint32_t lens[TOKENS];

	return driver_ring_reap_run(&bed->ring, tokens, lens, TOKENS);
}

/* ---- tests ---- */

/* Behind chains that were added one by one, round the end of the ring and into it. */
static void a_run_is_written_as_chains_are(void **state)
{
	struct bed *bed = *state;
	struct bed_taken taken;
	uint32_t tokens[TOKENS];

	for (uint32_t turn = 0; turn < 5 * BED_RING_SIZE; turn++) {
		bool writes = turn % 2;

		add_one(bed, 0, writes);
		add_run(bed, 1, 4, writes);
		assert_false(bed_take(bed, &taken));
		driver_ring_publish(&bed->ring);
		assert_int_equal(bed->ring.free_count, BED_RING_SIZE - 5);
		assert_int_equal(driver_ring_out(&bed->ring), 5);
		for (uint32_t i = 0; i < 5; i++) {
			assert_true(bed_take(bed, &taken));
			assert_int_equal(taken.gpa, BUFFER(i).gpa);
			assert_int_equal(taken.len, BUFFER(i).len);
			assert_int_equal(taken.flags, writes ? WRITE : 0);
			bed_use(bed, taken.id, 0, 1);
		}
		assert_false(bed_take(bed, &taken));
		assert_int_equal(reap_run(bed, tokens), 5);
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(tokens[i], i);
		assert_int_equal(bed->ring.free_count, BED_RING_SIZE);
		assert_int_equal(bed->ring.home, bed->ring.serial);
	}
}

/* A run that is shown by itself, its first descriptor last. */
static void a_run_is_shown_when_it_is_published(void **state)
{
	struct bed *bed = *state;
	struct bed_taken taken;

	add_run(bed, 0, 3, false);
	assert_false(bed_take(bed, &taken));
	driver_ring_publish(&bed->ring);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(bed_take(bed, &taken));
	assert_false(bed_take(bed, &taken));
}

static uint32_t next_random(uint32_t *x)
{
	*x = *x * 1664525u + 1013904223u;
	return *x >> 16;
}

/* What the device has, and who is out. */
struct model {
	struct bed_taken has[TOKENS];
	uint32_t has_count;
	bool out[TOKENS];
	uint32_t len[TOKENS]; /* the device's word */
	uint32_t out_count, used_count, x;
};

/* As many as there are tokens in a row that are not out. */
static void model_add(struct bed *bed, struct model *m)
{
	uint32_t first = next_random(&m->x) % TOKENS, most = next_random(&m->x) % TOKENS, count = 0;

	while (count < most && !m->out[(first + count) % TOKENS])
		m->out[(first + count++) % TOKENS] = true;
	if (next_random(&m->x) % 2)
		add_run(bed, first, count, true);
	else
		for (uint32_t i = 0; i < count; i++)
			add_one(bed, (first + i) % TOKENS, true);
	m->out_count += count;
	driver_ring_publish(&bed->ring);
	while (bed_take(bed, &m->has[m->has_count]))
		m->has_count++;
}

/* The token of what the device has is in its address. */
static uint32_t token_of(const struct bed_taken *taken)
{
	return (uint32_t)((taken->gpa - BUFFER(0).gpa) / 0x100);
}

static void model_use_any(struct bed *bed, struct model *m)
{
	uint32_t pick = next_random(&m->x) % m->has_count, len = next_random(&m->x);

	m->len[token_of(&m->has[pick])] = len;
	bed_use(bed, m->has[pick].id, len, 1);
	m->has[pick] = m->has[--m->has_count];
	m->used_count++;
}

/* A batch, of which the last is named; the others were used up. */
static void model_use_first(struct bed *bed, struct model *m)
{
	uint32_t count = 1 + next_random(&m->x) % m->has_count, len = next_random(&m->x);

	for (uint32_t i = 0; i < count; i++)
		m->len[token_of(&m->has[i])] = m->has[i].len;
	m->len[token_of(&m->has[count - 1])] = len;
	bed_use(bed, m->has[count - 1].id, len, count);
	m->has_count -= count;
	for (uint32_t i = 0; i < m->has_count; i++)
		m->has[i] = m->has[i + count];
	m->used_count += count;
}

static void model_home(struct model *m, uint32_t token, uint32_t len)
{
	assert_true(token < TOKENS && m->out[token]);
	assert_int_equal(len, m->len[token]);
	m->out[token] = false;
	m->out_count--;
	m->used_count--;
}

static void model_reap(struct bed *bed, struct model *m)
{
	uint32_t tokens[TOKENS], lens[TOKENS], max = 1 + next_random(&m->x) % TOKENS, count;

	count = next_random(&m->x) % 2 ? driver_ring_reap_run(&bed->ring, tokens, lens, max) : 0;
	assert_true(count <= max);
	if (!count)
		count = driver_ring_reap(&bed->ring, tokens, lens) == RING_DONE;
	assert_int_equal(!count, !m->used_count);
	for (uint32_t i = 0; i < count; i++)
		model_home(m, tokens[i], lens[i]);
	assert_int_equal(bed->ring.free_count, BED_RING_SIZE - m->out_count);
}

/* One by one and by runs, in turn at random: each chain comes home once, with its length. */
static void check_model(struct bed *bed)
{
	struct model m = { .x = 1 };

	for (uint32_t turn = 0; turn < TURNS; turn++) {
		if (next_random(&m.x) % 2)
			model_add(bed, &m);
		if (m.has_count && next_random(&m.x) % 2) {
			if (bed->ring.in_order)
				model_use_first(bed, &m);
			else
				model_use_any(bed, &m);
		}
		model_reap(bed, &m);
	}
	assert_false(bed->ring.broken);
}

static void runs_and_singles_go_together(void **state)
{
	check_model(*state);
}

static void runs_and_singles_go_together_in_order(void **state)
{
	struct bed *bed = *state;

	bed->ring.in_order = true;
	check_model(bed);
}

/* Three chains are out, of one descriptor each: the device has them. */
static void three_are_out(struct bed *bed, struct bed_taken *taken)
{
	add_run(bed, 0, 3, false);
	driver_ring_publish(&bed->ring);
	for (uint32_t i = 0; i < 3; i++)
		assert_true(bed_take(bed, &taken[i]));
}

/* The way for one has the last word on it. */
static void it_ends_there(struct bed *bed, uint32_t home, const uint64_t *counter)
{
	uint32_t tokens[TOKENS], len;

	assert_int_equal(reap_run(bed, tokens), home);
	assert_int_equal(reap_run(bed, tokens), 0);
	assert_int_equal(bed->ring.used_seen, home);
	assert_int_equal(*counter, 0);
	assert_int_equal(driver_ring_reap(&bed->ring, tokens, &len), RING_BAD);
	assert_int_equal(*counter, 1);
}

static void a_run_ends_before_what_comes_home_twice(void **state)
{
	struct bed *bed = *state;
	struct bed_taken taken[3];

	three_are_out(bed, taken);
	bed_use(bed, taken[1].id, 0, 1);
	bed_use(bed, taken[1].id, 0, 1);
	it_ends_there(bed, 1, &bed->ring.double_completions);
}

static void a_run_ends_before_an_id_beyond_the_ring(void **state)
{
	struct bed *bed = *state;
	struct bed_taken taken[3];

	three_are_out(bed, taken);
	bed_use(bed, taken[2].id, 0, 1);
	bed_use(bed, BED_RING_SIZE, 0, 1);
	it_ends_there(bed, 1, &bed->ring.unknown_ids);
}

/* A split ring's index, a packed ring's flags beyond what is out. */
static void more_than_is_out_is_no_run(void **state)
{
	struct bed *bed = *state;
	struct bed_taken taken[3];

	three_are_out(bed, taken);
	for (uint32_t i = 0; i < 3; i++)
		bed_use(bed, taken[i].id, 0, 1);
	/* This one was not shown to the device. */
	bed_use(bed, (uint32_t)driver_ring_add(&bed->ring, bed->segments, 1, false, NULL, 3), 0, 1);
	it_ends_there(bed, bed->ring.kind == DRIVER_RING_PACKED ? 3 : 0, &bed->ring.index_jumps);
	assert_true(bed->ring.broken);
	assert_int_equal(reap_run(bed, (uint32_t[TOKENS]){ 0 }), 0);
}

static void a_run_ends_before_a_longer_chain(void **state)
{
	struct bed *bed = *state;
	struct driver_ring *ring = &bed->ring;
	uint32_t tokens[TOKENS], len;
	struct bed_taken taken;
	int head;

	add_run(bed, 0, 1, false);
	driver_ring_publish(ring);
	assert_true(bed_take(bed, &taken));
	head = driver_ring_add(ring, bed->segments, 3, false, NULL, 7);
	driver_ring_publish(ring);
	bed_use(bed, taken.id, 0, 1);
	bed_use(bed, (uint32_t)head, 0, bed->ring.kind == DRIVER_RING_PACKED ? 3 : 1);
	assert_int_equal(reap_run(bed, tokens), 1);
	assert_int_equal(reap_run(bed, tokens), 0);
	assert_int_equal(driver_ring_reap(ring, tokens, &len), RING_DONE);
	assert_int_equal(tokens[0], 7);
	assert_int_equal(ring->free_count, BED_RING_SIZE);
}

/* Each element that the device writes has to be in its log: one by one. */
static void with_a_log_there_are_no_runs(void **state)
{
	struct bed *bed = *state;
	struct guest_log log = { 0 };
	struct bed_taken taken[3];
	uint32_t tokens[TOKENS];

	three_are_out(bed, taken);
	bed_use(bed, taken[0].id, 0, 1);
	bed->ring.log = &log;
	assert_int_equal(reap_run(bed, tokens), 0);
	bed->ring.log = NULL;
	assert_int_equal(reap_run(bed, tokens), 1);
}

/* In the order in which they were given, also round the end of what counts places. */
static void reset_gives_back_runs_in_their_order(void **state)
{
	struct bed *bed = *state;
	struct bed_taken taken[3];
	uint32_t tokens[TOKENS];

	/* Heads are not in their order then. */
	three_are_out(bed, taken);
	for (uint32_t i = 0; i < 3; i++)
		bed_use(bed, taken[i].id, 0, 1);
	assert_int_equal(reap_run(bed, tokens), 3);
	bed->ring.place = UINT32_MAX - 1;
	add_run(bed, 2, 3, false);
	add_one(bed, 0, false);
	add_run(bed, 5, 2, false);
	driver_ring_publish(&bed->ring);
	assert_int_equal(driver_ring_reset(&bed->ring, tokens), 6);
	assert_memory_equal(tokens, ((uint32_t[]){ 2, 3, 4, 0, 5, 6 }), 6 * sizeof(*tokens));
	assert_int_equal(bed->ring.home, bed->ring.serial);
	assert_int_equal(reap_run(bed, tokens), 0);
}

int main(void)
{
#define BOTH(f) BED_TEST(f, NULL), BED_TEST(f, "packed")
	static const struct CMUnitTest tests[] = {
		BOTH(a_run_is_written_as_chains_are),
		BOTH(a_run_is_shown_when_it_is_published),
		BOTH(runs_and_singles_go_together),
		BOTH(runs_and_singles_go_together_in_order),
		BOTH(a_run_ends_before_what_comes_home_twice),
		BOTH(a_run_ends_before_an_id_beyond_the_ring),
		BOTH(more_than_is_out_is_no_run),
		BOTH(a_run_ends_before_a_longer_chain),
		BOTH(with_a_log_there_are_no_runs),
		BOTH(reset_gives_back_runs_in_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
