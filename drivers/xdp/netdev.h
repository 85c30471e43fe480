/* SPDX-License-Identifier: BSD-2-Clause */
/* What a network interface says about itself. Control threads. */
#pragma once

#include <guestwire/error.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct netdev_info {
	unsigned int ifindex;
	uint32_t mtu;
	unsigned int queues; /* that can both send and receive; 1 if it does not say */
	bool up;
	bool scatter_gather;
	bool own_address; /* the host itself is reached through it: IPv4, or IPv6 beyond the link */
	char driver[32];  /* "veth", "igb" ...; "" if it does not say */
	char bus[32];     /* its place there: "0000:00:03.0"; "" if it does not say */
	bool features_known;    /* the kernel has netdev netlink (6.3) */
	bool zerocopy;          /* it advertises AF_XDP zero-copy */
	uint32_t zerocopy_segs; /* descriptors of one zero-copy frame; 1 if it does not say */
	bool native_xdp;        /* its driver runs XDP programs itself */
	bool native_xdp_long;   /* also on frames of several buffers */
	bool tx_checksum;       /* zero-copy: it fills in checksums that AF_XDP metadata asks for */
};

/* -ENODEV with a text if there is no such interface. */
int netdev_read(const char *ifname, struct netdev_info *info, struct gw_error *err);

/* What somebody else has done to the interface, as far as the kernel tells. */
struct netdev_use {
	bool program;     /* an XDP program is attached */
	bool queue_known; /* the kernel tells about queues (6.13), and the interface is up */
	bool queue_taken; /* an AF_XDP socket has the queue */
};

void netdev_use_read(unsigned int ifindex, unsigned int queue, struct netdev_use *use);

/*
 * For a virtio device: whether it keeps to what the platform says about DMA addresses
 * (VIRTIO_F_ACCESS_PLATFORM, VIRTIO 1.2 section 6). True for others, and if it
 * cannot be found out.
 */
bool netdev_platform_dma(const struct netdev_info *info);

/*
 * A socket that keeps the interface promiscuous while it is open: the kernel
 * counts the wish and drops it with the socket, after SIGKILL too. The descriptor or
 * -errno.
 */
int netdev_promiscuous(unsigned int ifindex);
