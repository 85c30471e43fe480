/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a ring costs by itself: the floor under every back-end.
 *
 *	ring_floor [--packed] [--own] [--seconds S]
 *
 * The mock driver's side offers a batch of chains, a consumer takes them and makes them
 * used, in one thread, so that all is in the nearest cache. Time is that of the consumer
 * alone. It is one of two:
 *
 *	the one of ring_sink, which does nothing: no descriptor is read, nothing is checked
 *	with --own our ring code: descriptors are read, checked and translated, and no frame
 *	is looked at
 *
 * What a guest on another processor costs, whose cache lines have to come from there, is in
 * neither. Chains are of one descriptor, as a guest sends what is linear. It says at its end
 * how many there were, and what one cost in the median batch: one in which somebody else
 * had the processor says nothing.
 *
 *	{"frames":12345678,"frame_ns":12.3}
 */
#include "mock_driver.h"

#include "sink_ring.h"
#include <getopt.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <time.h>

#define RING_SIZE    1024u
#define BATCH        64u
#define BUFFER_BYTES 76u /* a virtio-net header and a short frame */
#define BUFFER_STEP  128u
#define SLOTS_ADDR   0x100000ull
#define MEMORY_BYTES 0x200000ull
#define SECOND_NS    1000000000ull
/* Batches that took longer are counted as if they had taken this. */
#define BATCH_NS_MAX 65535u
#define CLOCK_LOOKS  1000u

static struct {
	bool packed, own;
	uint64_t run_ns;
} options = { .run_ns = SECOND_NS };

/* One ring, and both who may consume it. */
struct floor {
	struct mock_memory memory;
	struct mock_driver driver;
	struct ring *own;
	struct sink_ring sink;
	uint16_t heads[BATCH];
	uint32_t batches_of[BATCH_NS_MAX + 1]; /* by nanoseconds */
	uint64_t batches;
};

static void die(const char *what)
{
	fprintf(stderr, "ring_floor: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* ---- the driver's side ---- */

static void open_driver(struct floor *floor)
{
	const struct mock_region region = { .guest_addr = 0, .bytes = MEMORY_BYTES };
	uint64_t features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX |
			    (uint64_t)options.packed << VIRTIO_F_RING_PACKED;

	mock_memory_open(&floor->memory, &region, 1, (struct memmap_arena){ .fd = -1 });
	mock_driver_open(&floor->driver, &floor->memory, RING_SIZE, 0, features,
			 options.packed ? MOCK_PLACE_FIRST : 0);
	for (unsigned int i = 0; i < BATCH; i++) {
		struct mock_buffer buffer = { SLOTS_ADDR + i * BUFFER_STEP, BUFFER_BYTES, false };

		floor->heads[i] = (uint16_t)mock_chain(&floor->driver, &buffer, 1);
	}
}

/* The same heads again: nobody has to collect them. */
static void offer(struct floor *floor)
{
	for (unsigned int i = 0; i < BATCH; i++)
		mock_offer(&floor->driver, floor->heads[i]);
	mock_publish(&floor->driver);
}

/* ---- consumers: both return how many they had ---- */

static void open_own(struct floor *floor)
{
	struct ring_config config = mock_driver_config(&floor->driver);
	struct gw_error err = { 0 };

	config.reads_only = true;
	if (ring_create(&config, &floor->own, &err))
		die(err.text);
	ring_no_kick(floor->own);
}

static unsigned int consume_own(struct floor *floor)
{
	struct ring_linear chain[BATCH];
	uint16_t heads[BATCH];
	unsigned int count = ring_pop_run(floor->own, chain, BATCH);

	for (unsigned int i = 0; i < count; i++)
		heads[i] = chain[i].head;
	ring_push_run(floor->own, heads, count);
	ring_flush(floor->own);
	return count;
}

static void open_sink(struct floor *floor)
{
	struct mock_memory *memory = &floor->memory;
	const struct mock_driver *driver = &floor->driver;

	floor->sink = (struct sink_ring){ .size = driver->size,
					  .packed = driver->packed,
					  .desc = mock_at(memory, driver->desc_addr),
					  .driver = mock_at(memory, driver->avail_addr),
					  .device = mock_at(memory, driver->used_addr) };
	sink_ring_start(&floor->sink, driver->packed ? MOCK_PLACE_FIRST : 0);
}

static unsigned int consume_sink(struct floor *floor)
{
	uint16_t count;

	if (floor->sink.packed)
		return sink_ring_take_packed(&floor->sink, false);
	count = sink_ring_has(&floor->sink);
	sink_ring_take(&floor->sink, count, 0);
	return count;
}

/* ---- the run ---- */

static void run(struct floor *floor)
{
	unsigned int (*consume)(struct floor *) = options.own ? consume_own : consume_sink;
	uint64_t end = now_ns() + options.run_ns;

	for (uint64_t now = 0; now < end; floor->batches++) {
		uint64_t begin;

		offer(floor);
		begin = now_ns();
		if (consume(floor) != BATCH)
			die("chains were lost");
		now = now_ns();
		floor->batches_of[now - begin < BATCH_NS_MAX ? now - begin : BATCH_NS_MAX]++;
	}
}

static uint32_t median_ns(const struct floor *floor)
{
	uint64_t below = 0;
	uint32_t ns = 0;

	while (ns < BATCH_NS_MAX && (below += floor->batches_of[ns]) <= floor->batches / 2)
		ns++;
	return ns;
}

/* What reading the clock adds to each batch. */
static uint64_t clock_ns(void)
{
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < CLOCK_LOOKS; i++) {
		uint64_t begin = now_ns(), ns = now_ns() - begin;

		least = ns < least ? ns : least;
	}
	return least;
}

static bool read_options(int argc, char **argv)
{
	static const struct option table[] = {
		{ "packed", 0, NULL, 'p' },
		{ "own", 0, NULL, 'o' },
		{ "seconds", 1, NULL, 's' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'p')
			options.packed = true;
		else if (c == 'o')
			options.own = true;
		else if (c == 's' && strtod(optarg, NULL) > 0)
			options.run_ns = (uint64_t)(strtod(optarg, NULL) * (double)SECOND_NS);
		else
			return false;
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	static struct floor floor;

	if (!read_options(argc, argv)) {
		fputs("usage: ring_floor [--packed] [--own] [--seconds S]\n", stderr);
		return 2;
	}
	open_driver(&floor);
	if (options.own)
		open_own(&floor);
	else
		open_sink(&floor);
	run(&floor);
	printf("{\"frames\":%" PRIu64 ",\"frame_ns\":%.2f}\n", floor.batches * BATCH,
	       ((double)median_ns(&floor) - (double)clock_ns()) / BATCH);
	ring_destroy(floor.own);
	mock_driver_close(&floor.driver);
	mock_memory_close(&floor.memory);
	return 0;
}
