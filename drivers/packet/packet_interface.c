/* SPDX-License-Identifier: BSD-2-Clause */
#include "packet_interface.h"

#include "packet.h"
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool is_veth(int fd, struct ifreq *request)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };

	request->ifr_data = (void *)&info;
	return ioctl(fd, SIOCETHTOOL, request) == 0 && strcmp(info.driver, "veth") == 0;
}

/* Since Linux 6.2. Nothing can be asked without sending a frame. */
static bool kernel_knows_uso(void)
{
	struct utsname name;
	unsigned int major, minor;

	return uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 2));
}

static int read_all(int fd, const char *name, struct packet_interface *interface)
{
	struct ifreq request = { 0 };

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(fd, SIOCGIFINDEX, &request))
		return -errno;
	interface->index = request.ifr_ifindex;
	if (ioctl(fd, SIOCGIFMTU, &request))
		return -errno;
	interface->mtu = (uint32_t)request.ifr_mtu;
	if (ioctl(fd, SIOCGIFFLAGS, &request))
		return -errno;
	interface->up = request.ifr_flags & IFF_UP;
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		return -errno;
	if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER &&
	    request.ifr_hwaddr.sa_family != ARPHRD_LOOPBACK)
		return -EPROTOTYPE;
	interface->veth = is_veth(fd, &request);
	interface->uso = kernel_knows_uso();
	return 0;
}

uint32_t packet_interface_max_len(const struct packet_interface *interface)
{
	uint32_t len = interface->mtu + ETH_HLEN + VLAN_BYTES;

	return len < GW_FRAME_LEN_MAX ? len : GW_FRAME_LEN_MAX;
}

int packet_interface_ask(const char *name, struct packet_interface *interface)
{
	int fd, ret;

	*interface = (struct packet_interface){ 0 };
	if (!*name || strlen(name) >= IFNAMSIZ)
		return -ENODEV;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = read_all(fd, name, interface);
	close(fd);
	return ret;
}

int packet_interface_read(const struct gw_port *port, struct packet_interface *interface,
			  struct gw_error *err)
{
	const char *name = gw_port_target(port);
	int ret = packet_interface_ask(name, interface);

	if (ret == -ENODEV)
		return gw_error_set(
			err, ret,
			"port %s: packet:%s: there is no such interface in this network "
			"namespace (see `ip link`)",
			gw_port_name(port), name);
	if (ret == -EPROTOTYPE)
		return gw_error_set(err, ret, "port %s: packet:%s: not an Ethernet interface",
				    gw_port_name(port), name);
	if (ret)
		return gw_error_sys(err, ret, "port %s: cannot read interface %s",
				    gw_port_name(port), name);
	return 0;
}
