/* SPDX-License-Identifier: BSD-2-Clause */
#include "kernel_cut.h"
#include "ip_frame.h"
#include "veth.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
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

/* The largest that a veth takes; the frames are as long as gso_size makes them. */
#define MTU       65535u
#define TAG_BYTES 4u
#define MAC_BYTES 12u

static int tap_fd = -1, peer_fd = -1;

static void open_tap(void)
{
	struct ifreq request = { .ifr_name = "kctap",
				 .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header_bytes = sizeof(struct virtio_net_hdr_v1), little_endian = 1;

	tap_fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	assert_true(tap_fd >= 0);
	assert_int_equal(ioctl(tap_fd, TUNSETIFF, &request), 0);
	assert_int_equal(ioctl(tap_fd, TUNSETVNETHDRSZ, &header_bytes), 0);
	assert_int_equal(ioctl(tap_fd, TUNSETVNETLE, &little_endian), 0);
}

bool kernel_cut_possible(void)
{
	return system("ip link add kcbr type bridge 2>/dev/null && ip link del kcbr") == 0;
}

void kernel_cut_open(void)
{
	int on = 1;

	open_tap();
	veth_add("kcveth", "kcpeer", MTU);
	veth_offloads_off("kcveth");
	/* No learning, no forward delay: what comes in at one port goes out at the other. */
	veth_run("ip link add kcbr type bridge stp_state 0 forward_delay 0 && "
		 "ip link set kctap master kcbr up && "
		 "ip link set kcveth master kcbr && ip link set kcbr up");
	peer_fd = far_open("kcpeer", 0, false);
	assert_int_equal(setsockopt(peer_fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
}

void kernel_cut_close(void)
{
	close(tap_fd);
	close(peer_fd);
	veth_run("ip link del kcbr");
	veth_delete("kcveth");
}

bool kernel_cut_send(const struct virtio_net_hdr_v1 *header, const uint8_t *bytes, uint32_t len)
{
	const struct iovec seg[] = { { (void *)header, sizeof(*header) }, { (void *)bytes, len } };
	ssize_t sent = writev(tap_fd, seg, 2);

	if (sent < 0 && errno != EINVAL)
		fail_msg("writing %u bytes to the tap: %s", len, strerror(errno));
	return sent >= 0;
}

/* The tag that the kernel took out is put back. */
static uint32_t put_tag_back(struct msghdr *message, uint8_t *bytes, uint32_t len)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	struct tpacket_auxdata aux;
	uint16_t tag[2];

	if (!c || c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
		return len;
	memcpy(&aux, CMSG_DATA(c), sizeof(aux));
	if (!(aux.tp_status & TP_STATUS_VLAN_VALID))
		return len;
	tag[0] = htons(aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : ETH_P_8021Q);
	tag[1] = htons(aux.tp_vlan_tci);
	memmove(bytes + MAC_BYTES + TAG_BYTES, bytes + MAC_BYTES, len - MAC_BYTES);
	memcpy(bytes + MAC_BYTES, tag, TAG_BYTES);
	return len + TAG_BYTES;
}

uint32_t kernel_cut_receive(uint8_t *bytes, size_t size, unsigned int timeout_ms)
{
	struct pollfd poll_fd = { .fd = peer_fd, .events = POLLIN };
	char control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct iovec seg = { bytes, size - TAG_BYTES };
	struct msghdr message;
	ssize_t len;

	for (;;) {
		message = (struct msghdr){ .msg_iov = &seg,
					   .msg_iovlen = 1,
					   .msg_control = control,
					   .msg_controllen = sizeof(control) };
		len = recvmsg(peer_fd, &message, MSG_DONTWAIT | MSG_TRUNC);
		if (len < 0 && (errno != EAGAIN || poll(&poll_fd, 1, (int)timeout_ms) <= 0))
			return 0;
		if (len < 0)
			continue;
		assert_true((size_t)len <= size - TAG_BYTES);
		/* The kernel's own: neighbours, groups. */
		if (memcmp(bytes + 6, IP_FRAME_SOURCE, 6) == 0)
			return put_tag_back(&message, bytes, (uint32_t)len);
	}
}
