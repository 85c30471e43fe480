/* SPDX-License-Identifier: BSD-2-Clause */
/* The far end of a device that ends at a network interface: a raw socket on it. */
#include "conformance.h"
#include "veth.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#define RECEIVE_BYTES (8 << 20)

struct interface {
	int fd;
	const char *name;
	int partial_fd; /* -1: not open */
};

/*
 * After its peer or its program has come, an interface drops what is sent through
 * it until the kernel's link watch has put its queue in place. Setting flags that
 * are set already waits for the lock that the link watch holds while it does so.
 */
static void wait_until_running(int fd, const char *name)
{
	uint64_t end_ms = host_now_ms() + DEADLINE_MS;
	struct ifreq request = { 0 };

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	do {
		if (host_now_ms() > end_ms)
			fail_msg("far end: interface %s has no carrier", name);
		poll(NULL, 0, 1);
		assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
	} while (!(request.ifr_flags & IFF_RUNNING));
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
}

static void *interface_open(const char *name)
{
	struct interface *interface = calloc(1, sizeof(*interface));
	/* By its EtherType: so neither what is sent from here nor the kernel's own traffic. */
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(CONFORMANCE_ETHERTYPE),
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int bytes = RECEIVE_BYTES;

	assert_non_null(interface);
	interface->name = name;
	interface->partial_fd = -1;
	if (!address.sll_ifindex)
		fail_msg("far end: no interface %s", name);
	interface->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_true(interface->fd >= 0);
	wait_until_running(interface->fd, name);
	setsockopt(interface->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	assert_int_equal(bind(interface->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return interface;
}

static void interface_close(void *far)
{
	struct interface *interface = far;

	close(interface->fd);
	if (interface->partial_fd >= 0)
		close(interface->partial_fd);
	free(interface);
}

static uint32_t interface_receive(void *far, uint8_t *bytes, size_t size, unsigned int timeout_ms)
{
	struct interface *interface = far;
	struct pollfd fd = { .fd = interface->fd, .events = POLLIN };
	ssize_t len;

	if (poll(&fd, 1, (int)timeout_ms) <= 0)
		return 0;
	len = recv(interface->fd, bytes, size, MSG_DONTWAIT | MSG_TRUNC);
	if (len < 0)
		fail_msg("far end: receive: %s", strerror(errno));
	assert_true((size_t)len <= size);
	return (uint32_t)len;
}

static void interface_send(void *far, const uint8_t *bytes, uint32_t len)
{
	struct interface *interface = far;
	ssize_t sent = send(interface->fd, bytes, len, 0);

	if (sent != (ssize_t)len)
		fail_msg("far end: send %u bytes: %s", len, strerror(errno));
}

/* A socket whose frames have the kernel's virtio-net header before them. */
static void interface_open_partial(void *far)
{
	struct interface *interface = far;

	interface->partial_fd = far_open(interface->name, 0, true);
}

static uint32_t interface_receive_partial(void *far, uint8_t *bytes, size_t size,
					  struct virtio_net_hdr_v1 *header, unsigned int timeout_ms)
{
	struct interface *interface = far;
	struct pollfd fd = { .fd = interface->partial_fd, .events = POLLIN };
	struct iovec seg[] = { { header, sizeof(struct virtio_net_hdr) }, { bytes, size } };
	ssize_t len;

	memset(header, 0, sizeof(*header));
	while (poll(&fd, 1, (int)timeout_ms) > 0) {
		len = readv(fd.fd, seg, 2) - (ssize_t)seg[0].iov_len;
		assert_true(len > (ssize_t)GW_FRAME_LEN_MIN && (size_t)len < size);
		/* All that is on this interface arrives: ours is wanted. */
		if (memcmp(bytes + ETH_ALEN, IP_FRAME_SOURCE, ETH_ALEN) == 0)
			return (uint32_t)len;
	}
	return 0;
}

static void interface_send_partial(void *far, const uint8_t *bytes, uint32_t len,
				   const struct virtio_net_hdr_v1 *header)
{
	struct interface *interface = far;
	const struct iovec seg[] = { { (void *)header, sizeof(struct virtio_net_hdr) },
				     { (void *)bytes, len } };
	ssize_t sent = writev(interface->partial_fd, seg, 2);

	if (sent != (ssize_t)(sizeof(struct virtio_net_hdr) + len))
		fail_msg("far end: send %u bytes: %s", len, strerror(errno));
}

const struct far_end far_end_interface = {
	.name = "interface",
	.open = interface_open,
	.close = interface_close,
	.receive = interface_receive,
	.send = interface_send,
	.open_partial = interface_open_partial,
	.receive_partial = interface_receive_partial,
	.send_partial = interface_send_partial,
};

/* A device that nobody is behind. */
const struct far_end far_end_none = { .name = "none" };
