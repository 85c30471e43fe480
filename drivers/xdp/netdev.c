/* SPDX-License-Identifier: BSD-2-Clause */
#include "netdev.h"

#include "fd.h"
#include "text.h"
#include <arpa/inet.h>
#include <errno.h>
#include <glob.h>
#include <ifaddrs.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

/* linux/netdev.h, which came with Linux 6.3. */
enum {
	NETDEV_VERSION = 1,
	NETDEV_DEV_GET = 1,
	NETDEV_A_IFINDEX = 1,
	NETDEV_A_XDP_FEATURES = 3,
	NETDEV_A_XDP_ZC_MAX_SEGS = 4,
	NETDEV_A_XSK_FEATURES = 6, /* 6.8 */
	NETDEV_XDP_BASIC = 1 << 0,
	NETDEV_XDP_XSK_ZEROCOPY = 1 << 3,
	NETDEV_XDP_RX_SG = 1 << 5,
	NETDEV_XSK_TX_CHECKSUM = 1 << 1,
	NETDEV_QUEUE_GET = 10, /* 6.8 */
	NETDEV_QUEUE_A_ID = 1,
	NETDEV_QUEUE_A_IFINDEX = 2,
	NETDEV_QUEUE_A_TYPE = 3,
	NETDEV_QUEUE_A_XSK = 7, /* 6.13 */
	NETDEV_QUEUE_RX = 0,
};
/* The first kernel that says which queues AF_XDP sockets have. */
#define QUEUE_XSK_KERNEL_MAJOR 6
#define QUEUE_XSK_KERNEL_MINOR 13

/* Bits of a virtio device's features, as sysfs prints them: one character each. */
#define VIRTIO_F_ACCESS_PLATFORM 33

#define REPLY_BYTES 8192

/* ---- ioctls ---- */

static void ethtool_read(int fd, struct ifreq *request, struct netdev_info *info)
{
	struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
	struct ethtool_value gather = { .cmd = ETHTOOL_GSG };

	request->ifr_data = (char *)&driver;
	if (!ioctl(fd, SIOCETHTOOL, request)) {
		gw_text_copy(info->driver, sizeof(info->driver), driver.driver);
		gw_text_copy(info->bus, sizeof(info->bus), driver.bus_info);
	}
	request->ifr_data = (char *)&gather;
	if (!ioctl(fd, SIOCETHTOOL, request))
		info->scatter_gather = gather.data;
}

/* Queues that can be bound, for sending and receiving. */
static unsigned int queues_read(int fd, struct ifreq *request)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	unsigned int both;

	request->ifr_data = (char *)&channels;
	if (ioctl(fd, SIOCETHTOOL, request))
		return 1;
	both = channels.rx_count < channels.tx_count ? channels.rx_count : channels.tx_count;
	both += channels.combined_count;
	return both ? both : 1;
}

static int interface_read(const char *ifname, struct netdev_info *info)
{
	struct ifreq request = { 0 };
	int fd, rc = 0;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	gw_text_copy(request.ifr_name, sizeof(request.ifr_name), ifname);
	if (ioctl(fd, SIOCGIFMTU, &request)) {
		rc = -errno;
	} else {
		info->mtu = (uint32_t)request.ifr_mtu;
		if (!ioctl(fd, SIOCGIFFLAGS, &request))
			info->up = request.ifr_flags & IFF_UP;
		ethtool_read(fd, &request, info);
		info->queues = queues_read(fd, &request);
	}
	close(fd);
	return rc;
}

/* ---- addresses ---- */

static bool is_hosts_own(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return true;
	if (address->sa_family != AF_INET6)
		return false;
	return !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

static bool has_own_address(const char *ifname)
{
	struct ifaddrs *all, *one;
	bool found = false;

	if (getifaddrs(&all))
		return false;
	for (one = all; one && !found; one = one->ifa_next)
		found = one->ifa_addr && !strcmp(one->ifa_name, ifname) &&
			is_hosts_own(one->ifa_addr);
	freeifaddrs(all);
	return found;
}

/* ---- netdev netlink ---- */

static int family_attr(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID)
		*(uint16_t *)arg = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

static int on_family(const struct nlmsghdr *message, void *arg)
{
	return mnl_attr_parse(message, sizeof(struct genlmsghdr), family_attr, arg);
}

static int feature_attr(const struct nlattr *attr, void *arg)
{
	struct netdev_info *info = arg;

	switch (mnl_attr_get_type(attr)) {
	case NETDEV_A_XDP_FEATURES:
		info->features_known = true;
		info->zerocopy = mnl_attr_get_u64(attr) & NETDEV_XDP_XSK_ZEROCOPY;
		info->native_xdp = mnl_attr_get_u64(attr) & NETDEV_XDP_BASIC;
		info->native_xdp_long = mnl_attr_get_u64(attr) & NETDEV_XDP_RX_SG;
		break;
	case NETDEV_A_XSK_FEATURES:
		info->tx_checksum = mnl_attr_get_u64(attr) & NETDEV_XSK_TX_CHECKSUM;
		break;
	case NETDEV_A_XDP_ZC_MAX_SEGS:
		info->zerocopy_segs = mnl_attr_get_u32(attr);
		break;
	}
	return MNL_CB_OK;
}

static int on_features(const struct nlmsghdr *message, void *arg)
{
	return mnl_attr_parse(message, sizeof(struct genlmsghdr), feature_attr, arg);
}

static struct nlmsghdr *request_put(void *buffer, uint16_t family, uint8_t command, uint8_t version)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct genlmsghdr *generic;

	message->nlmsg_type = family;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	generic = mnl_nlmsg_put_extra_header(message, sizeof(*generic));
	generic->cmd = command;
	generic->version = version;
	return message;
}

static int ask(struct mnl_socket *netlink, struct nlmsghdr *request, mnl_cb_t fn, void *arg)
{
	unsigned int port = mnl_socket_get_portid(netlink);
	char reply[REPLY_BYTES];
	ssize_t n;
	int rc;

	if (mnl_socket_sendto(netlink, request, request->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(netlink, reply, sizeof(reply));
		if (n < 0)
			return -errno;
		rc = mnl_cb_run(reply, (size_t)n, 0, port, fn, arg);
	} while (rc > MNL_CB_STOP);
	return rc < 0 ? -errno : 0;
}

/* A socket, and the number of the family. NULL where the kernel has no such family. */
static struct mnl_socket *netdev_open(uint16_t *family)
{
	struct mnl_socket *netlink = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	char buffer[256];
	struct nlmsghdr *request;

	*family = 0;
	if (!netlink)
		return NULL;
	request = request_put(buffer, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, "netdev");
	if (!mnl_socket_bind(netlink, 0, MNL_SOCKET_AUTOPID) &&
	    !ask(netlink, request, on_family, family) && *family)
		return netlink;
	mnl_socket_close(netlink);
	return NULL;
}

/* Leaves info as it is where the kernel has no such family. */
static void features_read(struct netdev_info *info)
{
	uint16_t family;
	struct mnl_socket *netlink = netdev_open(&family);
	char buffer[256];
	struct nlmsghdr *request;

	if (!netlink)
		return;
	request = request_put(buffer, family, NETDEV_DEV_GET, NETDEV_VERSION);
	mnl_attr_put_u32(request, NETDEV_A_IFINDEX, info->ifindex);
	(void)ask(netlink, request, on_features, info);
	mnl_socket_close(netlink);
}

int netdev_read(const char *ifname, struct netdev_info *info, struct gw_error *err)
{
	int rc;

	memset(info, 0, sizeof(*info));
	info->zerocopy_segs = 1;
	info->ifindex = if_nametoindex(ifname);
	if (!info->ifindex)
		return gw_error_set(err, -ENODEV,
				    "interface %s: there is none of that name in this network "
				    "namespace (see ip link)",
				    ifname);
	rc = interface_read(ifname, info);
	if (rc)
		return gw_error_sys(err, rc, "interface %s: reading its MTU", ifname);
	info->own_address = has_own_address(ifname);
	features_read(info);
	if (!info->zerocopy_segs)
		info->zerocopy_segs = 1;
	return 0;
}

/* ---- who else uses it ---- */

static bool kernel_tells_queues(void)
{
	struct utsname name;
	unsigned int major, minor;

	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > QUEUE_XSK_KERNEL_MAJOR ||
	       (major == QUEUE_XSK_KERNEL_MAJOR && minor >= QUEUE_XSK_KERNEL_MINOR);
}

static int queue_attr(const struct nlattr *attr, void *arg)
{
	struct netdev_use *use = arg;

	use->queue_known = true;
	if (mnl_attr_get_type(attr) == NETDEV_QUEUE_A_XSK)
		use->queue_taken = true;
	return MNL_CB_OK;
}

static int on_queue(const struct nlmsghdr *message, void *arg)
{
	return mnl_attr_parse(message, sizeof(struct genlmsghdr), queue_attr, arg);
}

static void queue_read(unsigned int ifindex, unsigned int queue, struct netdev_use *use)
{
	uint16_t family;
	struct mnl_socket *netlink;
	char buffer[256];
	struct nlmsghdr *request;

	if (!kernel_tells_queues())
		return;
	netlink = netdev_open(&family);
	if (!netlink)
		return;
	request = request_put(buffer, family, NETDEV_QUEUE_GET, NETDEV_VERSION);
	mnl_attr_put_u32(request, NETDEV_QUEUE_A_IFINDEX, ifindex);
	mnl_attr_put_u32(request, NETDEV_QUEUE_A_TYPE, NETDEV_QUEUE_RX);
	mnl_attr_put_u32(request, NETDEV_QUEUE_A_ID, queue);
	(void)ask(netlink, request, on_queue, use);
	mnl_socket_close(netlink);
}

static int xdp_attr(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == IFLA_XDP_ATTACHED)
		*(bool *)arg = mnl_attr_get_u8(attr) != XDP_ATTACHED_NONE;
	return MNL_CB_OK;
}

static int link_attr(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == IFLA_XDP)
		return mnl_attr_parse_nested(attr, xdp_attr, arg);
	return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *message, void *arg)
{
	return mnl_attr_parse(message, sizeof(struct ifinfomsg), link_attr, arg);
}

static void program_read(unsigned int ifindex, struct netdev_use *use)
{
	struct mnl_socket *netlink = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	char buffer[256];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	struct ifinfomsg *link;

	if (!netlink)
		return;
	request->nlmsg_type = RTM_GETLINK;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	link = mnl_nlmsg_put_extra_header(request, sizeof(*link));
	link->ifi_index = (int)ifindex;
	if (!mnl_socket_bind(netlink, 0, MNL_SOCKET_AUTOPID))
		(void)ask(netlink, request, on_link, &use->program);
	mnl_socket_close(netlink);
}

void netdev_use_read(unsigned int ifindex, unsigned int queue, struct netdev_use *use)
{
	memset(use, 0, sizeof(*use));
	program_read(ifindex, use);
	queue_read(ifindex, queue, use);
}

bool netdev_platform_dma(const struct netdev_info *info)
{
	char pattern[128], bits[65] = "";
	bool platform = true;
	glob_t found;
	FILE *file;

	snprintf(pattern, sizeof(pattern), "/sys/bus/*/devices/%s/virtio*/features", info->bus);
	if (!info->bus[0] || glob(pattern, GLOB_NOSORT, NULL, &found))
		return true;
	file = fopen(found.gl_pathv[0], "re");
	if (file) {
		if (fgets(bits, sizeof(bits), file) && strlen(bits) > VIRTIO_F_ACCESS_PLATFORM)
			platform = bits[VIRTIO_F_ACCESS_PLATFORM] == '1';
		fclose(file);
	}
	globfree(&found);
	return platform;
}

int netdev_promiscuous(unsigned int ifindex)
{
	struct packet_mreq wish = { .mr_ifindex = (int)ifindex, .mr_type = PACKET_MR_PROMISC };
	/* Protocol 0: the socket receives nothing. */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), rc;

	if (fd < 0)
		return -errno;
	if (!setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &wish, sizeof(wish)))
		return fd;
	rc = -errno;
	gw_fd_close(&fd);
	return rc;
}
