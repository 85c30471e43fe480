/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest is offered.
 *
 * Rings in every form that VIRTIO 1.2 has; IN_ORDER only if it was asked for, since
 * loans come home in any order (`in_order=`). The features of a control queue,
 * which the front-end serves itself, as QEMU does, but passes on only if we have
 * them, too.
 *
 * And what a guest may leave undone in the headers of its frames, and what may be
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
#include <errno.h>
#include <string.h>

/* Newer than the oldest kernel headers that this builds with. */
#ifndef VIRTIO_F_RING_RESET
#define VIRTIO_F_RING_RESET 40
#endif

#define BIT(n) (1ull << (n))

#define FEATURES_RINGS                                                                         \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_RING_RESET) |      \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |                     \
	 BIT(VIRTIO_F_ANY_LAYOUT) | BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VHOST_F_LOG_ALL_BIT) | \
	 BIT(VHOST_USER_F_PROTOCOL_FEATURES))
/*
 * The front-end's work, with a control queue and a configuration space of its own. Where
 * the guest sees ours (config=on) nobody answers on a control queue, and nobody has said
 * what the MTU is: a driver may take neither as it is then.
 */
#define FEATURES_FRONT_END                                                                     \
	(BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |     \
	 BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_VLAN) | \
	 BIT(VIRTIO_NET_F_CTRL_MAC_ADDR))
#define PROTOCOL_FEATURES                                                                         \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |                   \
	 BIT(VHOST_USER_PROTOCOL_F_RARP) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |                 \
	 BIT(VHOST_USER_PROTOCOL_F_NET_MTU) | BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |            \
	 BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD) | BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) | \
	 BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) | BIT(VHOST_USER_PROTOCOL_F_STATUS) |            \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |                                         \
	 BIT(VHOST_USER_PROTOCOL_F_DEVICE_STATE) |                                                \
	 BIT(VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT) |                                     \
	 BIT(VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN))

static uint64_t offloads(struct guest *guest)
{
	if (guest->offloads == GUEST_OFFLOADS_OFF)
		return 0;
	if (guest->offloads == GUEST_OFFLOADS_ON || port_offloads_pay(guest->port))
		return NET_FEATURES_GUEST | NET_FEATURES_HOST | guest->acked;
	gw_port_log(guest->port, LOG_INFO,
		    "a device of this network takes frames of one segment only: the guest is "
		    "offered no checksum and segmentation offloads (offloads=on offers them)");
	return NET_FEATURES_GUEST | guest->acked;
}

uint64_t guest_offered(struct guest *guest)
{
	uint64_t features = FEATURES_RINGS | BIT(VIRTIO_NET_F_MRG_RXBUF) | offloads(guest);

	if (!guest->config_space)
		features |= FEATURES_FRONT_END;
	if (guest->in_order)
		features |= BIT(VIRTIO_F_IN_ORDER);
	return features;
}

uint64_t guest_offered_protocol(const struct guest *guest)
{
	uint64_t features = PROTOCOL_FEATURES;

	if (guest->config_space)
		features |= BIT(VHOST_USER_PROTOCOL_F_CONFIG);
	return features;
}

/* ---- the state of a device that moves (vhost-user, "Transferring device state") ---- */

#define STATE_MAGIC   0x74736777u /* "gwst" */
#define STATE_VERSION 1u

struct state {
	uint32_t magic, version;
	uint64_t acked; /* so that it is offered again where the guest arrives */
};

size_t offer_save(void *arg, uint8_t *bytes, size_t room)
{
	struct state state = { STATE_MAGIC, STATE_VERSION, ((struct guest *)arg)->acked };

	if (room < sizeof(state))
		return 0;
	memcpy(bytes, &state, sizeof(state));
	return sizeof(state);
}

int offer_load(void *arg, const uint8_t *bytes, size_t len, struct gw_error *err)
{
	struct guest *guest = arg;
	struct state state;

	if (len != sizeof(state))
		return gw_error_set(err, -EINVAL, "a device's state of %zu bytes, not %zu", len,
				    sizeof(state));
	memcpy(&state, bytes, sizeof(state));
	if (state.magic != STATE_MAGIC || state.version != STATE_VERSION)
		return gw_error_set(err, -EINVAL,
				    "a device's state of another program, or another version");
	guest->acked |= state.acked & (NET_FEATURES_HOST | NET_FEATURES_GUEST);
	return 0;
}
