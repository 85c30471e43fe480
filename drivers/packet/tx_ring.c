/* SPDX-License-Identifier: BSD-2-Clause */
#include "tx_ring.h"
#include "atomic.h"
#include "fd.h"
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* Before the frame: the kernel reads from behind its own header (tpacket_parse_header). */
#define DATA_OFFSET       TPACKET_ALIGN(sizeof(struct tpacket2_hdr))
#define FRAME_OFFSET      (DATA_OFFSET + sizeof(struct virtio_net_hdr))
#define SLOT_BYTES_MIN    2048u
#define SLOT_BYTES_SUPER  65536u
#define BLOCK_BYTES_MIN   32768u
/* Payload and bookkeeping of what the kernel has of us at one time: two rings' worth. */
#define SNDBUF_PER_MEMORY 2u

static struct tpacket2_hdr *slot_at(const struct tx_ring *ring, uint32_t index)
{
	return (struct tpacket2_hdr *)(ring->memory + (size_t)index * ring->slot_bytes);
}

uint8_t *tx_ring_data(const struct tx_ring *ring, uint32_t index)
{
	return ring->memory + (size_t)index * ring->slot_bytes + FRAME_OFFSET;
}

/* The highest power of two that is not above. */
static uint32_t power_below(uint32_t count)
{
	return 1u << (31 - __builtin_clz(count));
}

/* Powers of two, so that slots fill blocks, blocks fill pages, and positions need no division. */
static struct tpacket_req geometry(const struct tx_ring_config *config)
{
	struct tpacket_req req = { .tp_frame_size =
					   config->super ? SLOT_BYTES_SUPER : SLOT_BYTES_MIN };
	uint32_t slots = config->slots;

	while (req.tp_frame_size < FRAME_OFFSET + config->max_len)
		req.tp_frame_size *= 2;
	if (slots > TX_RING_BYTES_MAX / req.tp_frame_size)
		slots = TX_RING_BYTES_MAX / req.tp_frame_size;
	if (slots < TX_RING_SLOTS_MIN)
		slots = TX_RING_SLOTS_MIN;
	slots = power_below(slots);
	req.tp_block_size =
		req.tp_frame_size > BLOCK_BYTES_MIN ? req.tp_frame_size : BLOCK_BYTES_MIN;
	req.tp_block_nr = slots / (req.tp_block_size / req.tp_frame_size);
	if (!req.tp_block_nr)
		req.tp_block_nr = 1;
	req.tp_frame_nr = req.tp_block_nr * (req.tp_block_size / req.tp_frame_size);
	return req;
}

static int set_options(int fd, const struct tx_ring_config *config, struct tpacket_req *req)
{
	int version = TPACKET_V2, on = 1, bypass = config->qdisc_bypass;
	int sndbuf = (int)(req->tp_frame_nr * req->tp_frame_size * SNDBUF_PER_MEMORY);

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof(sndbuf)))
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof(bypass)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_TX_RING, req, sizeof(*req)))
		return -errno;
	return 0;
}

static int map_and_bind(struct tx_ring *ring, const struct tx_ring_config *config)
{
	/* Protocol 0: it hears nothing, and the kernel reads each frame's own type. */
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_ifindex = config->ifindex };
	struct tpacket_req req = geometry(config);
	int ret = set_options(ring->fd, config, &req);
	void *memory;

	if (ret)
		return ret;
	ring->slots = req.tp_frame_nr;
	ring->slot_bytes = req.tp_frame_size;
	ring->len_max = req.tp_frame_size - FRAME_OFFSET;
	ring->memory_bytes = (size_t)req.tp_block_nr * req.tp_block_size;
	memory = mmap(NULL, ring->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	ring->memory = memory;
	if (bind(ring->fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	return 0;
}

int tx_ring_make(const struct tx_ring_config *config, struct tx_ring *ring)
{
	int ret;

	*ring = (struct tx_ring){ .fd = -1 };
	ring->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ring->fd < 0)
		return -errno;
	ret = map_and_bind(ring, config);
	if (ret)
		tx_ring_close(ring);
	return ret;
}

int tx_ring_open(struct gw_port *port, const struct tx_ring_config *config, struct tx_ring *ring,
		 struct gw_error *err)
{
	int ret = tx_ring_make(config, ring);

	if (ret == -EPERM)
		return gw_error_sys(err, ret,
				    "port %s: packet:%s: cannot make a packet socket; it takes "
				    "CAP_NET_RAW in this network namespace",
				    gw_port_name(port), gw_port_target(port));
	if (ret)
		return gw_error_sys(err, ret,
				    "port %s: cannot set up a transmit ring on interface %s",
				    gw_port_name(port), gw_port_target(port));
	return 0;
}

void tx_ring_close(struct tx_ring *ring)
{
	if (ring->memory)
		munmap(ring->memory, ring->memory_bytes);
	ring->memory = NULL;
	gw_fd_close(&ring->fd);
}

/*
 * Acquire: pairs with the kernel's store of the status behind its last access to
 * the slot. Without it we could write the next frame into one that is still read.
 */
enum slot_status tx_ring_status(const struct tx_ring *ring, uint32_t index)
{
	uint32_t status = gw_load_acquire(&slot_at(ring, index)->tp_status);

	if (status & TP_STATUS_WRONG_FORMAT)
		return SLOT_REFUSED;
	if (status & TP_STATUS_SENDING)
		return SLOT_SENDING;
	return status & TP_STATUS_SEND_REQUEST ? SLOT_WAITING : SLOT_IDLE;
}

/* Release: the kernel must see the frame's bytes and length before the mark. */
static void set_status(struct tx_ring *ring, uint32_t index, uint32_t status)
{
	gw_store_release(&slot_at(ring, index)->tp_status, status);
}

void tx_ring_mark(struct tx_ring *ring, uint32_t index, uint32_t len,
		  const struct virtio_net_hdr_v1 *header)
{
	struct virtio_net_hdr *out = (void *)((uint8_t *)slot_at(ring, index) + DATA_OFFSET);

	memcpy(out, header, sizeof(*out));
	/*
	 * The kernel copies so many bytes into the packet's linear part, where it wants the
	 * headers of a super-frame, and of others no more than it must.
	 */
	if (!header->gso_type || header->hdr_len > GW_HEADER_MAX || header->hdr_len > len)
		out->hdr_len = 0;
	slot_at(ring, index)->tp_len = (uint32_t)sizeof(*out) + len;
	set_status(ring, index, TP_STATUS_SEND_REQUEST);
}

void tx_ring_spoil(struct tx_ring *ring, uint32_t index)
{
	slot_at(ring, index)->tp_len = ring->slot_bytes;
	set_status(ring, index, TP_STATUS_SEND_REQUEST);
}

void tx_ring_unmark(struct tx_ring *ring, uint32_t index)
{
	set_status(ring, index, TP_STATUS_AVAILABLE);
}

void tx_ring_move(struct tx_ring *ring, uint32_t from, uint32_t to)
{
	uint32_t bytes = slot_at(ring, from)->tp_len;

	slot_at(ring, to)->tp_len = bytes;
	if (bytes < ring->slot_bytes) /* not spoilt */
		memcpy((uint8_t *)slot_at(ring, to) + DATA_OFFSET,
		       (uint8_t *)slot_at(ring, from) + DATA_OFFSET, bytes);
	tx_ring_unmark(ring, from);
	set_status(ring, to, TP_STATUS_SEND_REQUEST);
}

int tx_ring_kick(const struct tx_ring *ring)
{
	ssize_t sent;

	do
		sent = sendto(ring->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}
