/* SPDX-License-Identifier: BSD-2-Clause */
#include "tap_interface.h"
#include "fd.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TUN_PATH   "/dev/net/tun"
/* An 802.1Q tag may make a frame longer than MTU and header. */
#define VLAN_BYTES 4u

/* Linux 6.2 and later; the headers may be older. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#define TUN_TCP     (TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)
#define TUN_USO     (TUN_F_USO4 | TUN_F_USO6)
#define WITHOUT_USO (GW_OFFLOAD_ALL & ~GW_OFFLOAD_USO)

/* An interface request with the port's target as its name. */
static struct ifreq request_for(const struct gw_port *port)
{
	struct ifreq request = { 0 };

	strncpy(request.ifr_name, gw_port_target(port), IFNAMSIZ - 1);
	return request;
}

static int check_name(const struct gw_port *port, struct gw_error *err)
{
	const char *name = gw_port_target(port);
	size_t len = strlen(name);

	if (len >= 1 && len < IFNAMSIZ && !strpbrk(name, "/: \t\n%"))
		return 0;
	return gw_error_set(err, -EINVAL,
			    "port %s: tap:%s: that cannot be an interface's name (1 to %u letters, "
			    "no blank, slash, colon or percent sign)",
			    gw_port_name(port), name, IFNAMSIZ - 1);
}

static const char *advice_for(int code)
{
	switch (code) {
	case -EPERM:
		return "it takes CAP_NET_ADMIN, or a tap made for this user "
		       "(ip tuntap add dev IFNAME mode tap user USER)";
	case -EBUSY:
		return "another program has it";
	case -EINVAL:
		return "an interface of that name exists and is not a tap";
	default:
		return "see `ip tuntap`";
	}
}

static int attach(struct gw_port *port, struct tap_interface *tap, struct gw_error *err)
{
	struct ifreq request = request_for(port);
	int ret;

	tap->created = !if_nametoindex(request.ifr_name);
	request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	ret = ioctl(tap->fd, TUNSETIFF, &request);
	if (ret && errno == EINVAL && !tap->created) {
		/* One that was made for several queues wants to be asked so. */
		request = request_for(port);
		request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
		ret = ioctl(tap->fd, TUNSETIFF, &request);
	}
	if (!ret)
		return 0;
	ret = -errno;
	return gw_error_sys(err, ret, "port %s: cannot attach to tap interface %s; %s",
			    gw_port_name(port), gw_port_target(port), advice_for(ret));
}

/*
 * What the kernel may leave to us when it sends. The same release taught it to take
 * UDP super-frames from us and to give us some, so one answer stands for both.
 */
static int set_offloads(struct tap_interface *tap, bool offloads)
{
	tap->offloads = 0;
	if (!offloads)
		return ioctl(tap->fd, TUNSETOFFLOAD, 0);
	tap->offloads = GW_OFFLOAD_ALL;
	if (ioctl(tap->fd, TUNSETOFFLOAD, TUN_TCP | TUN_USO) == 0)
		return 0;
	tap->offloads = WITHOUT_USO;
	return ioctl(tap->fd, TUNSETOFFLOAD, TUN_TCP);
}

static int configure(struct gw_port *port, bool offloads, struct tap_interface *tap,
		     struct gw_error *err)
{
	int header_bytes = TAP_HEADER_BYTES, little_endian = 1, ret;

	if (ioctl(tap->fd, TUNSETVNETHDRSZ, &header_bytes) == 0 &&
	    ioctl(tap->fd, TUNSETVNETLE, &little_endian) == 0 && set_offloads(tap, offloads) == 0)
		return 0;
	ret = -errno;
	return gw_error_sys(err, ret,
			    "port %s: cannot set the virtio-net header on tap interface %s",
			    gw_port_name(port), gw_port_target(port));
}

/* What another process had: it may be one that nobody else could attach to now. */
static bool take_parcel(struct gw_port *port, struct tap_interface *tap)
{
	struct gw_parcel *parcel = gw_port_parcel(port);

	if (!parcel || parcel->len != sizeof(tap->left_bytes) || parcel->fd_count != 1)
		return false;
	tap->fd = parcel->fds[0];
	parcel->fds[0] = -1;
	tap->created = parcel->bytes[0];
	tap->taken = tap->was_up = true;
	return true;
}

static int open_tun(struct gw_port *port, struct tap_interface *tap, struct gw_error *err)
{
	tap->fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap->fd < 0)
		return gw_error_sys(err, -errno,
				    "port %s: tap:%s: cannot open %s; is the tun module loaded?",
				    gw_port_name(port), gw_port_target(port), TUN_PATH);
	return attach(port, tap, err);
}

int tap_interface_open(struct gw_port *port, bool offloads, struct tap_interface *tap,
		       struct gw_error *err)
{
	int ret = check_name(port, err);

	tap->fd = -1;
	if (ret)
		return ret;
	if (!take_parcel(port, tap))
		ret = open_tun(port, tap, err);
	if (!ret)
		ret = configure(port, offloads, tap, err);
	if (ret)
		tap_interface_close(tap);
	return ret;
}

/*
 * The interface is called something else now. A descriptor stays with its interface, so
 * it takes another one; who has given up the right to open that has to be replaced.
 */
static int change_over(struct gw_port *port, bool offloads, struct tap_interface *tap,
		       const char *called, struct gw_error *err)
{
	struct tap_interface other = { .fd = -1 };
	int ret = tap_interface_open(port, offloads, &other, err);

	if (ret)
		return gw_error_sys(err, ret,
				    "port %s: its tap interface is called %.*s now, and the one "
				    "called %s cannot be attached to; a new process may "
				    "(guestwired --takeover)",
				    gw_port_name(port), IFNAMSIZ, called, gw_port_target(port));
	tap_interface_close(tap);
	*tap = other;
	return 0;
}

int tap_interface_keep(struct gw_port *port, bool offloads, struct tap_interface *tap,
		       struct gw_error *err)
{
	struct ifreq request = { 0 };
	int ret;

	if (!ioctl(tap->fd, TUNGETIFF, &request))
		return strncmp(request.ifr_name, gw_port_target(port), IFNAMSIZ)
			       ? change_over(port, offloads, tap, request.ifr_name, err)
			       : 0;
	if (errno != EBADFD)
		return 0;
	/* It was deleted: the descriptor is as good as new. */
	ret = attach(port, tap, err);
	return ret ? ret : configure(port, offloads, tap, err);
}

bool tap_interface_exists(const struct gw_port *port)
{
	return if_nametoindex(gw_port_target(port));
}

void tap_interface_leave(struct tap_interface *tap, struct gw_parcel *parcel)
{
	tap->left_bytes[0] = tap->created;
	tap->left = true;
	*parcel = (struct gw_parcel){ tap->left_bytes, sizeof(tap->left_bytes), &tap->fd, 1 };
}

int tap_interface_back(struct gw_port *port, struct tap_interface *tap, struct gw_error *err)
{
	int ret = tap->left ? configure(port, tap->offloads, tap, err) : 0;

	tap->left = false;
	return ret;
}

void tap_interface_close(struct tap_interface *tap)
{
	/* One that stays is left as it was made: it sends complete frames. */
	if (tap->fd >= 0 && !tap->created && !tap->left)
		(void)ioctl(tap->fd, TUNSETOFFLOAD, 0);
	gw_fd_close(&tap->fd);
}

/* One request about the interface, on a socket of the moment. 0 or -errno. */
static int ask(unsigned long code, struct ifreq *request)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ret = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, code, request))
		ret = -errno;
	close(fd);
	return ret;
}

int tap_interface_up(struct gw_port *port, struct tap_interface *tap, struct gw_error *err)
{
	struct ifreq request = request_for(port);
	int ret;

	/* Later it is as people want it; and the right to this may have been given up. */
	if (!tap->created || tap->was_up)
		return 0;
	ret = ask(SIOCGIFFLAGS, &request);
	if (!ret && !(request.ifr_flags & IFF_UP)) {
		request.ifr_flags |= IFF_UP;
		ret = ask(SIOCSIFFLAGS, &request);
	}
	tap->was_up = !ret;
	if (!ret)
		return 0;
	return gw_error_sys(err, ret, "port %s: cannot set tap interface %s up", gw_port_name(port),
			    gw_port_target(port));
}

int tap_interface_mtu(struct gw_port *port, uint32_t *mtu, struct gw_error *err)
{
	struct ifreq request = request_for(port);
	int ret = ask(SIOCGIFMTU, &request);

	if (ret)
		return gw_error_sys(err, ret, "port %s: cannot read the MTU of tap interface %s",
				    gw_port_name(port), gw_port_target(port));
	*mtu = (uint32_t)request.ifr_mtu;
	return 0;
}

uint32_t tap_interface_max_len(uint32_t mtu)
{
	uint32_t len = mtu + ETH_HLEN + VLAN_BYTES;

	return len < GW_FRAME_LEN_MAX ? len : GW_FRAME_LEN_MAX;
}
