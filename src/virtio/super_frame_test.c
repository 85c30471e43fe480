/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What of a frame with a partial header is believed: headers that lie, one rule at a
 * time, and what a device does not take.
 */
#include "super_rig.h"

#include "mock_super.h"
#include <stdlib.h>

static struct mock_super made;

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_that_lie),
		cmocka_unit_test(what_a_device_does_not_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
