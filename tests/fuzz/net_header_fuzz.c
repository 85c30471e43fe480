/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a chain with a virtio-net header, cut into any segments, under any
 * features. A header that passes asks for what was negotiated and can be, and tidying
 * it leaves one that others may go by: it passes again, and is not changed again.
 */
#include "fuzz.h"

#include "net_features.h"
#include "net_header.h"
#include "super_frame.h"
#include <linux/virtio_config.h>
#include <stdlib.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

#define BYTES_MAX 256u

/* Segments of lengths that the input says; returns how many. */
static unsigned int cut(struct fuzz_input *input, uint8_t *bytes, size_t len, struct iovec *seg)
{
	unsigned int count = 0;

	while (len) {
		size_t part = 1 + fuzz_u8(input) % 20u;

		part = part < len ? part : len;
		seg[count++] = (struct iovec){ bytes, part };
		bytes += part;
		len -= part;
	}
	return count;
}

/* A header that could be meant: random bytes alone hardly ever pass. */
static void plausible(struct fuzz_input *input, uint8_t *chain)
{
	static const uint8_t types[] = { 0, 1, 3, 4, 5, 0x80, 0x81, 0x84 };
	static const uint16_t offsets[] = { 6, 16, 0, 100 };
	struct virtio_net_hdr_v1 header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = types[fuzz_u8(input) % sizeof(types)],
		.hdr_len = fuzz_u8(input),
		.gso_size = fuzz_u8(input),
		.csum_start = 30 + fuzz_u8(input) % 64u,
		.csum_offset = offsets[fuzz_u8(input) % 4u],
	};

	memcpy(chain, &header, sizeof(header));
}

/* What is left is the chain less its header, and nothing else. */
static void check_rest(const struct iovec *seg, unsigned int count, const uint8_t *rest, size_t len)
{
	for (unsigned int i = 0; i < count; i++) {
		CHECK(seg[i].iov_base == rest && seg[i].iov_len && seg[i].iov_len <= len);
		rest += seg[i].iov_len;
		len -= seg[i].iov_len;
	}
	CHECK(!len);
}

static void check_tidy(const struct virtio_net_hdr_v1 *before, uint64_t features, uint32_t len)
{
	struct virtio_net_hdr_v1 header = *before, again;

	net_header_tidy(&header, len);
	CHECK(net_header_valid(&header, features, len));
	again = header;
	net_header_tidy(&again, len);
	CHECK(!memcmp(&again, &header, sizeof(header)));
	CHECK(!header.num_buffers && header.hdr_len <= len);
	if (!header.flags)
		CHECK(!header.gso_type && !header.csum_start && !header.csum_offset);
	else
		CHECK(header.csum_start + header.csum_offset + 2u <= len);
	if (header.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		CHECK(!header.gso_size && !header.hdr_len);
	else
		CHECK(header.gso_size && header.gso_size < len &&
		      header.hdr_len > header.csum_start);
	/* Who takes all there is lacks nothing but UFO, which is never offered. */
	if ((header.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) != VIRTIO_NET_HDR_GSO_UDP)
		CHECK(!super_frame_missing(&header, GW_OFFLOAD_ALL));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input input = { bytes, len };
	uint64_t features = fuzz_u64(&input);
	uint32_t far_len = (uint32_t)fuzz_u64(&input) % (GW_FRAME_LEN_MAX + 1);
	unsigned int header_len = net_header_len(features), count, first;
	struct virtio_net_hdr_v1 header;
	uint8_t chain[BYTES_MAX];
	struct iovec seg[BYTES_MAX];
	bool meant = fuzz_u8(&input) & 1;
	size_t got = fuzz_take(&input, chain, sizeof(chain));

	if (meant && got >= sizeof(header)) {
		input = (struct fuzz_input){ bytes, len };
		features |= NET_FEATURES_HOST;
		plausible(&input, chain);
	}
	net_features_check(features, NULL);
	CHECK(!(net_features_takes(features).takes & ~(uint32_t)GW_OFFLOAD_ALL));
	count = cut(&input, chain, got, seg);
	if (!net_header_strip(seg, count, header_len, &header, &first)) {
		CHECK(got <= header_len);
		return 0;
	}
	check_rest(seg + first, count - first, chain + header_len, got - header_len);
	/* Of a frame of this length, and of one that is not here. */
	if (net_header_valid(&header, features, (uint32_t)(got - header_len)))
		check_tidy(&header, features, (uint32_t)(got - header_len));
	if (net_header_valid(&header, features, far_len))
		check_tidy(&header, features, far_len);
	return 0;
}
