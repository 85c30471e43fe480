/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Misdeeds of the guest: virtio-net headers that lie, with all offloads negotiated,
 * over packets that are good otherwise; and packets that are not what a good header
 * says. A back-end may drop them or do what it can (VIRTIO 1.2 section 5.1.6.2.2),
 * and has to give the chains back.
 */
#include "misbehave.h"

#include <endian.h>
#include <string.h>

#include "guest_packet_inside.h"

#define SCRATCH_BYTES (256u << 10)
#define MSS           1000u
#define TURNS         20000u
#define FRAME_BYTES   1000u /* of a frame that wants a checksum only */
#define SUPER_BYTES   4000u
#define HUGE_BYTES    60000u

/* Where the virtio-net header has its fields, in memory; behind it is the frame. */
enum {
	AT_GSO_TYPE = 1,
	AT_HDR_LEN = 2,
	AT_GSO_SIZE = 4,
	AT_CSUM_START = 6,
	AT_CSUM_OFFSET = 8,
	AT_FRAME = NIC_HEADER_BYTES,
	AT_IP = AT_FRAME + PATTERN_ETH_BYTES,
	AT_TCP4 = AT_IP + IPV4_BYTES,
	AT_TCP6 = AT_IP + IPV6_BYTES,
};

/* One packet, one field of it that lies, and how much of it is there at all. */
struct lie {
	enum packet_kind kind;
	uint32_t size;
	uint32_t at, bytes; /* little-endian in the header, big-endian in the frame */
	uint32_t value;
	uint32_t cut; /* bytes of the frame; 0: all */
};

enum {
	CSUM_START_BEYOND,
	CSUM_START_PAYLOAD,
	CSUM_START_DEEP,
	CSUM_START_0,
	CSUM_OFFSET_BEYOND,
	CSUM_OFFSET_PAYLOAD,
	CSUM_OFFSET_HALF,
	SUPER_CSUM_START,
	SUPER_CSUM_OFFSET,
	SIZE_0,
	SIZE_1,
	SIZE_1_SHORT,
	SIZE_MAX_16,
	TYPE_TCP4_ON_IPV6,
	TYPE_TCP6_ON_IPV4,
	TYPE_UDP_ON_TCP,
	TYPE_TCP_ON_UDP,
	TYPE_UNKNOWN,
	TYPE_ECN_ALONE,
	HDR_LEN_0,
	HDR_LEN_1,
	HDR_LEN_MAX,
	SUPER_SHORT,
	SUPER_NO_PAYLOAD,
	IHL_SHORT,
	IHL_LONG,
	IP_LENGTH,
	IP_FRAGMENT,
	TCP_OFFSET_0,
	TCP_OFFSET_MAX,
	IPV6_NEXT,
	UDP_LENGTH,
	LIE_COUNT,
};

/* clang-format off */
static const struct lie lies[LIE_COUNT] = {
	[CSUM_START_BEYOND]   = { PACKET_TCP4, FRAME_BYTES, AT_CSUM_START, 2, 64000, 0 },
	[CSUM_START_PAYLOAD]  = { PACKET_TCP4, FRAME_BYTES, AT_CSUM_START, 2, 700, 0 },
	[CSUM_START_DEEP]     = { PACKET_UDP4, FRAME_BYTES, AT_CSUM_START, 2, 991, 0 },
	[CSUM_START_0]        = { PACKET_TCP4, FRAME_BYTES, AT_CSUM_START, 2, 0, 0 },
	[CSUM_OFFSET_BEYOND]  = { PACKET_TCP6, FRAME_BYTES, AT_CSUM_OFFSET, 2, 0xffff, 0 },
	[CSUM_OFFSET_PAYLOAD] = { PACKET_TCP6, FRAME_BYTES, AT_CSUM_OFFSET, 2, 500, 0 },
	[CSUM_OFFSET_HALF]    = { PACKET_TCP4, FRAME_BYTES, AT_CSUM_OFFSET, 2, FRAME_BYTES - 34 - 1, 0 },
	[SUPER_CSUM_START]    = { PACKET_TCP4, SUPER_BYTES, AT_CSUM_START, 2, 900, 0 },
	[SUPER_CSUM_OFFSET]   = { PACKET_TCP4, SUPER_BYTES, AT_CSUM_OFFSET, 2, 900, 0 },
	[SIZE_0]              = { PACKET_TCP4, SUPER_BYTES, AT_GSO_SIZE, 2, 0, 0 },
	[SIZE_1]              = { PACKET_TCP4, HUGE_BYTES, AT_GSO_SIZE, 2, 1, 0 },
	[SIZE_1_SHORT]        = { PACKET_UDP6, 1100, AT_GSO_SIZE, 2, 1, 0 },
	[SIZE_MAX_16]         = { PACKET_TCP6, SUPER_BYTES, AT_GSO_SIZE, 2, 0xffff, 0 },
	[TYPE_TCP4_ON_IPV6]   = { PACKET_TCP6, SUPER_BYTES, AT_GSO_TYPE, 1, VIRTIO_NET_HDR_GSO_TCPV4, 0 },
	[TYPE_TCP6_ON_IPV4]   = { PACKET_TCP4, SUPER_BYTES, AT_GSO_TYPE, 1, VIRTIO_NET_HDR_GSO_TCPV6, 0 },
	[TYPE_UDP_ON_TCP]     = { PACKET_TCP4, SUPER_BYTES, AT_GSO_TYPE, 1, VIRTIO_NET_HDR_GSO_UDP_L4, 0 },
	[TYPE_TCP_ON_UDP]     = { PACKET_UDP4, SUPER_BYTES, AT_GSO_TYPE, 1, VIRTIO_NET_HDR_GSO_TCPV4, 0 },
	[TYPE_UNKNOWN]        = { PACKET_TCP4, SUPER_BYTES, AT_GSO_TYPE, 1, 0x7f, 0 },
	[TYPE_ECN_ALONE]      = { PACKET_TCP4, SUPER_BYTES, AT_GSO_TYPE, 1, VIRTIO_NET_HDR_GSO_ECN, 0 },
	[HDR_LEN_0]           = { PACKET_TCP4, SUPER_BYTES, AT_HDR_LEN, 2, 0, 0 },
	[HDR_LEN_1]           = { PACKET_UDP6, SUPER_BYTES, AT_HDR_LEN, 2, 1, 0 },
	[HDR_LEN_MAX]         = { PACKET_TCP4, SUPER_BYTES, AT_HDR_LEN, 2, 0xffff, 0 },
	[SUPER_SHORT]         = { PACKET_TCP4, SUPER_BYTES, AT_GSO_SIZE, 2, 8, 60 },
	[SUPER_NO_PAYLOAD]    = { PACKET_TCP4, SUPER_BYTES, AT_GSO_SIZE, 2, 8, 66 },
	[IHL_SHORT]           = { PACKET_TCP4, SUPER_BYTES, AT_IP, 1, 0x41, 0 },
	[IHL_LONG]            = { PACKET_TCP4, SUPER_BYTES, AT_IP, 1, 0x4f, 0 },
	[IP_LENGTH]           = { PACKET_UDP4, SUPER_BYTES, AT_IP + 2, 2, 0xffff, 0 },
	[IP_FRAGMENT]         = { PACKET_TCP4, SUPER_BYTES, AT_IP + 6, 2, 0x2001, 0 },
	[TCP_OFFSET_0]        = { PACKET_TCP4, SUPER_BYTES, AT_TCP4 + 12, 1, 0, 0 },
	[TCP_OFFSET_MAX]      = { PACKET_TCP6, SUPER_BYTES, AT_TCP6 + 12, 1, 0xf0, 100 },
	[IPV6_NEXT]           = { PACKET_TCP6, SUPER_BYTES, AT_IP + 6, 1, 43, 0 },
	[UDP_LENGTH]          = { PACKET_UDP4, SUPER_BYTES, AT_TCP4 + 4, 2, 1, 0 },
};
/* clang-format on */

/* A good packet in guest memory, behind its virtio-net header. */
static struct guest_span make(struct guest_run *run, enum packet_kind kind, uint32_t size)
{
	struct packet_shape shape = { .kind = kind,
				      .mss = MSS,
				      .port = PACKET_DEFAULT_PORT,
				      .partial = true,
				      .address = run->nic->address };
	struct virtio_net_hdr_v1 header;
	struct guest_span span;
	struct fail fail;

	if (guest_memory_alloc(&run->memory, SCRATCH_BYTES, GUEST_PAGE, &span, &fail) < 0)
		span = (struct guest_span){ run->memory.regions[0].host,
					    run->memory.regions[0].gpa };
	packet_make(&shape, span.host + AT_FRAME, size, 1, 0, &header);
	memcpy(span.host, &header, NIC_HEADER_BYTES);
	return span;
}

static void write_field(uint8_t *at, bool in_frame, uint32_t bytes, uint32_t value)
{
	if (bytes == 1) {
		*at = (uint8_t)value;
	} else if (in_frame) {
		store16(at, value);
	} else {
		at[0] = (uint8_t)value;
		at[1] = (uint8_t)(value >> 8);
	}
}

static void post(struct guest_run *run, uint64_t gpa, uint32_t len)
{
	struct driver_ring *tx = &run->nic->tx.ring;

	*tx->desc = (struct vring_desc){ htole64(gpa), htole32(len), 0, 0 };
	tx->avail->ring[tx->avail_idx++ & (tx->size - 1)] = 0;
	driver_ring_publish(tx);
	driver_ring_kick_always(tx);
}

static void tell(struct guest_run *run, uint64_t arg)
{
	const struct lie *lie = &lies[arg];
	struct guest_span s = make(run, lie->kind, lie->size);

	write_field(s.host + lie->at, lie->at >= AT_FRAME, lie->bytes, lie->value);
	post(run, s.gpa, AT_FRAME + (lie->cut ? lie->cut : lie->size));
}

/*
 * The field turns true and false while the back-end looks. arg: the lie. What goes
 * out is one or the other, or is dropped.
 */
static void rewrite(struct guest_run *run, uint64_t arg)
{
	const struct lie *lie = &lies[arg];
	struct guest_span s = make(run, lie->kind, lie->size);
	struct driver_ring *tx = &run->nic->tx.ring;
	uint8_t good[2], *at = s.host + lie->at;

	memcpy(good, at, sizeof(good));
	for (uint32_t i = 0; i < TURNS; i++) {
		if (driver_ring_used_idx(tx) == tx->published)
			post(run, s.gpa, AT_FRAME + lie->size);
		if (i & 1)
			write_field(at, lie->at >= AT_FRAME, lie->bytes, lie->value);
		else
			memcpy(at, good, lie->bytes);
		__asm__ volatile("" ::: "memory");
	}
}

/* A good super-frame whose headers, all of them, are in descriptors of one byte. */
static void split_headers(struct guest_run *run, uint64_t arg)
{
	struct guest_span s = make(run, (enum packet_kind)arg, SUPER_BYTES);
	struct driver_ring *tx = &run->nic->tx.ring;
	uint32_t pieces = tx->size < 128 ? tx->size : 128, at = 0;

	for (uint32_t i = 0; i < pieces; i++) {
		bool last = i + 1 == pieces;
		uint32_t len = last ? AT_FRAME + SUPER_BYTES - at : 1;

		tx->desc[i] = (struct vring_desc){ htole64(s.gpa + at), htole32(len),
						   htole16(last ? 0 : VRING_DESC_F_NEXT),
						   htole16((uint16_t)(i + 1)) };
		at += len;
	}
	tx->avail->ring[tx->avail_idx++ & (tx->size - 1)] = 0;
	driver_ring_publish(tx);
	driver_ring_kick_always(tx);
}

/* Extension headers to the end of the packet; arg: how long each says it is. */
static void endless_chain(struct guest_run *run, uint64_t arg)
{
	struct guest_span s = make(run, PACKET_TCP6, SUPER_BYTES);
	uint8_t *ip = s.host + AT_IP;

	ip[6] = NEXT_OPTIONS;
	for (uint32_t at = AT_TCP6; at + IPV6_EXTENSION_BYTES <= AT_FRAME + SUPER_BYTES;
	     at += IPV6_EXTENSION_BYTES) {
		s.host[at] = NEXT_OPTIONS;
		s.host[at + 1] = (uint8_t)arg;
	}
	/* TCP is said to be behind some of them. */
	write_field(s.host + AT_CSUM_START, false, 2, 54 + 10 * IPV6_EXTENSION_BYTES);
	post(run, s.gpa, AT_FRAME + SUPER_BYTES);
}

#define R      STAGE_RUNNING
#define NEEDED NEEDS_OFFLOADS

/* clang-format off */
const struct misdeed misdeeds_header[] = {
	{ "offload-csum-start-beyond", R, NEEDED, tell, CSUM_START_BEYOND, "csum_start beyond the packet" },
	{ "offload-csum-start-payload", R, NEEDED, tell, CSUM_START_PAYLOAD, "csum_start in the payload" },
	{ "offload-csum-start-last", R, NEEDED, tell, CSUM_START_DEEP, "a checksum field that ends beyond the packet" },
	{ "offload-csum-start-0", R, NEEDED, tell, CSUM_START_0, "csum_start in the Ethernet header" },
	{ "offload-csum-start-rewritten", R, NEEDED, rewrite, CSUM_START_BEYOND, "a csum_start that changes while it is read" },
	{ "offload-csum-offset-beyond", R, NEEDED, tell, CSUM_OFFSET_BEYOND, "csum_offset beyond the packet" },
	{ "offload-csum-offset-payload", R, NEEDED, tell, CSUM_OFFSET_PAYLOAD, "csum_offset beyond the headers" },
	{ "offload-csum-offset-half", R, NEEDED, tell, CSUM_OFFSET_HALF, "a checksum field of which one byte is there" },
	{ "offload-super-csum-start", R, NEEDED, tell, SUPER_CSUM_START, "a super-frame with csum_start in the payload" },
	{ "offload-super-csum-offset", R, NEEDED, tell, SUPER_CSUM_OFFSET, "a super-frame with csum_offset in the payload" },
	{ "offload-gso-size-0", R, NEEDED, tell, SIZE_0, "a super-frame with gso_size 0" },
	{ "offload-gso-size-1", R, NEEDED, tell, SIZE_1, "60000 bytes with gso_size 1" },
	{ "offload-gso-size-1-short", R, NEEDED, tell, SIZE_1_SHORT, "1100 bytes with gso_size 1" },
	{ "offload-gso-size-max", R, NEEDED, tell, SIZE_MAX_16, "a super-frame with gso_size 65535" },
	{ "offload-gso-size-rewritten", R, NEEDED, rewrite, SIZE_0, "a gso_size that changes while it is read" },
	{ "offload-type-tcp4-on-ipv6", R, NEEDED, tell, TYPE_TCP4_ON_IPV6, "TCPv4 segmentation of an IPv6 packet" },
	{ "offload-type-tcp6-on-ipv4", R, NEEDED, tell, TYPE_TCP6_ON_IPV4, "TCPv6 segmentation of an IPv4 packet" },
	{ "offload-type-udp-on-tcp", R, NEEDED, tell, TYPE_UDP_ON_TCP, "UDP segmentation of a TCP packet" },
	{ "offload-type-tcp-on-udp", R, NEEDED, tell, TYPE_TCP_ON_UDP, "TCP segmentation of a UDP packet" },
	{ "offload-type-unknown", R, NEEDED, tell, TYPE_UNKNOWN, "segmentation of type 0x7f" },
	{ "offload-type-ecn-alone", R, NEEDED, tell, TYPE_ECN_ALONE, "the ECN bit without a type" },
	{ "offload-type-rewritten", R, NEEDED, rewrite, TYPE_UDP_ON_TCP, "a gso_type that changes while it is read" },
	{ "offload-hdr-len-0", R, NEEDED, tell, HDR_LEN_0, "hdr_len 0" },
	{ "offload-hdr-len-1", R, NEEDED, tell, HDR_LEN_1, "hdr_len 1" },
	{ "offload-hdr-len-max", R, NEEDED, tell, HDR_LEN_MAX, "hdr_len 65535" },
	{ "offload-super-short", R, NEEDED, tell, SUPER_SHORT, "a super-frame that ends in its headers" },
	{ "offload-super-no-payload", R, NEEDED, tell, SUPER_NO_PAYLOAD, "a super-frame without payload" },
	{ "offload-ihl-short", R, NEEDED, tell, IHL_SHORT, "a super-frame with an IPv4 header of 4 bytes" },
	{ "offload-ihl-long", R, NEEDED, tell, IHL_LONG, "a super-frame whose IPv4 header runs into TCP" },
	{ "offload-ihl-rewritten", R, NEEDED, rewrite, IHL_LONG, "an IPv4 header length that changes while it is read" },
	{ "offload-ip-length", R, NEEDED, tell, IP_LENGTH, "a super-frame with an IPv4 length of 65535" },
	{ "offload-ip-fragment", R, NEEDED, tell, IP_FRAGMENT, "a super-frame that is a fragment" },
	{ "offload-tcp-offset-0", R, NEEDED, tell, TCP_OFFSET_0, "a super-frame with a TCP header of 0 bytes" },
	{ "offload-tcp-offset-max", R, NEEDED, tell, TCP_OFFSET_MAX, "a TCP header longer than the frame" },
	{ "offload-tcp-offset-rewritten", R, NEEDED, rewrite, TCP_OFFSET_0, "a TCP header length that changes while it is read" },
	{ "offload-ipv6-next", R, NEEDED, tell, IPV6_NEXT, "a super-frame whose TCP header is said to be a routing header" },
	{ "offload-ipv6-endless", R, NEEDED, endless_chain, 0, "IPv6 extension headers to the end of the packet" },
	{ "offload-ipv6-long", R, NEEDED, endless_chain, 255, "IPv6 extension headers longer than the packet" },
	{ "offload-udp-length", R, NEEDED, tell, UDP_LENGTH, "a super-frame with a UDP length of 1" },
	{ "offload-headers-1-byte", R, NEEDED, split_headers, PACKET_TCP4, "a good super-frame, its headers in descriptors of 1 byte" },
	{ "offload-headers-1-byte-ipv6", R, NEEDED, split_headers, PACKET_UDP6, "the same over IPv6 and UDP" },
	{ 0 },
};
/* clang-format on */
