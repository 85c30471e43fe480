/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guest_packet.h"

#define STREAM    3u
#define MAX_FRAME 9000u

static const struct packet_shape plain = {
	.mss = 1000,
	.port = PACKET_DEFAULT_PORT,
	.ecn = true,
	.address = { .dst = { 2, 0, 0, 0, 0, 8 }, .src = { 2, 0, 0, 0, 0, 9 } },
};

static struct packet_counts counts;
static struct tally tally;

/* Makes one, changes it, checks it; true if it is good, and all of its pieces. */
static bool goes_through(const struct packet_shape *shape, size_t size, uint64_t first,
			 size_t flip_bit)
{
	struct virtio_net_hdr_v1 header;
	uint8_t frame[MAX_FRAME];
	const struct tally_stream *total;
	bool good;

	memset(&counts, 0, sizeof(counts));
	tally_open(&tally, PATTERN_ETHERTYPE, true);
	packet_make(shape, frame, size, STREAM, first, &header);
	if (flip_bit)
		frame[flip_bit / 8] ^= (uint8_t)(1u << flip_bit % 8);
	if (packet_is_ours(frame, size, PACKET_DEFAULT_PORT))
		packet_check(&counts, &tally, frame, size, &header);
	total = tally_total(&tally);
	good = counts.packets == 1 && !counts.bad && !total->corrupted &&
	       total->verified == packet_pieces(shape, size);
	tally_close(&tally);
	return good;
}

static void every_kind_verifies(void **state)
{
	struct packet_shape shape = plain;

	for (shape.kind = PACKET_TCP4; shape.kind <= PACKET_UDP6; shape.kind++)
		for (shape.tags = 0; shape.tags <= PACKET_MAX_TAGS; shape.tags++)
			for (shape.extra = 0; shape.extra <= PACKET_MAX_EXTRA; shape.extra++) {
				size_t size = packet_header_bytes(&shape) + 1;

				for (; size < MAX_FRAME; size += 97) {
					shape.partial = size & 1 || packet_pieces(&shape, size) > 1;
					if (!goes_through(&shape, size, size, 0))
						fail_msg(
							"kind %d, %u tags, %u extra, %zu bytes: %s",
							shape.kind, shape.tags, shape.extra, size,
							counts.why);
				}
			}
}

/* Each bit behind the Ethernet header is covered by something. */
static void every_bit_counts(void **state)
{
	struct packet_shape shape = plain;

	for (shape.kind = PACKET_TCP4; shape.kind <= PACKET_UDP6; shape.kind++) {
		size_t size = packet_header_bytes(&shape) + 100;

		for (size_t bit = PATTERN_ETH_BYTES * 8; bit < size * 8; bit++)
			if (goes_through(&shape, size, 7, bit))
				fail_msg("kind %d: bit %zu of byte %zu does not matter", shape.kind,
					 bit % 8, bit / 8);
	}
}

/* With the checksum left to be done, what the receiver goes by is checked all the same. */
static void headers_that_lie(void **state)
{
	struct packet_shape shape = plain;
	struct virtio_net_hdr_v1 header, lie;
	uint8_t frame[MAX_FRAME], *byte = (uint8_t *)&lie;

	shape.partial = true;
	tally_open(&tally, PATTERN_ETHERTYPE, true);
	for (shape.kind = PACKET_TCP4; shape.kind <= PACKET_UDP6; shape.kind++) {
		packet_make(&shape, frame, 4000, STREAM, 1, &header);
		/* Without num_buffers; flags: the first bit only, gso_type without ECN. */
		for (size_t bit = 0; bit < 10 * 8; bit++) {
			if ((bit / 8 == 0 && bit) || bit == 15)
				continue;
			lie = header;
			byte[bit / 8] ^= (uint8_t)(1u << bit % 8);
			/* More than the headers is no lie; UDP does not say what its pieces are. */
			if (lie.hdr_len > header.hdr_len ||
			    (lie.gso_size != header.gso_size && shape.kind >= PACKET_UDP4))
				continue;
			memset(&counts, 0, sizeof(counts));
			packet_check(&counts, &tally, frame, 4000, &lie);
			if (!counts.bad)
				fail_msg("kind %d: bit %zu of byte %zu", shape.kind, bit % 8,
					 bit / 8);
		}
	}
	tally_close(&tally);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_verifies),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(headers_that_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
