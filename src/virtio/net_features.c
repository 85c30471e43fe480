/* SPDX-License-Identifier: BSD-2-Clause */
#include "net_features.h"

#include "net_header.h"
#include <errno.h>

#define NO_BIT 0xffu

/* One of the two that are needed is enough. */
struct need {
	uint8_t bit, need, or_need;
	const char *name, *need_name;
};

#define F(name) VIRTIO_NET_F_##name

/* clang-format off */
static const struct need needs[] = {
#define ONE(bit, need)          { F(bit), F(need), NO_BIT, #bit, #need }
#define EITHER(bit, need, other) { F(bit), F(need), F(other), #bit, #need " or " #other }
	ONE(HOST_TSO4, CSUM),
	ONE(HOST_TSO6, CSUM),
	ONE(HOST_UFO, CSUM),
	ONE(HOST_USO, CSUM),
	EITHER(HOST_ECN, HOST_TSO4, HOST_TSO6),
	ONE(GUEST_TSO4, GUEST_CSUM),
	ONE(GUEST_TSO6, GUEST_CSUM),
	ONE(GUEST_UFO, GUEST_CSUM),
	ONE(GUEST_USO4, GUEST_CSUM),
	ONE(GUEST_USO6, GUEST_CSUM),
	EITHER(GUEST_ECN, GUEST_TSO4, GUEST_TSO6),
#undef ONE
#undef EITHER
};
/* clang-format on */

int net_features_check(uint64_t features, struct gw_error *err)
{
	for (unsigned int i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		const struct need *n = &needs[i];

		if (!virtio_has(features, n->bit) || virtio_has(features, n->need) ||
		    (n->or_need != NO_BIT && virtio_has(features, n->or_need)))
			continue;
		return gw_error_set(err, -EINVAL,
				    "VIRTIO_NET_F_%s without %s (VIRTIO 1.2 section 5.1.3.1); "
				    "switch both on or both off",
				    n->name, n->need_name);
	}
	return 0;
}

struct gw_offloads net_features_takes(uint64_t features)
{
	struct gw_offloads offloads = { .len_max = GW_FRAME_LEN_MAX };

	if (virtio_has(features, VIRTIO_NET_F_GUEST_CSUM))
		offloads.takes |= GW_OFFLOAD_CSUM;
	if (virtio_has(features, VIRTIO_NET_F_GUEST_TSO4))
		offloads.takes |= GW_OFFLOAD_TSO4;
	if (virtio_has(features, VIRTIO_NET_F_GUEST_TSO6))
		offloads.takes |= GW_OFFLOAD_TSO6;
	if (virtio_has(features, VIRTIO_NET_F_GUEST_ECN))
		offloads.takes |= GW_OFFLOAD_ECN;
	/* One bit on the way out, two on the way in: both, or none. */
	if (virtio_has(features, VIRTIO_NET_F_GUEST_USO4) &&
	    virtio_has(features, VIRTIO_NET_F_GUEST_USO6))
		offloads.takes |= GW_OFFLOAD_USO;
	return offloads;
}
