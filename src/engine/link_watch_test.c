/* SPDX-License-Identifier: BSD-2-Clause */
/* What is made of the kernel's words about interfaces; the test has them said. */
#include "link_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct rig {
	struct link_watch watch;
	struct gw_loop *loop;
	int kernel; /* the other end of its socket */
	unsigned int begun, done, heard;
};

static void heard(struct link_watch *watch, const struct link_news *news)
{
	gw_container_of(watch, struct rig, watch)->heard++;
}

static void whole(struct link_watch *watch, bool done)
{
	struct rig *rig = gw_container_of(watch, struct rig, watch);

	if (done)
		rig->done++;
	else
		rig->begun++;
}

static void open_rig(struct rig *rig)
{
	struct gw_error err = { 0 };
	int pair[2];

	memset(rig, 0, sizeof(*rig));
	rig->watch.heard = heard;
	rig->watch.whole = whole;
	assert_int_equal(gw_loop_create(&rig->loop), 0);
	assert_int_equal(link_watch_open(&rig->watch, rig->loop, &err), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_true(dup2(pair[0], rig->watch.fd) >= 0);
	close(pair[0]);
	rig->kernel = pair[1];
	assert_int_equal(rig->begun, 1);
}

static void close_rig(struct rig *rig)
{
	close(rig->kernel);
	link_watch_close(&rig->watch);
	gw_loop_destroy(rig->loop);
}

static void say(struct rig *rig, uint16_t type, uint16_t flags)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg link;
	} message = {
		.head = { .nlmsg_len = sizeof(message), .nlmsg_type = type, .nlmsg_flags = flags },
		.link = { .ifi_index = 7, .ifi_flags = IFF_UP },
	};

	assert_int_equal(send(rig->kernel, &message, sizeof(message), 0), sizeof(message));
	rig->watch.watch.fn(&rig->watch.watch, EPOLLIN);
}

static bool is_asked(struct rig *rig)
{
	struct nlmsghdr request;

	return recv(rig->kernel, &request, sizeof(request), 0) == sizeof(request) &&
	       request.nlmsg_type == RTM_GETLINK && request.nlmsg_flags & NLM_F_DUMP;
}

static void all_there_is_comes_in_parts(void **state)
{
	struct rig rig;

	open_rig(&rig);
	say(&rig, RTM_NEWLINK, NLM_F_MULTI);
	say(&rig, RTM_NEWLINK, NLM_F_MULTI);
	assert_int_equal(rig.done, 0);
	say(&rig, NLMSG_DONE, NLM_F_MULTI);
	assert_int_equal(rig.done, 1);
	assert_int_equal(rig.heard, 2);
	assert_false(is_asked(&rig));
	/* A change is no part of it. */
	say(&rig, RTM_DELLINK, 0);
	assert_int_equal(rig.heard, 3);
	assert_int_equal(rig.done, 1);
	close_rig(&rig);
}

/* The kernel says that it may have passed over one: nobody is taken for gone. */
static void parts_that_do_not_belong_together_are_asked_for_again(void **state)
{
	struct rig rig;

	open_rig(&rig);
	say(&rig, RTM_NEWLINK, NLM_F_MULTI);
	say(&rig, RTM_NEWLINK, NLM_F_MULTI | NLM_F_DUMP_INTR);
	say(&rig, NLMSG_DONE, NLM_F_MULTI);
	assert_int_equal(rig.done, 0);
	assert_true(is_asked(&rig));
	assert_int_equal(rig.begun, 2);
	say(&rig, RTM_NEWLINK, NLM_F_MULTI);
	say(&rig, NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR);
	assert_int_equal(rig.done, 0);
	assert_true(is_asked(&rig));
	say(&rig, RTM_NEWLINK, NLM_F_MULTI);
	say(&rig, NLMSG_DONE, NLM_F_MULTI);
	assert_int_equal(rig.done, 1);
	assert_false(is_asked(&rig));
	close_rig(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_there_is_comes_in_parts),
		cmocka_unit_test(parts_that_do_not_belong_together_are_asked_for_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
