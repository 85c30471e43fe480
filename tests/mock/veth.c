/* SPDX-License-Identifier: BSD-2-Clause */
#include "veth.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#define FAR_BUFFER_BYTES (8 << 20)
#define CARRIER_POLLS    2000

static bool privileged;

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text);
}

bool veth_enter(char *why, size_t why_bytes)
{
	unsigned int uid = geteuid(), gid = getegid();
	char map[64];

	privileged = uid == 0;
	if (unshare(privileged ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET)) {
		snprintf(why, why_bytes, "no network namespace for this user: %s", strerror(errno));
		return false;
	}
	if (!privileged) {
		snprintf(map, sizeof(map), "0 %u 1", uid);
		write_file("/proc/self/setgroups", "deny");
		if (!write_file("/proc/self/uid_map", map)) {
			snprintf(why, why_bytes, "uid_map: %s", strerror(errno));
			return false;
		}
		snprintf(map, sizeof(map), "0 %u 1", gid);
		write_file("/proc/self/gid_map", map);
	}
	/* No traffic of the kernel's own between the frames of a test. */
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	return true;
}

bool veth_privileged(void)
{
	return privileged;
}

void veth_run(const char *format, ...)
{
	char command[512];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	status = system(command);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("%s: failed", command);
}

/*
 * A new pair sends nothing until the kernel's link watch has seen its carrier; setting
 * flags that are set already waits for the lock that it holds while it does.
 */
static void wait_for_carrier(const char *ifname)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	for (int i = 0; i < CARRIER_POLLS; i++) {
		assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
		if (request.ifr_flags & IFF_RUNNING)
			break;
		nanosleep(&pause, NULL);
	}
	assert_true(request.ifr_flags & IFF_RUNNING);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

void veth_add(const char *near, const char *far, unsigned int mtu)
{
	veth_add_queues(near, far, mtu, 1);
}

void veth_add_queues(const char *near, const char *far, unsigned int mtu, unsigned int queues)
{
	veth_run("ip link add name %s mtu %u numtxqueues %u numrxqueues %u type veth "
		 "peer name %s mtu %u numtxqueues %u numrxqueues %u && "
		 "ip link set %s up && ip link set %s up",
		 near, mtu, queues, queues, far, mtu, queues, queues, near, far);
	wait_for_carrier(near);
	wait_for_carrier(far);
}

void veth_delete(const char *near)
{
	veth_run("ip link delete %s", near);
}

static uint32_t ethtool(const char *ifname, uint32_t command, uint32_t data)
{
	struct ethtool_value value = { .cmd = command, .data = data };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	request.ifr_data = (void *)&value;
	if (ioctl(fd, SIOCETHTOOL, &request))
		fail_msg("%s: ethtool command %u: %s", ifname, command, strerror(errno));
	close(fd);
	return value.data;
}

void veth_offloads_off(const char *ifname)
{
	ethtool(ifname, ETHTOOL_STSO, 0);
	ethtool(ifname, ETHTOOL_SGSO, 0);
	ethtool(ifname, ETHTOOL_STXCSUM, 0);
	ethtool(ifname, ETHTOOL_SSG, 0);
}

bool veth_has_tso(const char *ifname)
{
	return ethtool(ifname, ETHTOOL_GTSO, 0);
}

/* ---- the far end ---- */

int far_open(const char *ifname, uint16_t type, bool vnet_header)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(type ? type : 0x0003),
		.sll_ifindex = (int)if_nametoindex(ifname),
	};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1, bytes = FAR_BUFFER_BYTES;

	assert_true(fd >= 0 && address.sll_ifindex);
	wait_for_carrier(ifname);
	setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
	if (vnet_header)
		assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void far_send(int fd, const void *frame, size_t len)
{
	ssize_t n = send(fd, frame, len, 0);

	if (n != (ssize_t)len)
		fail_msg("far end: sending %zu bytes: %s", len, strerror(errno));
}

size_t far_receive(int fd, void *frame, size_t size, unsigned int timeout_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (poll(&poll_fd, 1, (int)timeout_ms) <= 0)
		return 0;
	n = recv(fd, frame, size, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0)
		return 0;
	assert_true((size_t)n <= size);
	return (size_t)n;
}

/* ---- patterns ---- */

static uint8_t pattern_byte(size_t at, uint32_t number)
{
	static const uint8_t ethernet[14] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff,           0x02,
		0,    0,    0,    0,    0x01, VETH_TYPE >> 8, VETH_TYPE & 0xff
	};
	uint32_t x = (uint32_t)at * 2654435761u ^ number * 0x9e3779b9u;

	if (at < sizeof(ethernet))
		return ethernet[at];
	x ^= x >> 15;
	x *= 0x2c1b3c6d;
	return (uint8_t)(x ^ x >> 12);
}

void pattern_fill(uint8_t *frame, size_t len, uint32_t number)
{
	for (size_t i = 0; i < len; i++)
		frame[i] = pattern_byte(i, number);
}

bool pattern_holds(const uint8_t *frame, size_t len, uint32_t number)
{
	for (size_t i = 0; i < len; i++)
		if (frame[i] != pattern_byte(i, number))
			return false;
	return true;
}
