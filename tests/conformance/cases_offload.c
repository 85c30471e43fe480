/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Partial headers: what a port says that it takes arrives at the far end right, left
 * partial for the next one or completed, in one frame or in several. What it receives
 * so is lent so, or completed. And frames of which the core completed the header:
 * [private header | the guest's payload].
 */
#include "conformance.h"
#include <linux/if_ether.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define HEADER_BYTES 54u /* Ethernet, IPv4, TCP */
#define SEGS_USUAL   17u
/* The kernel cuts what is longer, whatever a device takes. */
#define SUPER_MAX    65500u
#define SMALL        700u

struct sample {
	uint32_t needs; /* GW_OFFLOAD_ bits */
	struct ip_frame frame;
};

/* clang-format off */
static const struct sample samples[] = {
	{ GW_OFFLOAD_CSUM, { .payload = SMALL } },
	{ GW_OFFLOAD_CSUM, { .payload = SMALL + 1, .ipv6 = true } },
	{ GW_OFFLOAD_CSUM, { .payload = SMALL + 2, .udp = true } },
	{ GW_OFFLOAD_CSUM, { .payload = SMALL + 3, .ipv6 = true, .udp = true } },
	{ GW_OFFLOAD_CSUM, { .payload = 1, .udp = true } },
	{ GW_OFFLOAD_CSUM, { .payload = 0, .tcp_options_bytes = 40 } },
	{ GW_OFFLOAD_TSO4, { .payload = 40000, .gso_size = 1448, .tcp_options_bytes = 12 } },
	{ GW_OFFLOAD_TSO4, { .payload = 1461, .gso_size = 1460 } },
	{ GW_OFFLOAD_TSO4, { .payload = 3333, .gso_size = 100, .ip_options_bytes = 8 } },
	{ GW_OFFLOAD_TSO6, { .payload = 40000, .gso_size = 1428, .ipv6 = true,
			     .tcp_options_bytes = 12 } },
	{ GW_OFFLOAD_TSO4 | GW_OFFLOAD_ECN,
	  { .payload = 20000, .gso_size = 1448, .ecn = true, .tos = 1,
	    .tcp_flags = IP_FRAME_ACK | IP_FRAME_CWR } },
	{ GW_OFFLOAD_TSO6 | GW_OFFLOAD_ECN,
	  { .payload = 20000, .gso_size = 1428, .ecn = true, .tos = 1, .ipv6 = true,
	    .tcp_flags = IP_FRAME_ACK | IP_FRAME_CWR } },
	{ GW_OFFLOAD_USO, { .payload = 30000, .gso_size = 1400, .udp = true } },
	{ GW_OFFLOAD_USO, { .payload = 30001, .gso_size = 1400, .udp = true, .ipv6 = true } },
	/* as long as it may be; see fitted() */
	{ GW_OFFLOAD_TSO4, { .payload = SUPER_MAX, .gso_size = 1460 } },
	{ GW_OFFLOAD_TSO6, { .payload = SUPER_MAX, .gso_size = 1440, .ipv6 = true } },
};
/* clang-format on */
#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/* ---- judging what arrives ---- */

struct gathered {
	const struct ip_frame *sent;
	uint32_t done; /* bytes of its payload that have arrived */
	unsigned int frames;
};

static void judge_sums(const uint8_t *bytes, uint32_t len, const struct ip_frame_layout *layout,
		       const struct virtio_net_hdr_v1 *header)
{
	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		assert_true(ip_frame_sums_hold(bytes, layout, len));
		return;
	}
	assert_int_equal(header->csum_start, layout->l4);
	assert_int_equal(header->csum_offset, layout->udp ? 6 : 16);
	assert_true(ip_frame_is_partial(bytes, layout, len));
}

static void judge_size(const struct ip_frame *sent, uint32_t part,
		       const struct virtio_net_hdr_v1 *header)
{
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		if (sent->gso_size)
			assert_true(part <= sent->gso_size);
		return;
	}
	assert_int_equal(header->gso_size, sent->gso_size);
	assert_int_equal(header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN,
			 sent->udp    ? VIRTIO_NET_HDR_GSO_UDP_L4
			 : sent->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
				      : VIRTIO_NET_HDR_GSO_TCPV4);
}

/* A frame that arrived, of all or of a part of what was sent. */
static void gather(struct gathered *gathered, const uint8_t *bytes, uint32_t len,
		   const struct virtio_net_hdr_v1 *header)
{
	const struct ip_frame *sent = gathered->sent;
	struct ip_frame_layout layout;
	uint32_t part;

	assert_memory_equal(bytes, IP_FRAME_DESTINATION IP_FRAME_SOURCE, 2 * ETH_ALEN);
	assert_true(ip_frame_parse(bytes, len, &layout));
	assert_int_equal(layout.ipv6, sent->ipv6);
	assert_int_equal(layout.udp, sent->udp);
	judge_sums(bytes, len, &layout, header);
	part = len - layout.payload;
	judge_size(sent, part, header);
	assert_true(part <= sent->payload - gathered->done);
	for (uint32_t i = 0; i < part; i++)
		if (bytes[layout.payload + i] != ip_frame_pattern(sent->number, gathered->done + i))
			fail_msg("payload byte %u of %u is wrong", gathered->done + i,
				 sent->payload);
	gathered->done += part;
	gathered->frames++;
}

static void expect_far_partial(struct rig *rig, const struct ip_frame *sent)
{
	static uint8_t bytes[GW_FRAME_LEN_MAX + 1];
	struct gathered gathered = { .sent = sent };
	struct virtio_net_hdr_v1 header;

	if (!subject.far_end->receive_partial)
		return;
	do {
		uint32_t len = subject.far_end->receive_partial(rig->far, bytes, sizeof(bytes),
								&header, DEADLINE_MS);

		if (!len)
			fail_msg("of %u payload bytes %u have arrived, in %u frames", sent->payload,
				 gathered.done, gathered.frames);
		gather(&gathered, bytes, len, &header);
	} while (gathered.done < sent->payload);
	assert_int_equal(
		subject.far_end->receive_partial(rig->far, bytes, sizeof(bytes), &header, 0), 0);
}

/* ---- transmit ---- */

/* The sample, shortened to what the port takes. */
static struct ip_frame fitted(const struct rig *rig, const struct sample *sample,
			      unsigned int number)
{
	const struct gw_offloads *offloads = &host_record(rig->port)->offloads;
	uint32_t max =
		offloads->len_max && offloads->len_max < SUPER_MAX ? offloads->len_max : SUPER_MAX;
	struct ip_frame frame = sample->frame;

	frame.number = number;
	if (frame.gso_size && frame.payload > max - 100)
		frame.payload = max - (frame.ipv6 ? 74 : HEADER_BYTES);
	return frame;
}

static void send_samples(struct rig *rig, uint32_t takes, unsigned int segs, bool private)
{
	for (unsigned int i = 0; i < SAMPLES; i++) {
		struct ip_frame frame = fitted(rig, &samples[i], i);

		if (samples[i].needs & ~takes)
			continue;
		/* Nothing is behind a header that is all of the frame. */
		if (private && !frame.payload)
			continue;
		if (host_record(rig->port)->offloads.header_private && !frame.payload)
			continue;
		while (!rig_pack_ip(rig, &frame, segs, private))
			rig_reap_all(rig);
		rig_send(rig);
		rig_reap_all(rig);
		assert_int_not_equal(rig->parcel[rig->parcels - 1].status, GW_DONE_FAILED);
		expect_far_partial(rig, &frame);
		rig->parcels = 0;
	}
}

static struct rig *rig_open_partial(void)
{
	struct rig *rig = rig_open();

	if (subject.far_end->open_partial)
		subject.far_end->open_partial(rig->far);
	return rig;
}

static void what_it_takes_is_consistent(void)
{
	struct rig *rig = rig_open();
	const struct gw_offloads *offloads = &host_record(rig->port)->offloads;
	uint32_t super = GW_OFFLOAD_TSO4 | GW_OFFLOAD_TSO6 | GW_OFFLOAD_USO;

	assert_int_equal(offloads->takes & ~(uint32_t)GW_OFFLOAD_ALL, 0);
	if (offloads->takes & super)
		assert_true(offloads->takes & GW_OFFLOAD_CSUM);
	if (offloads->takes & GW_OFFLOAD_ECN)
		assert_true(offloads->takes & (GW_OFFLOAD_TSO4 | GW_OFFLOAD_TSO6));
	if (offloads->one_segment)
		assert_true(rig->answer.verdict == GW_NO || rig->answer.max_segs == 1);
	rig_close(rig);
}

static void what_it_takes_arrives(void)
{
	struct rig *rig = rig_open_partial();
	uint32_t takes = host_record(rig->port)->offloads.takes;

	for (unsigned int segs = 1; segs <= SEGS_USUAL; segs += 4)
		send_samples(rig, takes, segs, false);
	rig_close(rig);
}

/* Headers can be private here. */
static bool can_be_private(const struct rig *rig)
{
	return rig->answer.verdict != GW_NO && rig->answer.max_segs > 1 &&
	       !host_record(rig->port)->offloads.one_segment;
}

static void what_it_takes_arrives_behind_private_headers(void)
{
	struct rig *rig = rig_open_partial();

	for (unsigned int segs = 1; segs < SEGS_USUAL && can_be_private(rig); segs += 5)
		send_samples(rig, host_record(rig->port)->offloads.takes, segs, true);
	rig_close(rig);
}

/* Complete frames, of which the core has made the header. */
static void frames_behind_private_headers_arrive(void)
{
	struct rig *rig = rig_open();
	uint32_t max = rig_max_len(rig) < 1514 ? rig_max_len(rig) : 1514;

	for (uint32_t len = HEADER_BYTES + 1; len <= max && can_be_private(rig); len += 31) {
		while (!rig_pack_private(rig, len, HEADER_BYTES, 1 + len % 4, 14))
			rig_reap_all(rig);
		rig_send(rig);
		rig_reap_all(rig);
		expect_far(rig, &len, 1, 14);
		rig->parcels = 0;
	}
	rig_close(rig);
}

/* ---- receive ---- */

static bool receives_partial(void)
{
	return subject.driver->rx && subject.far_end->send_partial;
}

static void expect_near_partial(struct rig *rig, const struct ip_frame *sent)
{
	static uint8_t bytes[GW_FRAME_LEN_MAX];
	struct gathered gathered = { .sent = sent };
	struct gw_frame *frame;

	do {
		uint32_t len;

		if (!host_receive(rig->port, &frame, 1, DEADLINE_MS))
			fail_msg("of %u payload bytes %u were received, in %u frames",
				 sent->payload, gathered.done, gathered.frames);
		len = host_frame_bytes(frame, bytes, sizeof(bytes));
		assert_int_equal(len, frame->len);
		if (memcmp(bytes + ETH_ALEN, IP_FRAME_SOURCE, ETH_ALEN) == 0) {
			assert_memory_equal(frame->snapshot, bytes, GW_FRAME_SNAPSHOT);
			gather(&gathered, bytes, len, &frame->header);
		}
		host_release(rig->port, &frame, 1);
	} while (gathered.done < sent->payload);
}

/* What a sender left to be done is lent with its header, or it was done. */
static void partial_headers_are_received(void)
{
	struct rig *rig = rig_open_partial();
	static uint8_t bytes[IP_FRAME_BYTES_MAX];

	for (unsigned int i = 0; i < SAMPLES; i++) {
		struct ip_frame frame = fitted(rig, &samples[i], i);
		struct virtio_net_hdr_v1 header;
		uint32_t len;

		/* A frame of no payload is not seen to have come. */
		if (!frame.payload)
			continue;
		len = ip_frame_make(&frame, bytes, &header);
		subject.far_end->send_partial(rig->far, bytes, len, &header);
		expect_near_partial(rig, &frame);
	}
	rig_close(rig);
}

const struct conformance_case cases_offload[] = {
	{ "what_it_takes_is_consistent", what_it_takes_is_consistent, NULL },
	{ "what_it_takes_arrives", what_it_takes_arrives, NULL },
	{ "what_it_takes_arrives_behind_private_headers",
	  what_it_takes_arrives_behind_private_headers, NULL },
	{ "frames_behind_private_headers_arrive", frames_behind_private_headers_arrive, NULL },
	{ "partial_headers_are_received", partial_headers_are_received, receives_partial },
	{ NULL, NULL, NULL },
};
