/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_device.h"

#include "fd.h"
#include "text.h"
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static void ethtool_read(int fd, struct ifreq *request, struct gw_probe_device *device)
{
	struct ethtool_drvinfo driver = { .cmd = ETHTOOL_GDRVINFO };
	struct ethtool_value gather = { .cmd = ETHTOOL_GSG };

	request->ifr_data = (char *)&driver;
	if (!ioctl(fd, SIOCETHTOOL, request)) {
		gw_text_copy(device->driver, sizeof(device->driver), driver.driver);
		/* A device's place has digits; "tap" and the like are no places. */
		if (strpbrk(driver.bus_info, "0123456789"))
			gw_text_copy(device->bus, sizeof(device->bus), driver.bus_info);
	}
	request->ifr_data = (char *)&gather;
	if (!ioctl(fd, SIOCETHTOOL, request))
		device->scatter_gather = gather.data;
}

static int all_read(int fd, struct ifreq *request, struct gw_probe_device *device)
{
	unsigned short type;

	if (ioctl(fd, SIOCGIFINDEX, request))
		return -errno;
	device->index = (unsigned int)request->ifr_ifindex;
	if (ioctl(fd, SIOCGIFMTU, request))
		return -errno;
	device->mtu = (uint32_t)request->ifr_mtu;
	if (ioctl(fd, SIOCGIFFLAGS, request))
		return -errno;
	device->up = request->ifr_flags & IFF_UP;
	if (ioctl(fd, SIOCGIFHWADDR, request))
		return -errno;
	type = request->ifr_hwaddr.sa_family;
	device->loopback = type == ARPHRD_LOOPBACK;
	device->ethernet = type == ARPHRD_ETHER || device->loopback;
	ethtool_read(fd, request, device);
	return 0;
}

int probe_device_read(const char *ifname, struct gw_probe_device *device)
{
	struct ifreq request = { 0 };
	int fd, rc;

	memset(device, 0, sizeof(*device));
	if (!*ifname || !gw_text_copy(device->name, sizeof(device->name), ifname))
		return -ENODEV;
	gw_text_copy(request.ifr_name, sizeof(request.ifr_name), ifname);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	rc = all_read(fd, &request, device);
	gw_fd_close(&fd);
	return rc;
}

/*
 * MSG_ZEROCOPY hands page fragments to the device: one without scatter-gather gets a
 * copy, and so does whoever receives the packet in this host. Each completion of
 * the kernel says which it was.
 */
static void say_udp(const struct gw_probe_question *question)
{
	const struct gw_probe_device *device = question->device;
	struct gw_finding finding = { .path = "udp", .subject = "zero-copy" };

	if (device->loopback) {
		finding_say(&finding, "what goes to this host itself is copied");
		finding_remedy(&finding, "send through a NIC");
	} else if (!device->scatter_gather) {
		finding_say(&finding, "no scatter-gather on this device: the kernel copies each "
				      "packet, and says so");
		finding_remedy(&finding,
			       "ethtool -K %s sg on; if it is fixed, another NIC (a virtual one: "
			       "vnet_hdr=on at its host)",
			       device->name);
	} else if (device->bus[0]) {
		finding.found = GW_FOUND_YES;
		finding_say(&finding, "scatter-gather on, a device with hardware; for sends of "
				      "10 KB and more");
	} else {
		finding.found = GW_FOUND_UNKNOWN;
		finding_say(&finding, "scatter-gather on, but no hardware: what is received in "
				      "this host is copied, what leaves it by a NIC is not");
		finding_remedy(&finding, "each completion tells");
	}
	finding.reads = finding.found == GW_FOUND_NO    ? GW_READS_BIT(GW_READS_KERNEL_COPY)
			: finding.found == GW_FOUND_YES ? GW_READS_BIT(GW_READS_FRAGMENTS)
							: GW_READS_BIT(GW_READS_KERNEL_COPY) |
								  GW_READS_BIT(GW_READS_FRAGMENTS);
	finding_tell(question, &finding);
}

void probe_device_findings(const struct gw_probe_question *question)
{
	say_udp(question);
}
