/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * After a migration the network still looks for the guest where it was. A guest
 * that cannot announce itself (VIRTIO_NET_F_GUEST_ANNOUNCE) has its front-end ask for
 * it (vhost-user SEND_RARP): one broadcast frame in its name, which enters the
 * network here as if it came from the guest, so that bridges learn the new place,
 * ours among them.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <string.h>

/* The shortest frame of Ethernet, without its FCS. */
#define FRAME_BYTES 60u

static void write_rarp(uint8_t *bytes, const uint8_t mac[ETH_ALEN])
{
	struct ether_arp arp = {
		.ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER),
			    .ar_pro = htons(ETH_P_IP),
			    .ar_hln = ETH_ALEN,
			    .ar_pln = 4,
			    .ar_op = htons(ARPOP_RREQUEST) },
	};
	struct ethhdr ethernet = { .h_proto = htons(ETH_P_RARP) };

	memset(ethernet.h_dest, 0xff, ETH_ALEN);
	memcpy(ethernet.h_source, mac, ETH_ALEN);
	memcpy(arp.arp_sha, mac, ETH_ALEN);
	memcpy(arp.arp_tha, mac, ETH_ALEN);
	memset(bytes, 0, FRAME_BYTES);
	memcpy(bytes, &ethernet, sizeof(ethernet));
	memcpy(bytes + sizeof(ethernet), &arp, sizeof(arp));
}

int announce_open(struct guest *guest, struct gw_error *err)
{
	struct announcement *announcement = &guest->announcement;
	struct gw_frame *frame = &announcement->frame;

	announcement->bytes = gw_port_arena_take(guest->port, 1, err);
	if (!announcement->bytes)
		return -ENOMEM;
	frame->home = gw_port_queue(guest->port, gw_port_first_queue(guest->port));
	frame->seg = frame->own;
	frame->seg_count = 1;
	frame->len = FRAME_BYTES;
	frame->own[0] = (struct iovec){ announcement->bytes, FRAME_BYTES };
	return 0;
}

struct order {
	struct guest *guest;
	const uint8_t *mac;
};

/* While one is on its way another says nothing new. */
static void give_order(void *arg)
{
	struct order *order = arg;
	struct announcement *announcement = &order->guest->announcement;

	if (announcement->out)
		return;
	write_rarp(announcement->bytes, order->mac);
	memcpy(announcement->frame.snapshot, announcement->bytes, GW_FRAME_SNAPSHOT);
	order->guest->queue[gw_port_first_queue(order->guest->port)]->announcement = announcement;
}

void announce(struct guest *guest, const uint8_t mac[ETH_ALEN])
{
	struct order order = { .guest = guest, .mac = mac };

	gw_port_apply(guest->port, give_order, &order);
}

struct gw_frame *announce_take(struct guest_queue *queue)
{
	struct announcement *announcement = queue->announcement;

	queue->announcement = NULL;
	announcement->out = true;
	return &announcement->frame;
}

void announce_home(struct guest_queue *queue)
{
	queue->guest->announcement.out = false;
}
