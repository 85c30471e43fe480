/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a packed ring begins: what it may be, where its parts are, and from which places it
 * goes on. Nothing here is on a frame's way; that is ring_packed.c.
 */
#include "net_header.h"
#include "ring_packed.h"

#include "atomic.h"
#include <errno.h>
#include <linux/virtio_config.h>

/* Alignment of the three parts (section 2.8.10.1). */
#define DESC_ALIGN  16u
#define EVENT_ALIGN 4u

#define EVENT_UNKNOWN UINT32_MAX /* of the device's area: no value that we write */

int packed_check(const struct ring_config *config, struct gw_error *err)
{
	struct packed_place avail, used;

	if (!virtio_has(config->features, VIRTIO_F_VERSION_1))
		return gw_error_set(err, -EINVAL,
				    "packed ring for a legacy guest: VERSION_1 "
				    "was not negotiated");
	if (!config->size || config->size > RING_SIZE_MAX)
		return gw_error_set(err, -EINVAL,
				    "packed ring of %u descriptors; 1 to %u are possible",
				    config->size, RING_SIZE_MAX);
	place_of_base(config->base, &avail, &used);
	if (avail.at >= config->size || used.at >= config->size ||
	    place_distance(used, avail, config->size) > config->size)
		return gw_error_set(
			err, -EINVAL,
			"packed ring of %u descriptors cannot begin at 0x%08x: available "
			"at %u, lap %u, used at %u, lap %u",
			config->size, config->base, avail.at, avail.wrap, used.at, used.wrap);
	return 0;
}

int packed_locate(struct ring *ring, struct gw_error *err)
{
	const struct ring_part parts[RING_PARTS] = {
		{ "descriptor ring", ring->desc_addr,
		  (uint64_t)ring->size * sizeof(struct vring_packed_desc), DESC_ALIGN,
		  IOTLB_READ_WRITE },
		{ "driver's event area", ring->avail_addr, sizeof(uint32_t), EVENT_ALIGN,
		  IOTLB_READ },
		{ "device's event area", ring->used_addr, sizeof(uint32_t), EVENT_ALIGN,
		  IOTLB_WRITE },
	};
	struct packed_ring *packed = packed_of(ring);
	void *at[RING_PARTS];
	int rc = ring_locate(ring, parts, at, err);

	if (rc)
		return rc;
	packed->desc = at[0];
	packed->driver_event = at[1];
	packed->device_event = at[2];
	packed->device_event_is = EVENT_UNKNOWN;
	packed->descs = ring->own;
	packed->as_one = ring->in_order && ring->reads_only;
	return 0;
}

/*
 * Descriptors ahead of us that somebody else has used already. While QEMU has no back-end
 * its link is down, and what the guest still sends is dropped, from the place that QEMU
 * knows on, which is far behind ours: the ring's start. Where it comes out is the base that
 * it gives us; where it began is seen in the table.
 */
static void find_foreign(struct packed_ring *packed, struct packed_place end)
{
	struct packed_place place = packed->avail;
	uint32_t left = packed->ring.size - packed->out, descs;
	uint16_t flags;

	for (; left; left--, place_on(&place, 1, packed->ring.size)) {
		flags = gw_read_once(&packed->desc[place.at].flags);
		if (place_available(flags, place))
			continue;
		descs = place_distance(place, end, packed->ring.size);
		if (place_used(flags, place) && descs <= left) {
			packed->foreign = place;
			packed->foreign_descs = descs;
		}
		return;
	}
}

void packed_begin(struct ring *ring)
{
	struct packed_ring *packed = packed_of(ring);
	struct packed_place claimed;
	struct record_place used;

	place_of_base(ring->base, &packed->avail, &packed->used);
	claimed = packed->avail;
	packed->out = place_distance(packed->used, packed->avail, ring->size);
	if (ring->record) {
		used = (struct record_place){ (uint16_t)packed->used.at, packed->used.wrap };
		if (record_packed_begin(ring->record, packed->desc, &used, &packed->out,
					packed->descs)) {
			packed->used = (struct packed_place){ used.at, used.wrap };
			packed->avail = packed->used;
			place_on(&packed->avail, packed->out, ring->size);
			ring_mark_circle(ring, packed->desc, sizeof(*packed->desc), used.at,
					 packed->out);
			find_foreign(packed, claimed);
		}
	}
	packed->shown = packed->used;
}
