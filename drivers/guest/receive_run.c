/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Delivering by runs: frames that fit into one buffer each, which is most of what guests are
 * sent, and buffers that are one descriptor each, as Linux and DPDK have them.
 *
 * Buffers for all of them are found before the first is written. The guest's processor had
 * their cache lines last, and to wait for these takes longer than to write them. A processor
 * lets stores wait in order, and has room for a few dozen: so the lines that have to come are
 * written to side by side, for many frames, and come together; among the stores of whole
 * frames two or three would. To fetch them ahead gives less: what is fetched for writing is
 * not asked for either while stores wait.
 *
 * What is not of that kind is left to receiver.c, which can do all: a run ends before it.
 */
#include "guest.h"

#include "atomic.h"
#include "net_header.h"
#include "super_frame.h"
#include <string.h>

#define RUN_MAX     GW_BATCH
/* Buffers that are touched at once: as many stores as a processor lets wait, and some. */
#define TOUCHED_MAX 32u

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

	to += sizeof(struct virtio_net_hdr_v1);
	/* No more than there was found room for, whatever the segments add up to. */
	for (unsigned int i = 0; i < frame->seg_count && left; i++) {
		size_t part = frame->seg[i].iov_len < left ? frame->seg[i].iov_len : left;

		memcpy(to, frame->seg[i].iov_base, part);
		to += part;
		left -= (uint32_t)part;
	}
}

/*
 * The header, and the last byte: lines that a guest has looked at in any case. The byte is
 * written once more, with the others.
 */
static inline void touch_buffer(uint8_t *to, uint32_t len, const struct gw_frame *frame)
{
	write_header(to, frame);
	gw_write_once(to + len - 1, (uint8_t)0);
}

static void write_run(const struct run *run, struct gw_frame *const *frames)
{
	for (unsigned int i = 0, end; i < run->count;) {
		end = run->count - i < TOUCHED_MAX ? run->count : i + TOUCHED_MAX;
		for (unsigned int k = i; k < end; k++)
			touch_buffer(run->chain[k].base, run->bytes[k], frames[k]);
		for (; i < end; i++)
			write_frame(run->chain[i].base, frames[i]);
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
	return run.count;
}
