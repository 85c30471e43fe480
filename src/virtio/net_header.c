/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_header.h"

#include "atomic.h"
#include "net_features.h"
#include "super_frame.h"
#include <linux/if_ether.h>
#include <linux/virtio_config.h>
#include <string.h>

enum {
	IPV4_HEADER_MIN = 20,
	IPV6_HEADER = 40,
	TCP_HEADER_MIN = 20,
	TCP_HEADER_MAX = 60,
	TCP_CHECK_OFFSET = 16,
	UDP_HEADER = 8,
	UDP_CHECK_OFFSET = 6,
};

unsigned int net_header_len(uint64_t features)
{
	if (virtio_has(features, VIRTIO_F_VERSION_1) ||
	    virtio_has(features, VIRTIO_NET_F_MRG_RXBUF))
		return sizeof(struct virtio_net_hdr_v1);
	return sizeof(struct virtio_net_hdr);
}

static bool longer_than(const struct iovec *seg, unsigned int count, size_t len)
{
	for (unsigned int i = 0; i < count; i++) {
		if (seg[i].iov_len > len)
			return true;
		len -= seg[i].iov_len;
	}
	return false;
}

bool net_header_strip_parts(struct iovec *seg, unsigned int count, unsigned int len,
			    struct virtio_net_hdr_v1 *header, unsigned int *first)
{
	uint8_t *to = (uint8_t *)header;
	unsigned int i = 0;
	size_t part;

	if (len > sizeof(*header) || !longer_than(seg, count, len))
		return false;
	memset(header, 0, sizeof(*header));
	/* Ends inside seg[i], or at its beginning: the segments are longer than len. */
	while (len >= seg[i].iov_len) {
		part = seg[i].iov_len;
		gw_copy_once(to, seg[i].iov_base, part);
		to += part;
		len -= (unsigned int)part;
		i++;
	}
	gw_copy_once(to, seg[i].iov_base, len);
	seg[i].iov_base = (uint8_t *)seg[i].iov_base + len;
	seg[i].iov_len -= len;
	*first = i;
	return true;
}

/* What there is to know of a segmentation type. */
struct gso_kind {
	uint8_t type;
	uint8_t feature;
	uint8_t ip_header;                    /* at least */
	uint8_t transport_min, transport_max; /* its header */
	uint8_t check_offset;
	bool ecn; /* may have the ECN bit */
};

static const struct gso_kind gso_kinds[] = {
	{ VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_F_HOST_TSO4, IPV4_HEADER_MIN, TCP_HEADER_MIN,
	  TCP_HEADER_MAX, TCP_CHECK_OFFSET, true },
	{ VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_F_HOST_TSO6, IPV6_HEADER, TCP_HEADER_MIN,
	  TCP_HEADER_MAX, TCP_CHECK_OFFSET, true },
	{ VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_F_HOST_UFO, IPV4_HEADER_MIN, UDP_HEADER, UDP_HEADER,
	  UDP_CHECK_OFFSET, false },
	{ VIRTIO_NET_HDR_GSO_UDP_L4, VIRTIO_NET_F_HOST_USO, IPV4_HEADER_MIN, UDP_HEADER, UDP_HEADER,
	  UDP_CHECK_OFFSET, false },
};

static const struct gso_kind *gso_kind(uint8_t gso_type)
{
	uint8_t type = gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	for (unsigned int i = 0; i < sizeof(gso_kinds) / sizeof(gso_kinds[0]); i++)
		if (gso_kinds[i].type == type)
			return &gso_kinds[i];
	return NULL;
}

/* A frame that is to be cut up: its checksums are partial, too (5.1.6.2.1). */
static bool gso_valid(const struct virtio_net_hdr_v1 *header, uint64_t features, uint32_t frame_len)
{
	const struct gso_kind *kind = gso_kind(header->gso_type);
	bool ecn = header->gso_type & VIRTIO_NET_HDR_GSO_ECN;

	if (!kind || !virtio_has(features, kind->feature))
		return false;
	if (ecn && (!kind->ecn || !virtio_has(features, VIRTIO_NET_F_HOST_ECN)))
		return false;
	if (!(header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	    header->csum_offset != kind->check_offset ||
	    header->csum_start < ETH_HLEN + kind->ip_header)
		return false;
	/* There is a payload, and it does not become more frames than anybody needs. */
	return frame_len > (uint32_t)header->csum_start + kind->transport_min && header->gso_size &&
	       frame_len / SUPER_FRAME_CUTS_MAX < header->gso_size;
}

/* The field to fill in lies behind the Ethernet header and inside the frame. */
static bool csum_inside(const struct virtio_net_hdr_v1 *header, uint32_t frame_len)
{
	uint32_t end = (uint32_t)header->csum_start + header->csum_offset + sizeof(uint16_t);

	return end <= frame_len;
}

bool net_header_offload_valid(const struct virtio_net_hdr_v1 *header, uint64_t features,
			      uint32_t frame_len)
{
	/* Flags for receivers only; unknown ones are to be ignored (5.1.6.2.2). */
	if (header->flags & (VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_RSC_INFO))
		return false;
	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    (!virtio_has(features, VIRTIO_NET_F_CSUM) || header->csum_start < ETH_HLEN ||
	     !csum_inside(header, frame_len)))
		return false;
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	return gso_valid(header, features, frame_len);
}

static uint16_t clamp(uint32_t value, uint32_t low, uint32_t high)
{
	value = value < low ? low : value;
	return (uint16_t)(value < high ? value : high);
}

/* hdr_len between what the headers have at least and at most (5.1.6.2.1). */
static void tidy_gso(struct virtio_net_hdr_v1 *header, uint32_t frame_len)
{
	const struct gso_kind *kind = gso_kind(header->gso_type);
	uint32_t least = (uint32_t)header->csum_start + kind->transport_min;
	uint32_t most = (uint32_t)header->csum_start + kind->transport_max;

	if (header->gso_size >= frame_len - least) {
		header->gso_type = VIRTIO_NET_HDR_GSO_NONE;
		header->gso_size = header->hdr_len = 0;
		return;
	}
	header->hdr_len = clamp(header->hdr_len, least, most < frame_len ? most : frame_len);
}

void net_header_offload_tidy(struct virtio_net_hdr_v1 *header, uint32_t frame_len)
{
	header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header->num_buffers = 0;
	if (!header->flags)
		header->csum_start = header->csum_offset = 0;
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		tidy_gso(header, frame_len);
	else
		header->gso_size = header->hdr_len = 0;
}
