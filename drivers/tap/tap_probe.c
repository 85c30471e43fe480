/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a port tap:IFNAME would do. Asking is one netlink request. Trying attaches with
 * the very flags that the tap has, so that nothing of it changes, and without setting
 * anything; about the host it makes a tap of a name that the kernel chooses, which goes
 * with its descriptor.
 */
#include "tap_probe.h"

#include "fd.h"
#include "probe_host.h"
#include "tap_interface.h"
#include "text.h"
#include <errno.h>
#include <fcntl.h>
#include <guestwire/driver.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_BYTES 16384
/* The name of the tap that is made and unmade. */
#define NEW_NAME    "gwprobe%d"

static struct gw_finding about(const char *subject, enum gw_found found)
{
	return (struct gw_finding){ .path = "tap", .subject = subject, .found = found };
}

/* ---- judging ---- */

static bool may_attach(const struct gw_probe_host *host, const struct tap_facts *facts)
{
	if (host->net_admin)
		return true;
	return (!facts->has_owner || facts->owner == host->user) &&
	       (!facts->has_group || facts->in_group);
}

static bool no_device_file(const struct gw_probe_host *host, struct gw_finding *finding)
{
	if (!host->tun_exists) {
		finding_say(finding, "there is no %s", PROBE_TUN_PATH);
		finding_remedy(finding, "modprobe tun; in a container, pass the device in");
		return true;
	}
	if (!host->tun_open) {
		finding_say(finding, "user %u may not open %s", host->user, PROBE_TUN_PATH);
		finding_remedy(finding, "give this user read and write access to it");
		return true;
	}
	return false;
}

static void judge_host(const struct gw_probe_question *question)
{
	const struct gw_probe_host *host = question->host;
	struct gw_finding finding = about("new", GW_FOUND_NO);

	if (!no_device_file(host, &finding)) {
		if (host->net_admin) {
			finding.found = GW_FOUND_YES;
			finding_say(&finding, "taps can be made");
		} else {
			finding_say(&finding, "making a tap takes CAP_NET_ADMIN in this network "
					      "namespace");
			finding_remedy(&finding,
				       "that, or a tap made for this user: ip tuntap add "
				       "dev IFNAME mode tap user %u",
				       host->user);
		}
	}
	finding_tell(question, &finding);
}

void tap_probe_judge(const struct gw_probe_question *question, const struct tap_facts *facts)
{
	const struct gw_probe_device *device = question->device;
	struct gw_finding finding = about("start", GW_FOUND_NO);

	if (!facts) {
		judge_host(question);
		return;
	}
	if (!facts->tap) {
		finding_say(&finding, "not a tap");
		finding_remedy(&finding, "tap:NAME with a name that is free makes one");
	} else if (no_device_file(question->host, &finding)) {
		/* said */
	} else if (!may_attach(question->host, facts)) {
		finding_say(&finding, "it belongs to another user");
		finding_remedy(&finding, "CAP_NET_ADMIN, or ip tuntap add dev %s mode tap user %u",
			       device->name, question->host->user);
	} else if (facts->carrier && !facts->multi_queue) {
		finding_say(&finding, "another program has it");
		finding_remedy(&finding, "end that program, or take another tap");
	} else {
		finding.found = GW_FOUND_YES;
		finding.reads = GW_READS_BIT(GW_READS_KERNEL_COPY);
		finding.max_len = tap_interface_max_len(device->mtu);
		finding_say(&finding, "the kernel copies each frame once%s",
			    device->up ? "" : "; the interface is down");
	}
	finding_tell(question, &finding);
}

/* ---- asking ---- */

static int tun_attr(const struct nlattr *attr, void *arg)
{
	struct tap_facts *facts = arg;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_TUN_TYPE:
		facts->tap = mnl_attr_get_u8(attr) == IFF_TAP;
		break;
	case IFLA_TUN_OWNER:
		facts->has_owner = true;
		facts->owner = mnl_attr_get_u32(attr);
		break;
	case IFLA_TUN_GROUP:
		facts->has_group = true;
		facts->group = mnl_attr_get_u32(attr);
		break;
	case IFLA_TUN_PI:
		facts->packet_info = mnl_attr_get_u8(attr);
		break;
	case IFLA_TUN_VNET_HDR:
		facts->vnet_header = mnl_attr_get_u8(attr);
		break;
	case IFLA_TUN_MULTI_QUEUE:
		facts->multi_queue = mnl_attr_get_u8(attr);
		break;
	}
	return MNL_CB_OK;
}

/* The kind comes before the data. */
struct kind {
	struct tap_facts *facts;
	bool tun;
};

static int info_attr(const struct nlattr *attr, void *arg)
{
	struct kind *kind = arg;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_INFO_KIND:
		kind->tun = !strcmp(mnl_attr_get_str(attr), "tun");
		break;
	case IFLA_INFO_DATA:
		return kind->tun ? mnl_attr_parse_nested(attr, tun_attr, kind->facts) : MNL_CB_OK;
	}
	return MNL_CB_OK;
}

static int link_attr(const struct nlattr *attr, void *arg)
{
	struct kind kind = { .facts = arg };

	switch (mnl_attr_get_type(attr)) {
	case IFLA_CARRIER:
		kind.facts->carrier = mnl_attr_get_u8(attr);
		break;
	case IFLA_LINKINFO:
		return mnl_attr_parse_nested(attr, info_attr, &kind);
	}
	return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *message, void *arg)
{
	return mnl_attr_parse(message, sizeof(struct ifinfomsg), link_attr, arg);
}

static void facts_read(unsigned int ifindex, struct tap_facts *facts)
{
	struct mnl_socket *netlink = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	char buffer[256], reply[REPLY_BYTES];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *link;
	ssize_t n;

	memset(facts, 0, sizeof(*facts));
	if (!netlink)
		return;
	request->nlmsg_type = RTM_GETLINK;
	request->nlmsg_flags = NLM_F_REQUEST;
	link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
	link->ifi_index = (int)ifindex;
	if (!mnl_socket_bind(netlink, 0, MNL_SOCKET_AUTOPID) &&
	    mnl_socket_sendto(netlink, request, request->nlmsg_len) > 0) {
		n = mnl_socket_recvfrom(netlink, reply, sizeof(reply));
		if (n > 0)
			(void)mnl_cb_run(reply, (size_t)n, 0, mnl_socket_get_portid(netlink),
					 on_link, facts);
	}
	mnl_socket_close(netlink);
	facts->in_group =
		facts->has_group && (getegid() == facts->group || group_member(facts->group));
}

/* ---- trying ---- */

/* Attaches, to nothing new if it exists, and leaves again. 0 or -errno. */
static int attach(const char *name, unsigned int flags)
{
	struct ifreq request = { .ifr_flags = (short)flags };
	int fd = open(PROBE_TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	gw_text_copy(request.ifr_name, sizeof(request.ifr_name), name);
	if (ioctl(fd, TUNSETIFF, &request))
		rc = -errno;
	gw_fd_close(&fd);
	return rc;
}

static void try_host(const struct gw_probe_question *question)
{
	int rc = attach(NEW_NAME, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	struct gw_finding finding = about("new", rc ? GW_FOUND_NO : GW_FOUND_YES);

	finding.how = GW_FOUND_BY_TRYING;
	finding.code = rc;
	if (rc) {
		finding_say(&finding, "making a tap: %s (%s)", strerrorname_np(-rc),
			    strerrordesc_np(-rc));
		finding_remedy(&finding, "access to %s, and CAP_NET_ADMIN", PROBE_TUN_PATH);
	} else {
		finding_say(&finding, "one was made, and is gone again");
	}
	finding_tell(question, &finding);
}

/* Whoever attaches sets a tap's flags: these are the ones that it has. */
static unsigned int flags_of(const struct tap_facts *facts)
{
	return IFF_TAP | (facts->packet_info ? 0 : IFF_NO_PI) |
	       (facts->vnet_header ? IFF_VNET_HDR : 0) | (facts->multi_queue ? IFF_MULTI_QUEUE : 0);
}

static void try_device(const struct gw_probe_question *question, const struct tap_facts *facts)
{
	const struct gw_probe_device *device = question->device;
	struct gw_finding finding = about("start", GW_FOUND_YES);
	int rc = attach(device->name, flags_of(facts));

	finding.how = GW_FOUND_BY_TRYING;
	finding.code = rc;
	if (rc) {
		finding.found = GW_FOUND_NO;
		finding_say(&finding, "attaching: %s (%s)", strerrorname_np(-rc),
			    strerrordesc_np(-rc));
		finding_remedy(&finding, "%s",
			       rc == -EBUSY ? "another program has it: end that"
			       : facts->tap ? "see ip -d link show"
					    : "tap:NAME with a name that is free makes one");
	} else {
		finding.reads = GW_READS_BIT(GW_READS_KERNEL_COPY);
		finding.max_len = tap_interface_max_len(device->mtu);
		finding_say(&finding, "attached, and left again");
	}
	finding_tell(question, &finding);
}

void tap_probe(const struct gw_probe_question *question)
{
	struct tap_facts facts;

	if (!question->device) {
		tap_probe_judge(question, NULL);
		if (question->attempt)
			try_host(question);
		return;
	}
	facts_read(question->device->index, &facts);
	tap_probe_judge(question, &facts);
	if (question->attempt)
		try_device(question, &facts);
}
