/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs of a ring that is written to: ring_find_writable and ring_fill_run, against what is
 * known of the chains, and against ring_pop, which takes what they left.
 */
#include "ring_test_rig.h"

#include "ring_record.h"
#include <string.h>

#define SIZE     16u
#define ROUNDS   4000u
#define ADDR     0x10000ull
#define STEP     0x1000ull
#define TABLES   0x90000ull
#define IN_ORDER (FEATURE(VIRTIO_F_IN_ORDER) | FEATURE(VIRTIO_F_VERSION_1))

static uint32_t seed;

static uint32_t dice(uint32_t sides)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % sides;
}

/* ---- chains of all kinds, in a queue ---- */

enum kind { WRITABLE, READABLE, TWO, INDIRECT_TABLE, KINDS };

struct offered {
	uint16_t head;
	enum kind kind;
	uint64_t addr;
	uint32_t len, written;
};

struct queue {
	struct rig *rig;
	struct offered chain[SIZE];
	unsigned int count; /* offered and not taken */
	unsigned int turn;
};

static bool offer(struct queue *queue, enum kind kind)
{
	struct mock_driver *driver = &queue->rig->driver;
	uint64_t addr = ADDR + STEP * (queue->turn % SIZE);
	uint32_t len = 64 + dice(1000);
	struct mock_buffer buffers[] = { { addr, len, kind != READABLE },
					 { addr + STEP / 2, 10, true } };
	int head;

	if (kind == INDIRECT_TABLE)
		head = mock_chain_indirect(driver, buffers, 1, 0,
					   TABLES + STEP * (queue->turn % SIZE));
	else
		head = mock_chain(driver, buffers, kind == TWO ? 2 : 1);
	if (head < 0)
		return false;
	queue->turn++;
	mock_offer(driver, (uint16_t)head);
	queue->chain[queue->count++] =
		(struct offered){ .head = (uint16_t)head, .kind = kind, .addr = addr, .len = len };
	return true;
}

static void offer_some(struct queue *queue)
{
	/* Mostly what there are runs of. */
	for (unsigned int n = dice(SIZE); n && offer(queue, dice(6) ? WRITABLE : dice(KINDS)); n--)
		;
	mock_publish(&queue->rig->driver);
}

static void collected(struct queue *queue, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		rig_collects(queue->rig, queue->chain[i].head, queue->chain[i].written);
	rig_collects_nothing(queue->rig);
	queue->count -= count;
	memmove(queue->chain, queue->chain + count, queue->count * sizeof(*queue->chain));
}

/* All that are found are those at the head of the queue that there are runs of. */
static unsigned int find(const struct queue *queue, struct ring_linear *chain, unsigned int max)
{
	unsigned int found = ring_find_writable(queue->rig->ring, chain, max), i;

	for (i = 0; i < max && i < queue->count && queue->chain[i].kind == WRITABLE; i++) {
		assert_true(i < found);
		assert_int_equal(chain[i].head, queue->chain[i].head);
		assert_int_equal(chain[i].len, queue->chain[i].len);
		assert_ptr_equal(chain[i].base,
				 memmap_translate(queue->rig->memory.memmap, queue->chain[i].addr,
						  queue->chain[i].len));
	}
	assert_int_equal(found, i);
	return found;
}

static unsigned int fill(struct queue *queue, const struct ring_linear *chain, unsigned int count)
{
	uint32_t written[SIZE];

	for (unsigned int i = 0; i < count; i++)
		queue->chain[i].written = written[i] = dice(2) * (1 + dice(500));
	ring_fill_run(queue->rig->ring, chain, written, count);
	return count;
}

/* What is next, whatever it is, after `done` that were filled. */
static unsigned int pop_one(struct queue *queue, unsigned int done)
{
	struct rig *rig = queue->rig;
	struct offered *next = &queue->chain[done];

	if (done == queue->count) {
		assert_int_equal(rig_pop(rig), 0);
		return 0;
	}
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.head, next->head);
	assert_int_equal(rig->chain.read_count, next->kind == READABLE);
	assert_int_equal(rig->seg[0].iov_len, next->len);
	next->written = dice(500);
	if (dice(3)) {
		ring_push(rig->ring, next->head, next->written);
		return 1;
	}
	ring_unpop(rig->ring, 1);
	return 0;
}

static void runs_and_single_chains(struct rig *rig, uint64_t features)
{
	struct queue queue = { .rig = rig };
	struct ring_linear chain[SIZE];
	unsigned int done, found;

	seed = 1;
	rig_open(rig, SIZE, INDIRECT | features);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		offer_some(&queue);
		found = find(&queue, chain, 1 + dice(SIZE));
		done = fill(&queue, chain, found ? dice(found + 1) : 0);
		if (dice(2))
			done += fill(&queue, chain, 0);
		if (dice(2))
			done += pop_one(&queue, done);
		assert_int_equal(ring_in_flight(rig->ring), 0);
		ring_flush(rig->ring);
		collected(&queue, done);
	}
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_NONE);
	rig_close(rig);
}

static void as_chain_by_chain(void **state)
{
	static _Alignas(RING_RECORD_ALIGN) uint8_t record[4096];
	struct rig *rig = *state;

	runs_and_single_chains(rig, 0);
	runs_and_single_chains(rig, EVENT_IDX);
	runs_and_single_chains(rig, EVENT_IDX | IN_ORDER);
	assert_true(ring_record_bytes(SIZE, true) <= sizeof(record));
	rig->record = record;
	runs_and_single_chains(rig, EVENT_IDX);
	memset(record, 0, sizeof(record));
	runs_and_single_chains(rig, EVENT_IDX | IN_ORDER);
}

/* ---- none are found ---- */

static void begin(struct queue *queue, struct rig *rig, unsigned int count)
{
	*queue = (struct queue){ .rig = rig };
	for (unsigned int i = 0; i < count; i++)
		assert_true(offer(queue, WRITABLE));
	mock_publish(&rig->driver);
}

static void not_while_a_chain_is_out(void **state)
{
	struct rig *rig = *state;
	struct ring_linear chain[SIZE];
	struct queue queue;

	rig_open(rig, SIZE, 0);
	begin(&queue, rig, 3);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(ring_find_writable(rig->ring, chain, SIZE), 0);
	ring_push(rig->ring, rig->chain.head, 0);
	assert_int_equal(ring_find_writable(rig->ring, chain, SIZE), 2);
	ring_break(rig->ring, RING_FAULT_DIRECTION);
	assert_int_equal(ring_find_writable(rig->ring, chain, SIZE), 0);
}

/* Filled and not shown: the next process has to take them again, before any run. */
static void chains_of_the_run_before_come_first(void **state)
{
	static _Alignas(RING_RECORD_ALIGN) uint8_t record[4096];
	struct rig *rig = *state;
	struct ring_linear chain[SIZE];
	struct queue queue;
	uint32_t base;

	memset(record, 0, sizeof(record));
	rig->record = record;
	rig_open(rig, SIZE, 0);
	base = ring_base(rig->ring);
	begin(&queue, rig, 5);
	assert_int_equal(find(&queue, chain, SIZE), 5);
	fill(&queue, chain, 2);
	rig_restart(rig, base);
	assert_int_equal(ring_resubmitted(rig->ring), 2);
	assert_int_equal(ring_find_writable(rig->ring, chain, SIZE), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(rig_pop(rig), 1);
		assert_int_equal(rig->chain.head, queue.chain[i].head);
		assert_int_equal(rig->chain.write_bytes, queue.chain[i].len);
		ring_push(rig->ring, rig->chain.head, queue.chain[i].written);
	}
	ring_flush(rig->ring);
	collected(&queue, 2);
	assert_int_equal(find(&queue, chain, SIZE), 3);
	fill(&queue, chain, 3);
	ring_flush(rig->ring);
	collected(&queue, 3);
	rig_restart(rig, ring_base(rig->ring));
	assert_null(ring_record_refused(rig->ring));
	assert_int_equal(ring_resubmitted(rig->ring), 0);
}

/* ---- a guest that breaks rules ---- */

enum { BAD_AT = 2 };
#define FAR_HEAD 0x1000u

/* The descriptor of chain BAD_AT is spoilt: two are found, and ring_pop says what is wrong. */
static void ends_before(struct rig *rig, void (*spoil)(struct rig *rig, uint16_t head),
			enum ring_fault fault)
{
	struct ring_linear chain[SIZE];
	struct queue queue;

	rig_open(rig, SIZE, 0);
	begin(&queue, rig, 5);
	spoil(rig, queue.chain[BAD_AT].head);
	assert_int_equal(ring_find_writable(rig->ring, chain, SIZE), BAD_AT);
	assert_int_equal(ring_fault(rig->ring), RING_FAULT_NONE);
	fill(&queue, chain, BAD_AT);
	assert_int_equal(ring_find_writable(rig->ring, chain, SIZE), 0);
	rig_breaks(rig, fault);
	ring_flush(rig->ring);
	collected(&queue, BAD_AT);
	rig_close(rig);
}

static void spoil_length(struct rig *rig, uint16_t head)
{
	if (rig->packed)
		rig->driver.slot[BAD_AT].len = 0;
	else
		mock_desc(&rig->driver, head)->len = 0;
}

static void spoil_address(struct rig *rig, uint16_t head)
{
	if (rig->packed)
		rig->driver.slot[BAD_AT].addr = RIG_END;
	else
		mock_desc(&rig->driver, head)->addr = RIG_END;
}

static void spoil_indirect(struct rig *rig, uint16_t head)
{
	if (rig->packed)
		rig->driver.slot[BAD_AT].flags |= VRING_DESC_F_INDIRECT;
	else
		mock_desc(&rig->driver, head)->flags |= VRING_DESC_F_INDIRECT;
}

/* As if the table went on, with descriptors that nothing is wrong with. */
static void spoil_head(struct rig *rig, uint16_t head)
{
	const uint64_t at = RIG_RING + FAR_HEAD * sizeof(struct vring_desc);
	const struct vring_desc *desc = mock_desc(&rig->driver, head);

	if (rig->packed) {
		rig->driver.slot[BAD_AT].id = SIZE;
		return;
	}
	mock_write(&rig->memory, at, desc, sizeof(*desc));
	rig->driver.avail->ring[BAD_AT] = FAR_HEAD;
}

static void a_run_ends_before_what_is_wrong(void **state)
{
	struct rig *rig = *state;

	ends_before(rig, spoil_length, RING_FAULT_LENGTH);
	ends_before(rig, spoil_address, RING_FAULT_ADDRESS);
	ends_before(rig, spoil_indirect, RING_FAULT_FEATURE);
	ends_before(rig, spoil_head, rig->packed ? RING_FAULT_ID : RING_FAULT_HEAD);
}

/* Each of its descriptors could be a chain of its own. */
static void a_run_ends_before_a_chain_of_two(void **state)
{
	struct ring_linear chain[SIZE];
	struct rig *rig = *state;
	struct queue queue;

	rig_open(rig, SIZE, 0);
	begin(&queue, rig, 5);
	rig->driver.slot[BAD_AT].flags |= NEXT;
	assert_int_equal(ring_find_writable(rig->ring, chain, SIZE), BAD_AT);
	fill(&queue, chain, BAD_AT);
	assert_int_equal(rig_pop(rig), 1);
	assert_int_equal(rig->chain.head, queue.chain[BAD_AT + 1].head);
	assert_int_equal(rig->chain.write_count, 2);
}

static void no_run_of_an_index_beyond_the_ring(void **state)
{
	struct ring_linear chain[4 * SIZE];
	struct rig *rig = *state;
	struct queue queue;

	rig_open(rig, SIZE, 0);
	begin(&queue, rig, 5);
	rig->driver.avail->idx = SIZE + 1;
	assert_int_equal(ring_find_writable(rig->ring, chain, 4 * SIZE), 0);
	rig_breaks(rig, RING_FAULT_INDEX);
}

/* A lap's descriptors are available again before we have shown that they were used. */
static void no_run_over_what_is_not_shown(void **state)
{
	struct ring_linear chain[4 * SIZE];
	struct rig *rig = *state;
	struct queue queue;

	rig_open(rig, SIZE, 0);
	begin(&queue, rig, SIZE);
	assert_int_equal(find(&queue, chain, SIZE), SIZE);
	fill(&queue, chain, 3);
	for (unsigned int i = 0; i < 3; i++) {
		rig->driver.slot[i].flags = USED | VRING_DESC_F_WRITE;
		rig->driver.slot[i].id = (uint16_t)i;
		rig->driver.slot[i].len = 64;
	}
	assert_int_equal(ring_find_writable(rig->ring, chain, 4 * SIZE), SIZE - 3);
	fill(&queue, chain, SIZE - 3);
	assert_int_equal(ring_find_writable(rig->ring, chain, 4 * SIZE), 0);
	rig_breaks(rig, RING_FAULT_INDEX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RING_TEST(as_chain_by_chain),
		RING_TEST(not_while_a_chain_is_out),
		RING_TEST(chains_of_the_run_before_come_first),
		RING_TEST(a_run_ends_before_what_is_wrong),
		SPLIT_TEST(no_run_of_an_index_beyond_the_ring),
		PACKED_TEST(a_run_ends_before_a_chain_of_two),
		PACKED_TEST(no_run_over_what_is_not_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
