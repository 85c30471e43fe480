/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Headers that lie, one rule at a time; and super-frames of any shape, cut and
 * judged by code that shares nothing with the cutter (tests/mock/mock_super.h).
 */
#include "super_frame.h"

#include "iov.h"
#include "mock_super.h"
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define SEGS_MAX   1024u
#define ANY_FRAMES 3000u

static struct mock_super made;

/* A frame in memory of its exact size, so that a sanitizer sees each byte too far. */
struct sent {
	struct gw_frame frame;
	uint8_t *bytes;
	struct iovec seg[SEGS_MAX];
};

/* In segments of at most `step` bytes; 0: one. */
static void sent_open(struct sent *sent, const struct mock_super *super, uint32_t len,
		      uint32_t step)
{
	unsigned int count = 0;

	if (!step)
		step = len;
	sent->bytes = malloc(len);
	assert_non_null(sent->bytes);
	memcpy(sent->bytes, super->bytes, len);
	for (uint32_t at = 0; at < len; at += step) {
		/* What is too much for the array goes into the last. */
		bool last = ++count == SEGS_MAX || len - at <= step;

		sent->seg[count - 1].iov_base = sent->bytes + at;
		sent->seg[count - 1].iov_len = last ? len - at : step;
		if (last)
			break;
	}
	sent->frame = (struct gw_frame){
		.seg = sent->seg,
		.seg_count = (uint16_t)count,
		.len = len,
		.header = super->header,
	};
	memcpy(sent->frame.snapshot, super->bytes, GW_FRAME_SNAPSHOT);
}

static void sent_close(struct sent *sent)
{
	free(sent->bytes);
}

/* ---- bad headers ---- */

enum base { NO_PATCH, ETH, L3, L4 };

struct patch {
	enum base base;
	unsigned int offset;
	uint8_t value;
};

struct bad {
	const char *name;
	enum gw_reason reason;
	struct mock_super_shape shape;
	struct patch patch[3];
	/* Of the virtio-net header, where it is not 0; `zero` is for what is to be 0. */
	int csum_start, csum_offset, gso_size, gso_type;
	char zero;    /* which is 0: 'f'lags, gso_'s'ize, csum_'o'ffset */
	uint32_t len; /* of the frame, if not 0 */
};

#define TCP4                                                 \
	{                                                    \
		.payload = 5000, .gso_size = 1000, .seed = 1 \
	}
#define TCP4W                                             \
	{                                                 \
		.payload = 5000, .whole = true, .seed = 1 \
	}
#define UDP4                                                              \
	{                                                                 \
		.udp = true, .payload = 5000, .gso_size = 1000, .seed = 1 \
	}
#define TCP6                                                               \
	{                                                                  \
		.ipv6 = true, .payload = 5000, .gso_size = 1000, .seed = 1 \
	}
#define TCP6_EXTENSION(...)                                                                \
	{                                                                                  \
		.ipv6 = true, .payload = 5000, .gso_size = 1000, .seed = 1, .extension = { \
			__VA_ARGS__                                                        \
		}                                                                          \
	}
#define HOP  MOCK_SUPER_HOP_BY_HOP
#define DEST 60

/* What of TCP4 lies where: Ethernet 14, IPv4 20, TCP 20. */
static const struct bad bads[] = {
	{ .name = "nothing wrong", GW_REASON_NONE, TCP4 },
	{ .name = "nothing wrong, IPv6", GW_REASON_NONE, TCP6 },
	{ .name = "nothing wrong, checksum only", GW_REASON_NONE, TCP4W },
	/* what the virtio-net header says */
	{ .name = "no checksum asked for", GW_DROP_BAD_HEADER, TCP4, .zero = 'f' },
	{ .name = "csum_start in the Ethernet header", GW_DROP_BAD_HEADER, TCP4, .csum_start = 13 },
	{ .name = "the same, checksum only", GW_DROP_BAD_HEADER, TCP4W, .csum_start = 13 },
	{ .name = "csum_start not at TCP", GW_DROP_BAD_HEADER, TCP4, .csum_start = 35 },
	{ .name = "csum_start in the IP header", GW_DROP_BAD_HEADER, TCP4, .csum_start = 14 },
	{ .name = "csum_start beyond the packet", GW_DROP_BAD_HEADER, TCP4, .csum_start = 6000 },
	{ .name = "the same, checksum only", GW_DROP_BAD_HEADER, TCP4W, .csum_start = 6000 },
	{ .name = "csum_start and offset at their largest",
	  GW_DROP_BAD_HEADER,
	  TCP4W,
	  .csum_start = 0xffff,
	  .csum_offset = 0xffff },
	{ .name = "the field's second byte beyond the packet",
	  GW_DROP_BAD_HEADER,
	  TCP4W,
	  .csum_start = 5054 - 17 },
	{ .name = "the field ends with the packet, deep",
	  GW_COPY_PRIVATE_HEADER,
	  TCP4W,
	  .csum_start = 5054 - 18 },
	{ .name = "a field that ends with GW_HEADER_MAX",
	  GW_REASON_NONE,
	  TCP4W,
	  .csum_start = GW_HEADER_MAX - 18 },
	{ .name = "a field that ends one byte after it",
	  GW_COPY_PRIVATE_HEADER,
	  TCP4W,
	  .csum_start = GW_HEADER_MAX - 17 },
	{ .name = "the same in a super-frame",
	  GW_DROP_BAD_HEADER,
	  TCP4,
	  .csum_start = GW_HEADER_MAX - 17 },
	{ .name = "csum_offset not TCP's", GW_DROP_BAD_HEADER, TCP4, .csum_offset = 6 },
	{ .name = "csum_offset not UDP's", GW_DROP_BAD_HEADER, UDP4, .csum_offset = 16 },
	{ .name = "csum_offset 0", GW_DROP_BAD_HEADER, TCP4, .zero = 'o' },
	{ .name = "gso_size 0", GW_DROP_BAD_HEADER, TCP4, .zero = 's' },
	{ .name = "gso_size 1, more frames than allowed", GW_DROP_BAD_HEADER, TCP4, .gso_size = 1 },
	{ .name = "gso_size just too small",
	  GW_DROP_BAD_HEADER,
	  { .payload = 4 * SUPER_FRAME_CUTS_MAX + 1, .gso_size = 4 } },
	{ .name = "gso_size just large enough",
	  GW_REASON_NONE,
	  { .payload = 4 * SUPER_FRAME_CUTS_MAX, .gso_size = 4 } },
	{ .name = "gso_size 0xffff", GW_REASON_NONE, TCP4, .gso_size = 0xffff },
	{ .name = "type is the other IP's",
	  GW_DROP_BAD_HEADER,
	  TCP4,
	  .gso_type = VIRTIO_NET_HDR_GSO_TCPV6 },
	{ .name = "type is the other IP's, IPv6",
	  GW_DROP_BAD_HEADER,
	  TCP6,
	  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 },
	{ .name = "type UDP of a TCP packet",
	  GW_DROP_BAD_HEADER,
	  TCP4,
	  .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4 },
	{ .name = "the same, with UDP's offset",
	  GW_DROP_BAD_HEADER,
	  TCP4,
	  .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
	  .csum_offset = 6 },
	{ .name = "type TCP of a UDP packet",
	  GW_DROP_BAD_HEADER,
	  UDP4,
	  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
	  .csum_offset = 16 },
	{ .name = "type UDP fragmentation",
	  GW_DROP_BAD_HEADER,
	  UDP4,
	  .gso_type = VIRTIO_NET_HDR_GSO_UDP },
	{ .name = "type unknown", GW_DROP_BAD_HEADER, TCP4, .gso_type = 0x7f },
	{ .name = "type none with the ECN bit",
	  GW_DROP_BAD_HEADER,
	  TCP4,
	  .gso_type = VIRTIO_NET_HDR_GSO_ECN },
	/* Ethernet */
	{ .name = "no IP", GW_DROP_BAD_HEADER, TCP4, { { ETH, 13, 0x06 } } },
	{ .name = "type says IPv6, packet is IPv4",
	  GW_DROP_BAD_HEADER,
	  TCP4,
	  { { ETH, 12, 0x86 }, { ETH, 13, 0xdd } } },
	{ .name = "one VLAN tag",
	  GW_REASON_NONE,
	  { .vlan_tags = 1, .payload = 5000, .gso_size = 1000 } },
	{ .name = "two VLAN tags",
	  GW_REASON_NONE,
	  { .vlan_tags = 2, .payload = 5000, .gso_size = 1000 } },
	{ .name = "three VLAN tags",
	  GW_DROP_BAD_HEADER,
	  { .vlan_tags = 3, .payload = 5000, .gso_size = 1000 } },
	{ .name = "three VLAN tags, checksum only",
	  GW_REASON_NONE,
	  { .vlan_tags = 3, .payload = 5000, .whole = true } },
	/* IPv4 */
	{ .name = "IPv4 of version 5", GW_DROP_BAD_HEADER, TCP4, { { L3, 0, 0x55 } } },
	{ .name = "IPv4 header of 16 bytes",
	  GW_DROP_BAD_HEADER,
	  TCP4,
	  { { L3, 0, 0x44 } },
	  .csum_start = 30 },
	{ .name = "IPv4 header longer than it is", GW_DROP_BAD_HEADER, TCP4, { { L3, 0, 0x4f } } },
	{ .name = "IPv4 header shorter than it is",
	  GW_DROP_BAD_HEADER,
	  { .ip_options = 2, .payload = 5000, .gso_size = 1000 },
	  { { L3, 0, 0x45 } } },
	{ .name = "IPv4 says UDP", GW_DROP_BAD_HEADER, TCP4, { { L3, 9, 17 } } },
	{ .name = "IPv4 more fragments", GW_DROP_BAD_HEADER, TCP4, { { L3, 6, 0x20 } } },
	{ .name = "IPv4 fragment, high bits", GW_DROP_BAD_HEADER, TCP4, { { L3, 6, 0x01 } } },
	{ .name = "IPv4 fragment, low bits", GW_DROP_BAD_HEADER, TCP4, { { L3, 7, 0x01 } } },
	{ .name = "IPv4 may fragment", GW_REASON_NONE, TCP4, { { L3, 6, 0 } } },
	{ .name = "a frame of the wire longer than IPv4 can say",
	  GW_DROP_BAD_HEADER,
	  { .payload = 65500, .gso_size = 0xffff } },
	{ .name = "as long as IPv4 can say",
	  GW_REASON_NONE,
	  { .payload = 65535 - 40, .gso_size = 0xffff } },
	/* IPv6 */
	{ .name = "IPv6 of version 4", GW_DROP_BAD_HEADER, TCP6, { { L3, 0, 0x40 } } },
	{ .name = "csum_start in IPv6's TCP header",
	  GW_DROP_BAD_HEADER,
	  TCP6,
	  .csum_start = 14 + 40 + 4 },
	{ .name = "csum_start in the IPv6 header",
	  GW_DROP_BAD_HEADER,
	  TCP6,
	  .csum_start = 14 + 20 },
	{ .name = "IPv6 fragment header", GW_DROP_BAD_HEADER, TCP6_EXTENSION(44) },
	{ .name = "IPv6 no next header", GW_DROP_BAD_HEADER, TCP6_EXTENSION(59) },
	{ .name = "IPv6 authentication", GW_DROP_BAD_HEADER, TCP6_EXTENSION(51) },
	{ .name = "IPv6 says UDP", GW_DROP_BAD_HEADER, TCP6, { { L3, 6, 17 } } },
	{ .name = "IPv6 with eight extensions",
	  GW_REASON_NONE,
	  TCP6_EXTENSION(HOP, DEST, DEST, DEST, DEST, DEST, DEST, DEST) },
	{ .name = "IPv6 with nine",
	  GW_DROP_BAD_HEADER,
	  TCP6_EXTENSION(HOP, DEST, DEST, DEST, DEST, DEST, DEST, DEST, DEST) },
	{ .name = "IPv6 extension longer than it is",
	  GW_DROP_BAD_HEADER,
	  TCP6_EXTENSION(DEST),
	  { { L3, 41, 1 } } },
	{ .name = "IPv6 extension beyond what may be read",
	  GW_DROP_BAD_HEADER,
	  TCP6_EXTENSION(DEST),
	  { { L3, 41, 255 } } },
	{ .name = "IPv6 chain that never gets to TCP",
	  GW_DROP_BAD_HEADER,
	  TCP6_EXTENSION(DEST),
	  { { L3, 40, DEST }, { L3, 41, 0 } } },
	{ .name = "IPv6 chain cut off by the packet's end",
	  GW_DROP_BAD_HEADER,
	  TCP6_EXTENSION(DEST, DEST),
	  { { L3, 49, 200 } },
	  .len = 14 + 40 + 16 + 20 },
	/* TCP and UDP */
	{ .name = "TCP header of 16 bytes", GW_DROP_BAD_HEADER, TCP4, { { L4, 12, 0x40 } } },
	{ .name = "TCP header of 0 bytes", GW_DROP_BAD_HEADER, TCP4, { { L4, 12, 0 } } },
	{ .name = "TCP header of 0 bytes, checksum only",
	  GW_REASON_NONE,
	  TCP4W,
	  { { L4, 12, 0 } } },
	{ .name = "TCP header beyond the packet",
	  GW_DROP_BAD_HEADER,
	  { .payload = 10, .gso_size = 4 },
	  { { L4, 12, 0xf0 } } },
	{ .name = "the same, checksum only",
	  GW_REASON_NONE,
	  { .payload = 10, .whole = true },
	  { { L4, 12, 0xf0 } } },
	{ .name = "the packet ends in the TCP header", GW_DROP_BAD_HEADER, TCP4, .len = 53 },
	{ .name = "the packet ends with it", GW_REASON_NONE, TCP4, .len = 54 },
	{ .name = "the packet ends in the IP header", GW_DROP_BAD_HEADER, TCP4, .len = 30 },
	{ .name = "the packet ends in the UDP header", GW_DROP_BAD_HEADER, UDP4, .len = 41 },
	{ .name = "the packet ends with it, UDP", GW_REASON_NONE, UDP4, .len = 42 },
	/* longer than GW_HEADER_MAX: 14 + 40 + n * 32, and 20 more of TCP */
	{ .name = "the longest header",
	  GW_REASON_NONE,
	  { .ipv6 = true,
	    .payload = 5000,
	    .gso_size = 1000,
	    .tcp_options = 2,
	    .extension = { HOP, DEST, DEST, DEST, DEST, DEST, DEST },
	    .extension_units = 5,
	    .vlan_tags = 2 } },
	{ .name = "a header longer than GW_HEADER_MAX",
	  GW_DROP_BAD_HEADER,
	  { .ipv6 = true,
	    .payload = 5000,
	    .gso_size = 1000,
	    .tcp_options = 10,
	    .extension = { HOP, DEST, DEST, DEST, DEST, DEST, DEST },
	    .extension_units = 5,
	    .vlan_tags = 2 } },
};

static void make_bad(const struct bad *bad)
{
	struct virtio_net_hdr_v1 *header = &made.header;

	mock_super_make(&made, &bad->shape);
	for (unsigned int i = 0; i < 3 && bad->patch[i].base != NO_PATCH; i++) {
		const struct patch *patch = &bad->patch[i];
		uint32_t base = patch->base == ETH ? 0 : patch->base == L3 ? made.l3 : made.l4;

		made.bytes[base + patch->offset] = patch->value;
	}
	if (bad->csum_start)
		header->csum_start = (uint16_t)bad->csum_start;
	if (bad->csum_offset || bad->zero == 'o')
		header->csum_offset = (uint16_t)bad->csum_offset;
	if (bad->gso_size || bad->zero == 's')
		header->gso_size = (uint16_t)bad->gso_size;
	if (bad->gso_type)
		header->gso_type = (uint8_t)bad->gso_type;
	if (bad->zero == 'f')
		header->flags = 0;
}

/* Each of them in one segment and with its beginning in segments of a byte. */
static void headers_that_lie(void **state)
{
	static const uint32_t steps[] = { 0, 1, 7 };
	struct super_frame *super = malloc(sizeof(*super));
	static struct sent sent;

	for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++) {
		make_bad(&bads[i]);
		for (unsigned int s = 0; s < 3; s++) {
			enum gw_reason reason;

			sent_open(&sent, &made, bads[i].len ? bads[i].len : made.len, steps[s]);
			reason = super_frame_begin(super, &sent.frame);
			if (reason != bads[i].reason)
				fail_msg("%s: %d, not %d", bads[i].name, reason, bads[i].reason);
			if (reason == GW_REASON_NONE)
				assert_true(super->header_len <= GW_HEADER_MAX);
			sent_close(&sent);
		}
	}
	free(super);
}

static void what_a_device_does_not_take(void **state)
{
	static const struct {
		uint8_t flags, gso_type;
		uint32_t takes, missing;
	} table[] = {
		{ 0, 0, 0, 0 },
		{ 1, 0, 0, GW_OFFLOAD_CSUM },
		{ 1, 0, GW_OFFLOAD_CSUM, 0 },
		{ 1, 1, GW_OFFLOAD_CSUM, GW_OFFLOAD_TSO4 },
		{ 1, 1, GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 0 },
		{ 1, 4, GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, GW_OFFLOAD_TSO6 },
		{ 1, 5, GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, GW_OFFLOAD_USO },
		{ 1, 0x81, GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, GW_OFFLOAD_ECN },
		{ 1, 0x84, GW_OFFLOAD_ALL, 0 },
		{ 1, 5, GW_OFFLOAD_ALL, 0 },
		/* Fragmentation of UDP, no type at all, and one that does not exist: nobody. */
		{ 1, 3, GW_OFFLOAD_ALL, GW_OFFLOAD_ALL + 1 },
		{ 1, 0x80, GW_OFFLOAD_ALL, GW_OFFLOAD_ALL + 1 },
		{ 1, 0x7f, GW_OFFLOAD_ALL, GW_OFFLOAD_ALL + 1 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct virtio_net_hdr_v1 header = { .flags = table[i].flags,
							  .gso_type = table[i].gso_type };

		assert_int_equal(super_frame_missing(&header, table[i].takes), table[i].missing);
	}
}

/* ---- cutting ---- */

static uint8_t out[MOCK_SUPER_BYTES];

/* The next frame of the wire, made and put together in `out`. */
static uint32_t make_next(struct super_frame *super, struct virtio_net_hdr_v1 *header)
{
	static struct iovec seg[1 + SEGS_MAX];
	uint8_t *room = malloc(super->header_len);
	const struct iovec linear = { out, sizeof(out) };
	uint32_t len = super_frame_len(super), sum = super->header_len;
	unsigned int count;

	seg[0] = (struct iovec){ room, super->header_len };
	count = 1 + super_frame_slices(super, seg + 1, SEGS_MAX);
	assert_true(count <= 1 + SEGS_MAX);
	for (unsigned int i = 1; i < count; i++) {
		assert_true(seg[i].iov_len > 0);
		sum += (uint32_t)seg[i].iov_len;
	}
	assert_int_equal(sum, len);
	super_frame_header(super, room, header);
	super_frame_checksum(super, seg, count);
	gw_iov_copy(&linear, 0, seg, 0, len);
	free(room);
	return len;
}

/* Completes `out` as any device would that is left to do it. */
static void complete_out(const struct virtio_net_hdr_v1 *header, uint32_t len)
{
	uint32_t start = header->csum_start, at = start + header->csum_offset;
	uint16_t check = (uint16_t)~mock_sum(out + start, len - start, 0);

	if (!check && (made.shape.udp || made.shape.whole))
		check = 0xffff;
	out[at] = (uint8_t)(check >> 8);
	out[at + 1] = (uint8_t)check;
}

/* What frame `number`, in `out`, is: wrong in this, or NULL. */
static const char *judge(const struct virtio_net_hdr_v1 *header, unsigned int number, uint32_t len,
			 bool keep)
{
	const char *wrong = NULL;

	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE || header->gso_size)
		return "asks for more cutting";
	if (header->flags != (keep ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0))
		return "flags";
	if (keep) {
		wrong = mock_super_wrong(&made, number, out, len, true);
		complete_out(header, len);
	}
	return wrong ? wrong : mock_super_wrong(&made, number, out, len, false);
}

/* Cuts `made`, in segments of `step` bytes. */
static void cut_and_judge(uint32_t step, bool keep)
{
	struct super_frame *super = malloc(sizeof(*super));
	unsigned int count = mock_super_frames(&made), number = 0;
	struct virtio_net_hdr_v1 header;
	static struct sent sent;

	memset(super, 0xa5, sizeof(*super));
	sent_open(&sent, &made, made.len, step);
	assert_int_equal(super_frame_begin(super, &sent.frame), GW_REASON_NONE);
	super->keep_checksum = keep;
	assert_true(super->header_len <= made.header_len);
	for (; super_frame_more(super); super_frame_advance(super), number++) {
		const char *wrong;
		uint32_t len;

		assert_int_equal(super_frame_count(super), count - number);
		len = make_next(super, &header);
		wrong = judge(&header, number, len, keep);
		if (wrong)
			fail_msg("seed %u, frame %u of %u: %s", made.shape.seed, number, count,
				 wrong);
	}
	assert_int_equal(number, count);
	assert_int_equal(super_frame_count(super), 0);
	/* Nobody writes into what the guest has. */
	assert_memory_equal(sent.bytes, made.bytes, made.len);
	sent_close(&sent);
	free(super);
}

static void any_super_frame_is_cut_right(void **state)
{
	static const uint32_t steps[] = { 0, 0, 1, 13, 64, 66, 1000, 1448, 4096 };
	uint64_t random = 4711;

	for (unsigned int i = 0; i < ANY_FRAMES; i++) {
		const struct mock_super_shape shape = mock_super_any(&random);

		mock_super_make(&made, &shape);
		cut_and_judge(steps[mock_random(&random) % 9], mock_random(&random) % 3 == 0);
	}
}

/* Shapes at borders, each with the checksum made and left. */
static void borders_are_cut_right(void **state)
{
	static const struct mock_super_shape shapes[] = {
		{ .payload = 0, .gso_size = 1000, .tcp_flags = 0x19 },
		{ .payload = 1, .gso_size = 1000, .tcp_flags = 0x19 },
		{ .payload = 1000, .gso_size = 1000, .tcp_flags = 0x99 },
		{ .payload = 1001, .gso_size = 1000, .tcp_flags = 0xff },
		{ .payload = 1024, .gso_size = 1, .tcp_flags = 0x10 },
		{ .payload = 999, .gso_size = 333, .seq = 0xfffffe00, .id = 0xffff },
		{ .payload = 65535 - 40, .gso_size = 0xffff },
		{ .payload = 65535 - 40, .gso_size = 1448 },
		{ .ipv6 = true, .payload = 65400, .gso_size = 0xffff },
		{ .ipv6 = true, .udp = true, .payload = 65400, .gso_size = 1452 },
		{ .ipv6 = true, .payload = 9000, .gso_size = 700, .extension = { 43 } },
		{ .ipv6 = true,
		  .udp = true,
		  .payload = 9000,
		  .gso_size = 701,
		  .extension = { 43 } },
		{ .ipv6 = true, .payload = 9000, .gso_size = 700, .extension = { HOP, 43, 60 } },
		{ .udp = true, .payload = 0, .gso_size = 100 },
		{ .payload = 3000,
		  .gso_size = 500,
		  .ip_options = 10,
		  .tcp_options = 10,
		  .vlan_tags = 2 },
		{ .whole = true, .payload = 1460 },
		{ .whole = true, .udp = true, .payload = 0 },
		{ .whole = true, .ipv6 = true, .tcp_options = 10, .payload = 1 },
	};

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		mock_super_make(&made, &shapes[i]);
		cut_and_judge(0, false);
		cut_and_judge(0, true);
		cut_and_judge(77, false);
	}
}

/* The first frame of `made`, in `out`. */
static void make_first(void)
{
	struct virtio_net_hdr_v1 header;
	struct super_frame super;
	static struct sent sent;

	sent_open(&sent, &made, made.len, 0);
	assert_int_equal(super_frame_begin(&super, &sent.frame), GW_REASON_NONE);
	make_next(&super, &header);
	sent_close(&sent);
}

/* A sum of 0xffff, whose checksum is 0: "none" in UDP, a number like others in TCP. */
static void checksums_of_zero(void **state)
{
	static const struct mock_super_shape shapes[] = {
		{ .udp = true, .payload = 2000, .gso_size = 1000 },
		{ .payload = 2000, .gso_size = 1000 },
		{ .payload = 2000, .whole = true },
		{ .udp = true, .payload = 2000, .whole = true },
	};
	static const uint16_t field[] = { 0xffff, 0, 0xffff, 0xffff };

	for (unsigned int i = 0; i < 4; i++) {
		uint8_t *word;

		mock_super_make(&made, &shapes[i]);
		word = made.bytes + made.header_len;
		/* What the sum lacks of 0xffff is the checksum: into a word that was 0. */
		word[0] = word[1] = 0;
		make_first();
		memcpy(word, out + made.check_at, 2);
		make_first();
		assert_int_equal(out[made.check_at] << 8 | out[made.check_at + 1], field[i]);
	}
}

/* ---- the guest changes its mind ---- */

/* What comes after begin is made of what begin has read, whatever the guest writes. */
static void the_header_is_read_once(void **state)
{
	static const struct mock_super_shape shapes[] = {
		{ .payload = 3000, .gso_size = 1000, .tcp_flags = 0x99, .vlan_tags = 1 },
		{ .ipv6 = true, .payload = 3000, .gso_size = 1000, .extension = { 43, 60 } },
		{ .udp = true, .payload = 3000, .gso_size = 1000 },
		{ .whole = true, .payload = 3000, .tcp_options = 3 },
	};

	for (unsigned int i = 0; i < 4; i++) {
		struct virtio_net_hdr_v1 header;
		struct super_frame super;
		static struct sent sent;
		unsigned int number = 0;

		mock_super_make(&made, &shapes[i]);
		sent_open(&sent, &made, made.len, 0);
		assert_int_equal(super_frame_begin(&super, &sent.frame), GW_REASON_NONE);
		for (; super_frame_more(&super); super_frame_advance(&super), number++) {
			uint32_t len;

			memset(sent.bytes, 0xff - (int)number, made.header_len);
			len = make_next(&super, &header);
			assert_null(mock_super_wrong(&made, number, out, len, false));
		}
		assert_int_equal(number, mock_super_frames(&made));
		sent_close(&sent);
	}
}

/* The egress was chosen by the snapshot: these addresses are sent, and no others. */
static void the_ethernet_header_is_the_snapshots(void **state)
{
	const struct mock_super_shape shape = { .payload = 3000, .gso_size = 1000 };
	struct virtio_net_hdr_v1 header;
	struct super_frame super;
	static struct sent sent;

	for (uint32_t step = 0; step < 2; step++) {
		mock_super_make(&made, &shape);
		sent_open(&sent, &made, made.len, step);
		memset(sent.bytes, 0xdd, GW_FRAME_SNAPSHOT);
		assert_int_equal(super_frame_begin(&super, &sent.frame), GW_REASON_NONE);
		for (; super_frame_more(&super); super_frame_advance(&super)) {
			make_next(&super, &header);
			assert_memory_equal(out, made.bytes, GW_FRAME_SNAPSHOT);
		}
		sent_close(&sent);
	}
}

/* More slices than the caller has room for are told, and not written. */
static void slices_are_bounded(void **state)
{
	const struct mock_super_shape shape = { .payload = 2000, .gso_size = 1000 };
	struct super_frame super;
	static struct sent sent;
	struct iovec seg[20];

	mock_super_make(&made, &shape);
	sent_open(&sent, &made, made.len, 100);
	assert_int_equal(super_frame_begin(&super, &sent.frame), GW_REASON_NONE);
	memset(seg, 0, sizeof(seg));
	/* 46 bytes of the first segment, 9 whole ones, 54 of the last. */
	assert_int_equal(super_frame_slices(&super, seg, 20), 11);
	assert_int_equal(super_frame_slices(&super, seg, 11), 11);
	memset(seg, 0, sizeof(seg));
	assert_int_equal(super_frame_slices(&super, seg, 10), 11);
	assert_null(seg[10].iov_base);
	assert_int_equal(super_frame_slices(&super, seg, 0), 1);
	sent_close(&sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_that_lie),
		cmocka_unit_test(what_a_device_does_not_take),
		cmocka_unit_test(any_super_frame_is_cut_right),
		cmocka_unit_test(borders_are_cut_right),
		cmocka_unit_test(checksums_of_zero),
		cmocka_unit_test(the_header_is_read_once),
		cmocka_unit_test(the_ethernet_header_is_the_snapshots),
		cmocka_unit_test(slices_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
