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
	bool up;
	bool scatter_gather;
	bool own_address; /* the host itself is reached through it: IPv4, or IPv6 beyond the link */
	char driver[32];  /* "veth", "igb" ...; "" if it does not say */
	bool features_known;    /* the kernel has netdev netlink (6.3) */
	bool zerocopy;          /* it advertises AF_XDP zero-copy */
	uint32_t zerocopy_segs; /* descriptors of one zero-copy frame; 1 if it does not say */
};

/* -ENODEV with a text if there is no such interface. */
int netdev_read(const char *ifname, struct netdev_info *info, struct gw_error *err);

/*
 * A socket that keeps the interface promiscuous while it is open: the kernel
 * counts the wish and drops it with the socket, after SIGKILL too. The descriptor or
 * -errno.
 */
int netdev_promiscuous(unsigned int ifindex);
