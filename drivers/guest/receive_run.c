/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivering by runs: frames that fit into one buffer each, which is most of what guests are
 * sent, and buffers that are one descriptor each, as Linux and DPDK have them.
 *
 * Buffers for all of them are found before the first is written. The guest's processor had
 * their cache lines last, and to wait for these takes longer than to write them; so they are
 * asked for some frames ahead, and those of the next run when this one is written.
 *
 * What is not of that kind is left to receiver.c, which can do all: a run ends before it.
 */
#include "guest.h"

#include "atomic.h"
#include "net_header.h"
#include "super_frame.h"
#include <string.h>

#define RUN_MAX         GW_BATCH
/* Of buffers that are fetched and not written yet: part of the nearest cache. */
#define RUN_FETCH_BYTES (12u * 1024u)
/* Of one of them. */
#define RUN_FETCH_EACH  1536u

struct run {
	struct ring_linear chain[RUN_MAX];
	uint32_t bytes[RUN_MAX]; /* to be written, the header too */
	unsigned int count;
};

/*
 * As many of the first frames as have a buffer each that they fit into. Where frames do not
 * fit, not many buffers are looked at the next time.
 */
static void find_run(struct receiver *receiver, struct run *run, struct gw_frame *const *frames,
		     unsigned int count)
{
	unsigned int reach = count < receiver->reach ? count : receiver->reach, found, i;

	found = ring_find_writable(receiver->ring, run->chain, reach);
	for (i = 0; i < found; i++) {
		uint64_t need = (uint64_t)frames[i]->len + sizeof(struct virtio_net_hdr_v1);

		if (need > run->chain[i].len ||
		    super_frame_missing(&frames[i]->header, receiver->offloads.takes))
			break;
		run->bytes[i] = (uint32_t)need;
	}
	run->count = i;
	if (i < found)
		receiver->reach = 1;
	else if (i == receiver->reach && i < RUN_MAX)
		receiver->reach *= 2;
}

/* Returns how much of it. */
static inline uint32_t fetch_buffer(const struct run *run, unsigned int i)
{
	uint32_t len = run->bytes[i] < RUN_FETCH_EACH ? run->bytes[i] : RUN_FETCH_EACH;

	for (uint32_t at = 0; at < len; at += GUEST_CACHE_LINE)
		gw_prefetch_write(run->chain[i].base + at);
	return len;
}

/* Of the run after this one, as if its frames were as long as these. */
static void fetch_next(const struct receiver *receiver, struct run *run)
{
	unsigned int count = ring_find_writable(receiver->ring, run->chain, run->count);
	uint32_t fetched = 0;

	for (unsigned int i = 0; i < count && fetched < RUN_FETCH_BYTES; i++)
		fetched += fetch_buffer(run, i);
}

/*
 * A header that asks for nothing is written as it is: to put it together from smaller
 * pieces would be to wait, in each frame, for all stores before it.
 */
static inline void write_header(uint8_t *to, const struct gw_frame *frame)
{
	static const struct virtio_net_hdr_v1 plain = { .num_buffers = 1 };
	struct virtio_net_hdr_v1 header;

	if (__builtin_expect(!net_header_asks(&frame->header), 1)) {
		memcpy(to, &plain, sizeof(plain));
		return;
	}
	header = receiver_header(frame, 1);
	memcpy(to, &header, sizeof(header));
}

static inline void write_frame(uint8_t *to, const struct gw_frame *frame)
{
	uint32_t left = frame->len;

	write_header(to, frame);
	to += sizeof(struct virtio_net_hdr_v1);
	/* No more than there was found room for, whatever the segments add up to. */
	for (unsigned int i = 0; i < frame->seg_count && left; i++) {
		size_t part = frame->seg[i].iov_len < left ? frame->seg[i].iov_len : left;

		memcpy(to, frame->seg[i].iov_base, part);
		to += part;
		left -= (uint32_t)part;
	}
}

static void write_run(const struct run *run, struct gw_frame *const *frames)
{
	unsigned int next = 0;
	uint32_t ahead = 0;

	for (unsigned int i = 0; i < run->count; i++) {
		for (; next < run->count && ahead < RUN_FETCH_BYTES; next++)
			ahead += fetch_buffer(run, next);
		write_frame(run->chain[i].base, frames[i]);
		ahead -= run->bytes[i] < RUN_FETCH_EACH ? run->bytes[i] : RUN_FETCH_EACH;
	}
}

unsigned int receive_run(struct receiver *receiver, struct gw_frame *const *frames,
			 unsigned int count)
{
	struct run run;

	/* A dirty log wants to know of each buffer; a legacy guest's header is shorter. */
	if (__builtin_expect(
		    receiver->log || receiver->header_len != sizeof(struct virtio_net_hdr_v1), 0))
		return 0;
	find_run(receiver, &run, frames, count);
	if (!run.count)
		return 0;
	write_run(&run, frames);
	ring_fill_run(receiver->ring, run.chain, run.bytes, run.count);
	fetch_next(receiver, &run);
	return run.count;
}
