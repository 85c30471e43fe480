/* SPDX-License-Identifier: BSD-2-Clause */
#include "trace_ring.h"
#include "memmap.h"
#include "pair.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define MEMORY_BYTES (4u << 20)
#define GUEST_BASE   0x40000000ull

/* The source's queue: aligned as memory of calloc is not. */
static struct port_queue from;

/* A pair whose trace 1 is on, and a guest's memory. */
struct bench {
	struct gw_port source, egress;
	struct pair pair;
	struct trace_ring *ring;
	struct gw_memmap *memmap;
	struct gw_frame frame;
};

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	int fd = memfd_create("guest", MFD_CLOEXEC);
	struct memmap_region region = { .guest_addr = GUEST_BASE, .size = MEMORY_BYTES, .fd = fd };

	assert_int_equal(ftruncate(fd, MEMORY_BYTES), 0);
	assert_int_equal(
		memmap_create(&region, 1, (struct memmap_arena){ .fd = -1 }, &bench->memmap, NULL),
		0);
	close(fd);
	strcpy(bench->source.name, "a");
	strcpy(bench->egress.name, "up");
	bench->pair.source = &bench->source;
	bench->source.lanes = 1;
	from = (struct port_queue){ .port = &bench->source };
	bench->pair.from = &from;
	bench->pair.egress = &bench->egress;
	bench->ring = trace_ring_create(1);
	trace_tap_set(&bench->pair.trace, 1, bench->ring);
	bench->frame.memmap = bench->memmap;
	bench->frame.seg = bench->frame.own;
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	trace_ring_free(bench->ring);
	memmap_put(bench->memmap);
	free(bench);
	return 0;
}

static void add_segment(struct bench *bench, uint64_t guest_address, uint32_t len)
{
	struct gw_frame *frame = &bench->frame;
	struct iovec *seg = &frame->own[frame->seg_count++];

	seg->iov_base = memmap_translate(bench->memmap, guest_address, len);
	seg->iov_len = len;
	frame->len += len;
}

/* The next event, which is of this kind, taken. */
static struct gw_trace_event take(struct bench *bench, enum gw_trace_kind kind)
{
	const struct gw_trace_event *next = trace_ring_peek(bench->ring);
	struct gw_trace_event event;

	assert_non_null(next);
	event = *next;
	trace_ring_next(bench->ring);
	assert_int_equal(event.kind, kind);
	return event;
}

static void a_loan_is_told_with_guest_addresses(void **state)
{
	struct bench *bench = *state;
	struct gw_trace_event lend, home;

	add_segment(bench, GUEST_BASE + 0x1234, 100);
	add_segment(bench, GUEST_BASE + 0x2000, 1400);
	trace_accepted(&bench->pair, &bench->frame, GW_REASON_NONE);
	trace_home(&bench->pair, &bench->frame);
	lend = take(bench, GW_TRACE_LEND);
	assert_string_equal(lend.source, "a");
	assert_string_equal(lend.egress, "up");
	assert_int_equal(lend.frame.bytes, 1500);
	assert_int_equal(lend.frame.header_bytes, 0);
	assert_int_equal(lend.frame.segment_count, 2);
	assert_int_equal(lend.frame.segment[0].guest_address, GUEST_BASE + 0x1234);
	assert_int_equal(lend.frame.segment[0].bytes, 100);
	assert_int_equal(lend.frame.segment[1].guest_address, GUEST_BASE + 0x2000);
	home = take(bench, GW_TRACE_HOME);
	assert_int_equal(home.frame.loan, lend.frame.loan);
	assert_int_equal(home.time_ns - lend.time_ns, home.frame.duration_ns);
	assert_null(trace_ring_peek(bench->ring));
}

static void a_private_header_stands_apart(void **state)
{
	struct bench *bench = *state;
	struct gw_trace_event lend;
	uint8_t header[54];

	bench->frame.own[bench->frame.seg_count++] = (struct iovec){ header, sizeof(header) };
	bench->frame.len = sizeof(header);
	bench->frame.cut = CUT_PIECE;
	add_segment(bench, GUEST_BASE, 1460);
	trace_accepted(&bench->pair, &bench->frame, GW_REASON_NONE);
	lend = take(bench, GW_TRACE_LEND);
	assert_int_equal(lend.frame.header_bytes, 54);
	assert_int_equal(lend.frame.segment_count, 1);
	assert_int_equal(lend.frame.segment[0].guest_address, GUEST_BASE);
}

static void private_memory_has_no_address(void **state)
{
	struct bench *bench = *state;

	add_segment(bench, GUEST_BASE, 60);
	bench->frame.memmap = NULL;
	trace_accepted(&bench->pair, &bench->frame, GW_REASON_NONE);
	assert_true(take(bench, GW_TRACE_LEND).frame.segment[0].guest_address ==
		    GW_TRACE_NO_ADDRESS);
}

static void more_segments_than_an_event_holds(void **state)
{
	struct iovec long_array[GW_TRACE_SEGMENTS + 5];
	struct bench *bench = *state;
	struct gw_trace_event lend;

	for (unsigned int i = 0; i < GW_TRACE_SEGMENTS + 5; i++)
		long_array[i] = (struct iovec){
			memmap_translate(bench->memmap, GUEST_BASE + i * 4096ull, 10), 10
		};
	bench->frame.seg = long_array;
	bench->frame.seg_count = GW_TRACE_SEGMENTS + 5;
	trace_accepted(&bench->pair, &bench->frame, GW_REASON_NONE);
	lend = take(bench, GW_TRACE_LEND);
	assert_int_equal(lend.frame.segment_count, GW_TRACE_SEGMENTS);
}

static void copies_and_drops_have_their_reason(void **state)
{
	struct bench *bench = *state;
	struct gw_trace_event event;

	add_segment(bench, GUEST_BASE, 60);
	trace_accepted(&bench->pair, &bench->frame, GW_COPY_COPYBREAK);
	trace_drop(&bench->pair, GW_DROP_EGRESS_FULL, 9000, 6);
	event = take(bench, GW_TRACE_COPY);
	assert_int_equal(event.frame.reason, GW_COPY_COPYBREAK);
	assert_int_equal(event.frame.bytes, 60);
	event = take(bench, GW_TRACE_DROP);
	assert_int_equal(event.frame.reason, GW_DROP_EGRESS_FULL);
	assert_int_equal(event.frame.count, 6);
	assert_int_equal(event.frame.bytes, 9000);
	trace_tap_set(&from.trace, 1, bench->ring);
	trace_port_drop(&from, GW_DROP_BAD_HEADER, 3);
	event = take(bench, GW_TRACE_DROP);
	assert_string_equal(event.source, "a");
	assert_null(event.egress);
}

/* Its loan began before: there is no beginning that it could be the end of. */
static void the_end_of_an_older_loan_is_not_told(void **state)
{
	struct bench *bench = *state;

	add_segment(bench, GUEST_BASE, 60);
	trace_home(&bench->pair, &bench->frame);
	assert_null(trace_ring_peek(bench->ring));
	bench->frame.trace_on = 1u << 1;
	bench->frame.trace_ns = 1;
	trace_home(&bench->pair, &bench->frame);
	assert_null(trace_ring_peek(bench->ring));
}

static void one_of_so_many(void **state)
{
	struct bench *bench = *state;
	struct trace_ring *all = bench->ring;

	add_segment(bench, GUEST_BASE, 60);
	bench->ring = trace_ring_create(4);
	trace_tap_set(&bench->pair.trace, 1, bench->ring);
	for (unsigned int i = 0; i < 8; i++) {
		bench->frame.trace_on = 0;
		trace_accepted(&bench->pair, &bench->frame, GW_REASON_NONE);
		trace_home(&bench->pair, &bench->frame);
	}
	for (unsigned int i = 0; i < 2; i++) {
		take(bench, GW_TRACE_LEND);
		take(bench, GW_TRACE_HOME);
	}
	assert_null(trace_ring_peek(bench->ring));
	assert_int_equal(trace_ring_lost(bench->ring), 0);
	trace_ring_free(all);
}

static void two_traces_have_one_number_for_a_loan(void **state)
{
	struct bench *bench = *state;
	struct trace_ring *other = trace_ring_create(1);

	add_segment(bench, GUEST_BASE, 60);
	trace_tap_set(&bench->pair.trace, 3, other);
	trace_accepted(&bench->pair, &bench->frame, GW_REASON_NONE);
	assert_int_equal(take(bench, GW_TRACE_LEND).frame.loan, trace_ring_peek(other)->frame.loan);
	trace_tap_set(&bench->pair.trace, 3, NULL);
	assert_int_equal(bench->pair.trace.on, 1u << 1);
	trace_ring_free(other);
}

static void what_finds_no_room_is_counted(void **state)
{
	struct bench *bench = *state;

	for (unsigned int i = 0; i < TRACE_RING_EVENTS + 7; i++)
		trace_drop(&bench->pair, GW_DROP_EGRESS_FULL, i, 1);
	assert_int_equal(trace_ring_lost(bench->ring), 7);
	assert_int_equal(take(bench, GW_TRACE_DROP).frame.bytes, 0);
	trace_drop(&bench->pair, GW_DROP_EGRESS_FULL, 12345, 1);
	assert_int_equal(trace_ring_lost(bench->ring), 7);
	for (unsigned int i = 1; i < TRACE_RING_EVENTS; i++)
		assert_int_equal(take(bench, GW_TRACE_DROP).frame.bytes, i);
	assert_int_equal(take(bench, GW_TRACE_DROP).frame.bytes, 12345);
	assert_null(trace_ring_peek(bench->ring));
}

#define RACE_EVENTS 200000u

static void *produce(void *arg)
{
	struct bench *bench = arg;

	for (uint32_t i = 0; i < RACE_EVENTS; i++)
		trace_drop(&bench->pair, GW_DROP_EGRESS_FULL, i, i);
	trace_drop(&bench->pair, GW_DROP_NO_EGRESS, 0, 0);
	return NULL;
}

/* Whole events, in their order; what is missing was counted. */
static void a_reader_beside_the_writer(void **state)
{
	struct bench *bench = *state;
	uint32_t seen = 0, last = 0;
	pthread_t thread;
	bool over = false;

	pthread_create(&thread, NULL, produce, bench);
	while (!over) {
		const struct gw_trace_event *event = trace_ring_peek(bench->ring);

		if (!event) {
			/* The last event may be the one that was lost. */
			over = seen + trace_ring_lost(bench->ring) > RACE_EVENTS;
			over = over && !trace_ring_peek(bench->ring);
			continue;
		}
		assert_int_equal(event->frame.bytes, event->frame.count);
		assert_true(!seen || event->frame.bytes > last ||
			    event->frame.reason == GW_DROP_NO_EGRESS);
		last = event->frame.bytes;
		seen++;
		trace_ring_next(bench->ring);
	}
	pthread_join(thread, NULL);
	assert_int_equal(seen + trace_ring_lost(bench->ring), RACE_EVENTS + 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_loan_is_told_with_guest_addresses),
		TEST(a_private_header_stands_apart),
		TEST(private_memory_has_no_address),
		TEST(more_segments_than_an_event_holds),
		TEST(copies_and_drops_have_their_reason),
		TEST(the_end_of_an_older_loan_is_not_told),
		TEST(one_of_so_many),
		TEST(two_traces_have_one_number_for_a_loan),
		TEST(what_finds_no_room_is_counted),
		TEST(a_reader_beside_the_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
