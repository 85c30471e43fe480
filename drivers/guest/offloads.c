/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest may leave undone in the headers of its frames, and what may be
 * left undone in those that it gets: features of VIRTIO 1.2 section 5.1.3,
 * offered as `offloads=` says.
 *
 *              HOST (frames that it sends)          GUEST (that it receives)
 *   auto       if no port of its network takes      always
 *              one segment only: lent payload can
 *              have no private header there
 *   on         always                               always
 *   off        never                                never
 *
 * It is asked when a front-end connects, on the control loop, which runs only
 * when all ports have been started. What a front-end has acknowledged once is
 * offered again as long as the port lives: QEMU asks before it knows its guest,
 * and on reconnecting turns its back on a back-end that offers less than the
 * guest has (net/vhost-user.c). Where a port turned up meanwhile that takes one
 * segment, such frames are copied.
 */
#include "guest.h"

#include "log.h"
#include "net_features.h"
#include "services.h"

uint64_t guest_offered(struct guest *guest)
{
	uint64_t features = GUEST_FEATURES;

	if (guest->offloads == GUEST_OFFLOADS_OFF)
		return features;
	features |= NET_FEATURES_GUEST;
	if (guest->offloads == GUEST_OFFLOADS_ON || port_offloads_pay(guest->port))
		features |= NET_FEATURES_HOST;
	else
		gw_port_log(guest->port, LOG_INFO,
			    "a device of this network takes frames of one segment only: the guest "
			    "is offered no checksum and segmentation offloads (offloads=on offers "
			    "them)");
	return features | guest->acked;
}
