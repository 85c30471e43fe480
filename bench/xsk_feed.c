/* SPDX-License-Identifier: BSD-2-Clause */
#include "xsk_feed.h"

#include "atomic.h"
#include "chain_layout.h"
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define HEADER_BYTES 12u /* virtio-net's, in front of a frame */

/* All frames' entries, made beforehand. */
struct places {
	struct feed_entry entry[FEED_FRAMES][FEED_PIECES_MAX];
	uint32_t count[FEED_FRAMES];
};

static struct layout_shape layout_of(const struct feed_shape *shape)
{
	return (struct layout_shape){ .header = shape->pieces > 1 ? LAYOUT_OWN : LAYOUT_SHARED,
				      .pieces_low = shape->pieces,
				      .pieces_high = shape->pieces };
}

static uint64_t stride_of(const struct feed_shape *shape)
{
	struct layout_shape layout = layout_of(shape);

	return layout_room(&layout, HEADER_BYTES + shape->frame_len);
}

uint64_t feed_bytes(const struct feed_shape *shape)
{
	return FEED_FRAMES * stride_of(shape);
}

/* The header is not sent: it has a segment, or the first bytes of one. */
static void place(struct places *places, uint32_t number, const struct feed_shape *shape,
		  uint8_t *memory)
{
	struct ring_segment segment[LAYOUT_MAX_PIECES];
	uint64_t offset = number * stride_of(shape);
	struct guest_span slot = { .host = memory + offset, .gpa = offset };
	struct layout_shape layout = layout_of(shape);
	uint16_t count =
		layout_place(&layout, &slot, HEADER_BYTES, shape->frame_len, number, segment);
	uint32_t skip = HEADER_BYTES, to = 0;

	for (uint16_t i = 0; i < count; i++) {
		uint32_t less = skip < segment[i].len ? skip : segment[i].len;

		skip -= less;
		if (segment[i].len > less)
			places->entry[number][to++] =
				(struct feed_entry){ .at = segment[i].gpa + less,
						     .len = segment[i].len - less,
						     .more = i + 1 < count };
	}
	places->count[number] = to;
}

static void write_frame(const struct feed_entry *entry, uint32_t count, uint8_t *memory, int byte)
{
	for (uint32_t i = 0; i < count; i++)
		memset(memory + entry[i].at, byte, entry[i].len);
}

/* Until the sender ends. */
static void feed_on(struct feed *feed, const struct feed_shape *shape, const struct places *places,
		    uint8_t *memory)
{
	for (uint32_t sent = 0, at = 0;;) {
		uint32_t number = sent % FEED_FRAMES, count = places->count[number];

		if (sent - gw_load_acquire(&feed->home) >= FEED_FRAMES)
			continue;
		if (shape->writes)
			write_frame(places->entry[number], count, memory, (int)sent);
		for (uint32_t i = 0; i < count; i++)
			feed->entry[at++ % FEED_ENTRIES] = places->entry[number][i];
		gw_store_release(&feed->available, at);
		sent++;
	}
}

static void child(struct feed *feed, const struct feed_shape *shape, const struct places *places,
		  uint8_t *memory, unsigned int cpu, pid_t parent)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent ||
	    sched_setaffinity(0, sizeof(cpus), &cpus))
		_exit(1);
	feed_on(feed, shape, places, memory);
}

struct feed *feed_start(const struct feed_shape *shape, uint8_t *memory, unsigned int cpu)
{
	struct feed *feed = mmap(NULL, sizeof(*feed), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	struct places *places = calloc(1, sizeof(*places));
	pid_t parent = getpid(), pid;

	if (feed == MAP_FAILED || !places)
		return NULL;
	for (uint32_t i = 0; i < FEED_FRAMES; i++) {
		place(places, i, shape, memory);
		write_frame(places->entry[i], places->count[i], memory, (int)i);
		/* To all; the far end has no use for the type 0xffff. */
		memset(memory + places->entry[i][0].at, 0xff, 14);
	}
	pid = fork();
	if (!pid)
		child(feed, shape, places, memory, cpu, parent);
	free(places);
	return pid < 0 ? NULL : feed;
}
