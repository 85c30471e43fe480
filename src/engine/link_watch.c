/* SPDX-License-Identifier: BSD-2-Clause */
#include "link_watch.h"

#include "fd.h"
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* The kernel puts no more into one datagram of a dump. */
#define BUFFER_BYTES  32768u
/* Datagrams that one call of the loop reads: others want their turn. */
#define DATAGRAMS_MAX 32u
/* Until they are read; a machine may have thousands of interfaces that change. */
#define RECEIVE_BYTES (1 << 20)
#define DUMP_REQUEST  1u

static void dump(struct link_watch *watch)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg link;
	} request = {
		.head = { .nlmsg_len = sizeof(request),
			  .nlmsg_type = RTM_GETLINK,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			  .nlmsg_seq = DUMP_REQUEST },
		.link = { .ifi_family = AF_UNSPEC },
	};

	/* One at a time is all that the kernel does for a socket. */
	watch->again = watch->dumping;
	if (watch->dumping)
		return;
	watch->torn = false;
	watch->dumping = send(watch->fd, &request, sizeof(request), 0) == sizeof(request);
	if (watch->dumping)
		watch->whole(watch, false);
}

/*
 * Interfaces came or went between two parts of it, and the kernel may have passed over
 * one that was there all the time: it would be taken for gone.
 */
static void dump_ends(struct link_watch *watch, bool well)
{
	watch->dumping = false;
	if (well && !watch->torn)
		watch->whole(watch, true);
	if (watch->again || (well && watch->torn))
		dump(watch);
}

static int name_attr(const struct nlattr *attr, void *arg)
{
	struct link_news *news = arg;

	if (mnl_attr_get_type(attr) == IFLA_IFNAME && !mnl_attr_validate(attr, MNL_TYPE_NUL_STRING))
		snprintf(news->name, sizeof(news->name), "%s", mnl_attr_get_str(attr));
	return MNL_CB_OK;
}

static void link_message(struct link_watch *watch, const struct nlmsghdr *message)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct link_news news = { .gone = message->nlmsg_type == RTM_DELLINK };

	/* A bridge tells of its ports in the same words, and means its own side of them. */
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*link) || link->ifi_family != AF_UNSPEC)
		return;
	news.ifindex = (unsigned int)link->ifi_index;
	news.up = link->ifi_flags & IFF_UP;
	news.carrier = link->ifi_flags & IFF_RUNNING;
	mnl_attr_parse(message, sizeof(*link), name_attr, &news);
	watch->heard(watch, &news);
}

static void datagram(struct link_watch *watch, int bytes)
{
	const struct nlmsghdr *message = (const void *)watch->buffer;

	for (; mnl_nlmsg_ok(message, bytes); message = mnl_nlmsg_next(message, &bytes)) {
		watch->torn |= message->nlmsg_flags & NLM_F_DUMP_INTR;
		switch (message->nlmsg_type) {
		case RTM_NEWLINK:
		case RTM_DELLINK:
			link_message(watch, message);
			break;
		case NLMSG_DONE:
		case NLMSG_ERROR:
			dump_ends(watch, message->nlmsg_type == NLMSG_DONE);
			break;
		}
	}
}

static void readable(struct gw_watch *gw_watch, uint32_t events)
{
	struct link_watch *watch = gw_container_of(gw_watch, struct link_watch, watch);

	for (unsigned int i = 0; i < DATAGRAMS_MAX; i++) {
		struct sockaddr_nl from = { 0 };
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(watch->fd, watch->buffer, BUFFER_BYTES, 0,
				     (struct sockaddr *)&from, &len);

		if (n < 0 && errno == ENOBUFS)
			dump(watch);
		else if (n < 0)
			return;
		else if (!from.nl_pid) /* of the kernel, and of nobody else */
			datagram(watch, (int)n);
	}
}

int link_watch_open(struct link_watch *watch, struct gw_loop *loop, struct gw_error *err)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int bytes = RECEIVE_BYTES, ret;

	watch->loop = loop;
	watch->watch.fd = -1;
	watch->dumping = watch->again = watch->torn = false;
	watch->buffer = malloc(BUFFER_BYTES);
	watch->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (watch->fd < 0 || !watch->buffer ||
	    bind(watch->fd, (struct sockaddr *)&address, sizeof(address))) {
		ret = -errno;
		link_watch_close(watch);
		return gw_error_sys(err, ret, "netlink socket for changes of interfaces");
	}
	(void)setsockopt(watch->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	ret = gw_watch_start(loop, &watch->watch, watch->fd, EPOLLIN, readable);
	if (ret) {
		link_watch_close(watch);
		return gw_error_sys(err, ret, "watching changes of interfaces");
	}
	dump(watch);
	return 0;
}

void link_watch_close(struct link_watch *watch)
{
	if (watch->loop)
		gw_watch_stop(watch->loop, &watch->watch);
	gw_fd_close(&watch->fd);
	free(watch->buffer);
	watch->buffer = NULL;
}
