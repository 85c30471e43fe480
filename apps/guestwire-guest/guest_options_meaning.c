/* SPDX-License-Identifier: BSD-2-Clause */
/* What options mean together: defaults, contradictions, and what follows from them. */
#include <string.h>

#include "guest_options.h"
#include "vhost_user_spec.h"

#define DEFAULT_SIZE       1514
#define DEFAULT_MEMORY_MIB 64
#define DEFAULT_RING       256
#define DEFAULT_MSS        1400
#define DEFAULT_BATCH      32
#define DEFAULT_TIMEOUT_S  30

void options_defaults(struct guest_options *o)
{
	*o = (struct guest_options){
		.size = { DEFAULT_SIZE, DEFAULT_SIZE },
		.size_step = 1,
		.stream = 1,
		.ethertype = PATTERN_ETHERTYPE,
		.mss = DEFAULT_MSS,
		.port = PACKET_DEFAULT_PORT,
		.descriptors = { 1, 1 },
		.rx_descriptors = { 1, 1 },
		.indirect = INDIRECT_MIXED,
		.memory_mib = DEFAULT_MEMORY_MIB,
		.regions = 1,
		.queues = 1,
		.ring_size = DEFAULT_RING,
		.batch = DEFAULT_BATCH,
		.connect_timeout_s = 5,
		.ready_fd = UINT64_MAX,
		.start_fd = UINT64_MAX,
	};
	memset(o->dst.bytes, 0xff, sizeof(o->dst.bytes));
}

void options_complete(struct guest_options *o)
{
	if (!o->src.given)
		pattern_default_mac(o->src.bytes, (uint32_t)o->stream);
	if (!o->timeout_given && !o->hold)
		o->timeout_s = DEFAULT_TIMEOUT_S + o->duration_s;
}

uint32_t options_size(const struct guest_options *o, uint64_t n)
{
	return (uint32_t)(o->size.low + n * o->size_step % (o->size.high - o->size.low + 1));
}

struct packet_shape options_packet(const struct guest_options *o)
{
	struct packet_shape shape = { .kind = (enum packet_kind)o->packet,
				      .tags = (uint32_t)o->tags,
				      .extra = (uint32_t)o->extra,
				      .mss = (uint32_t)o->mss,
				      .port = (uint16_t)o->port };

	memcpy(shape.address.src, o->src.bytes, PATTERN_MAC_BYTES);
	memcpy(shape.address.dst, o->dst.bytes, PATTERN_MAC_BYTES);
	return shape;
}

static const char *packet_contradiction(const struct guest_options *o)
{
	struct packet_shape shape = options_packet(o);

	if (o->packet == PACKET_RAW)
		return NULL;
	if (!o->send_given)
		return NULL;
	if (o->size.low <= packet_header_bytes(&shape))
		return "--size leaves no room for payload behind the headers of --packet";
	if (o->interface && o->checksum != CHECKSUM_PARTIAL &&
	    packet_pieces(&shape, o->size.high) > 1)
		return "--interface sends super-frames with --checksum partial only";
	return NULL;
}

const char *options_contradiction(const struct guest_options *o)
{
	bool lists = o->misbehave && !strcmp(o->misbehave, "list");

	if (!lists && !o->socket == !o->interface)
		return "give one of --socket PATH and --interface IFNAME";
	if (o->ring_size & (o->ring_size - 1))
		return "--ring-size must be a power of two";
	if (o->regions + !!o->plug_ms > VHOST_USER_MAX_REGIONS && !o->slots)
		return "a memory table has 8 regions: more need --slots";
	if (o->toggle_ms && o->features_off >> VHOST_USER_F_PROTOCOL_FEATURES & 1)
		return "--toggle-queues needs protocol_features";
	if (o->descriptors.high > o->ring_size || o->rx_descriptors.high > o->ring_size)
		return "a chain cannot have more descriptors than the ring (VIRTIO 1.2 2.7.5.3.1)";
	if (o->scribble && o->pattern == GUEST_PATTERN_FIXED)
		return "--scribble and --pattern fixed exclude each other";
	if (o->rewrite_given && (!o->socket || o->pattern == GUEST_PATTERN_FIXED))
		return "--rewrite needs --socket, and not --pattern fixed";
	if (o->misbehave && o->interface)
		return "--misbehave needs --socket";
	if (o->invalidate_ms && !o->iommu)
		return "--invalidate needs --iommu";
	if (o->iommu && (o->plug_ms || o->misbehave || o->addresses))
		return "--iommu goes with none of --plug, --misbehave and --addresses";
	if (o->listen && !o->socket)
		return "--listen needs --socket";
	return packet_contradiction(o);
}
