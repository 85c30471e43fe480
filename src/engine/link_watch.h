/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel says about network interfaces: one netlink socket (RTNLGRP_LINK) in
 * the control loop. It is opened before the program confines itself, and needs no
 * right later.
 *
 * First comes all there is, then each change. If more has happened than the kernel
 * keeps for us, all there is comes once more. All functions: the loop's thread, or any
 * while it does not run.
 */
#pragma once

#include "loop.h"
#include <guestwire/error.h>
#include <net/if.h>

struct link_news {
	unsigned int ifindex;
	char name[IF_NAMESIZE];
	bool gone;    /* there is no such interface any more */
	bool up;      /* IFF_UP: the administrator wants it */
	bool carrier; /* IFF_RUNNING: and it can send */
};

struct link_watch {
	int fd; /* -1: closed */
	struct gw_loop *loop;
	struct gw_watch watch;
	/* An interface was looked at, or has changed. */
	void (*heard)(struct link_watch *watch, const struct link_news *news);
	/* All there is begins to come, or (done) has come. */
	void (*whole)(struct link_watch *watch, bool done);
	bool dumping, again;
	bool torn; /* what has come of it does not belong together */
	uint8_t *buffer;
};

/* heard and whole are set. On failure it is closed. */
int link_watch_open(struct link_watch *watch, struct gw_loop *loop, struct gw_error *err);
/* Safe on a closed one. */
void link_watch_close(struct link_watch *watch);
