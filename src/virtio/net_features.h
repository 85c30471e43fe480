/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-net features that leave work to the other side (VIRTIO 1.2 section
 * 5.1.3), which of them need one another (5.1.3.1), and what they come to as
 * GW_OFFLOAD_ bits. HOST ones are for frames that the guest sends, GUEST ones
 * for frames that it receives.
 */
#pragma once

#include <guestwire/driver.h>
#include <guestwire/error.h>
#include <linux/virtio_net.h>
#include <stdint.h>

/* Newer than the oldest kernel headers that this builds with. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#endif
#ifndef VIRTIO_NET_F_GUEST_USO6
#define VIRTIO_NET_F_GUEST_USO6 55
#endif
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_HOST_USO 56
#endif

#define NET_FEATURES_HOST                                                 \
	(1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |     \
	 1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_HOST_ECN | \
	 1ull << VIRTIO_NET_F_HOST_USO)
#define NET_FEATURES_GUEST                                                   \
	(1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4 | \
	 1ull << VIRTIO_NET_F_GUEST_TSO6 | 1ull << VIRTIO_NET_F_GUEST_ECN |  \
	 1ull << VIRTIO_NET_F_GUEST_USO4 | 1ull << VIRTIO_NET_F_GUEST_USO6)

/*
 * 0 if no feature is there without one that it needs (5.1.3.1); otherwise
 * -EINVAL, and the text names both.
 */
int net_features_check(uint64_t features, struct gw_error *err);

/* What a guest with these features takes of partial headers. */
struct gw_offloads net_features_takes(uint64_t features);
