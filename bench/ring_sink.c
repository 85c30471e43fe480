/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back-end that does nothing: the ceiling of whoever makes the load.
 *
 * Each chain that the guest transmits is given back as soon as it is seen. No descriptor's
 * address is read, no frame is looked at, nothing goes anywhere. What the built-in guest
 * reaches against it is the most that it can reach against any back-end; scripts/bench
 * prints no ratio where a back-end comes near that.
 *
 * One front-end, one pair of queues, one thread, which spins while the transmit ring runs.
 * It ends when its front-end goes, and says then how many chains it had:
 *
 *	{"frames":12345}
 *
 * It is no back-end to use: it trusts its guest, and has no receive path. Ring code is its
 * own, so that it costs what a ring costs, and not what ours does.
 */
#include "atomic.h"
#include "fd.h"
#include "message.h"
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RINGS        2u
#define TX           1u
#define AVAIL_BIT    (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT     (1u << VRING_PACKED_DESC_F_USED)
#define WRAP_SHIFT   VRING_PACKED_EVENT_F_WRAP_CTR
#define HOST_USO     56 /* newer than some kernel headers */
/* Visits to the ring between looks at the socket. */
#define GLANCE_TURNS 4096u
/*
 * After a visit that found nothing. One that looks again at once takes the cache line from
 * the guest while it is being written, and the guest is the slower for it.
 */
#define PAUSES       32u
#define BIT(n)       (1ull << (n))

static const uint64_t offered = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_PACKED) |
				BIT(VIRTIO_F_IN_ORDER) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
				BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VIRTIO_NET_F_CSUM) |
				BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
				BIT(VIRTIO_NET_F_HOST_ECN) | BIT(HOST_USO);

struct region {
	uint64_t user_addr, size;
	uint8_t *host;
};

struct ring {
	uint32_t size, base;
	struct message_vring_addr addr;
	bool kicked, enabled;
	uint16_t next; /* split: index; packed: slot */
	bool wrap;
	/* desc, avail and used of a split ring; a packed one, and its two events */
	void *desc, *driver, *device;
};

static struct region regions[VHOST_USER_MAX_REGIONS];
static unsigned int region_count;
static struct ring rings[RINGS];
static uint64_t features, frames;
static bool running;
static int front = -1;

static void die(const char *what)
{
	fprintf(stderr, "ring_sink: %s\n", what);
	exit(1);
}

/* ---- the rings ---- */

/* VIRTIO 1.2 section 2.7: what is available becomes used, in its order. */
static uint32_t take_split(struct ring *ring)
{
	const struct vring_avail *avail = ring->driver;
	struct vring_used *used = ring->device;
	uint16_t mask = (uint16_t)(ring->size - 1);
	uint16_t count = (uint16_t)(gw_load_acquire(&avail->idx) - ring->next);

	for (uint16_t i = 0; i < count; i++, ring->next++)
		used->ring[ring->next & mask] =
			(struct vring_used_elem){ .id = avail->ring[ring->next & mask] };
	if (count)
		gw_store_release(&used->idx, ring->next);
	return count;
}

static bool is_available(const struct ring *ring, uint16_t flags)
{
	return !!(flags & AVAIL_BIT) == ring->wrap && !!(flags & USED_BIT) != ring->wrap;
}

static void step(struct ring *ring)
{
	if (++ring->next == ring->size) {
		ring->next = 0;
		ring->wrap = !ring->wrap;
	}
}

/* To the end of a chain; its id is in the last descriptor (2.8.6). */
static uint16_t pass_chain(struct ring *ring, const struct vring_packed_desc *desc)
{
	uint16_t flags, id;

	do {
		flags = desc[ring->next].flags;
		id = desc[ring->next].id;
		step(ring);
	} while (flags & VRING_DESC_F_NEXT);
	return id;
}

static void put_used(struct vring_packed_desc *desc, uint16_t id, bool wrap)
{
	desc->id = id;
	desc->len = 0;
	gw_store_release(&desc->flags, wrap ? AVAIL_BIT | USED_BIT : 0);
}

/* 2.8: with IN_ORDER one used element stands for all chains of a visit. */
static uint32_t take_packed(struct ring *ring)
{
	struct vring_packed_desc *desc = ring->desc;
	bool in_order = features >> VIRTIO_F_IN_ORDER & 1;
	uint32_t count = 0;
	uint16_t first = ring->next, id = 0;
	bool first_wrap = ring->wrap;

	while (count < ring->size && is_available(ring, gw_load_acquire(&desc[ring->next].flags))) {
		uint16_t slot = ring->next;
		bool wrap = ring->wrap;

		id = pass_chain(ring, desc);
		if (!in_order)
			put_used(&desc[slot], id, wrap);
		count++;
	}
	if (count && in_order)
		put_used(&desc[first], id, first_wrap);
	return count;
}

static bool is_packed(void)
{
	return features >> VIRTIO_F_RING_PACKED & 1;
}

/* ---- starting and stopping them ---- */

static void *translate(uint64_t user_addr)
{
	for (unsigned int i = 0; i < region_count; i++)
		if (user_addr - regions[i].user_addr < regions[i].size)
			return regions[i].host + (user_addr - regions[i].user_addr);
	die("an address of a ring is in no region");
	return NULL;
}

/* Nobody has to kick: we look all the time. */
static void refuse_kicks(struct ring *ring)
{
	if (is_packed())
		((struct vring_packed_desc_event *)ring->device)->flags =
			VRING_PACKED_EVENT_FLAG_DISABLE;
	else
		((struct vring_used *)ring->device)->flags = VRING_USED_F_NO_NOTIFY;
}

static void start(struct ring *ring)
{
	ring->desc = translate(ring->addr.desc);
	ring->driver = translate(ring->addr.avail);
	ring->device = translate(ring->addr.used);
	ring->next = (uint16_t)ring->base;
	if (is_packed()) {
		ring->wrap = ring->base >> WRAP_SHIFT & 1;
		ring->next &= BIT(WRAP_SHIFT) - 1;
	}
	refuse_kicks(ring);
}

static void start_if_ready(void)
{
	struct ring *ring = &rings[TX];

	if (running || !ring->kicked || !ring->enabled || !ring->addr.desc)
		return;
	start(ring);
	running = true;
}

/* As GET_VRING_BASE has it: an index, or a slot with its wrap counter, twice. */
static uint32_t base_of(const struct ring *ring)
{
	uint32_t base = ring->next;

	if (!is_packed())
		return base;
	base |= (uint32_t)ring->wrap << WRAP_SHIFT;
	return base | base << 16;
}

/* ---- messages ---- */

static void reply(const struct message *m, const void *payload, uint32_t size)
{
	uint8_t bytes[VHOST_USER_HEADER_BYTES + MESSAGE_PAYLOAD_MAX];
	size_t len = message_encode_reply(m->request, payload, size, bytes, sizeof(bytes));

	if (send(front, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("cannot answer the front-end");
}

static void reply_u64(const struct message *m, uint64_t value)
{
	reply(m, &value, sizeof(value));
}

static void set_memory(struct message *m)
{
	region_count = m->payload.memory.count;
	for (unsigned int i = 0; i < region_count; i++) {
		const struct message_region *r = &m->payload.memory.region[i];
		uint8_t *at = mmap(NULL, r->size + r->mmap_offset, PROT_READ | PROT_WRITE,
				   MAP_SHARED, m->fds[i], 0);

		if (at == MAP_FAILED)
			die("cannot map a region");
		regions[i] = (struct region){ r->user_addr, r->size, at + r->mmap_offset };
	}
}

static void get_base(struct message *m)
{
	struct message_vring_state state = m->payload.state;
	const struct ring *ring = &rings[state.index];

	if (running && state.index == TX) {
		state.num = base_of(ring);
		rings[TX].kicked = running = false;
	} else {
		state.num = ring->base;
	}
	reply(m, &state, sizeof(state));
}

static struct ring *ring_at(uint64_t index)
{
	if (index >= RINGS)
		die("there is one pair of queues here");
	return &rings[index];
}

static void handle(struct message *m)
{
	const struct message_vring_state *state = &m->payload.state;

	switch (m->request) {
	case VHOST_USER_GET_FEATURES:
		reply_u64(m, offered);
		break;
	case VHOST_USER_SET_FEATURES:
		features = m->payload.u64;
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		reply_u64(m, 0);
		break;
	case VHOST_USER_SET_MEM_TABLE:
		set_memory(m);
		break;
	case VHOST_USER_SET_VRING_NUM:
		ring_at(state->index)->size = state->num;
		break;
	case VHOST_USER_SET_VRING_BASE:
		ring_at(state->index)->base = state->num;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		ring_at(m->payload.addr.index)->addr = m->payload.addr;
		break;
	case VHOST_USER_SET_VRING_KICK:
		ring_at(m->payload.u64 & VHOST_USER_VRING_IDX_MASK)->kicked = true;
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		ring_at(state->index)->enabled = state->num;
		break;
	case VHOST_USER_GET_VRING_BASE:
		ring_at(state->index);
		get_base(m);
		break;
	default:
		break; /* owner, status, calls and errors: nobody is called */
	}
}

/* ---- the socket ---- */

/* With the descriptors that come beside the first byte. False: the front-end has gone. */
static bool receive(uint8_t *bytes, size_t len, struct message *m)
{
	char control[CMSG_SPACE(sizeof(int) * VHOST_USER_MAX_FDS)];
	struct iovec iov = { bytes, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(front, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	if (c && c->cmsg_type == SCM_RIGHTS && !m->fd_count) {
		m->fd_count = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(m->fds, CMSG_DATA(c), sizeof(int) * m->fd_count);
	}
	return got == (ssize_t)len;
}

static bool serve(void)
{
	uint8_t header[VHOST_USER_HEADER_BYTES], payload[MESSAGE_PAYLOAD_MAX];
	struct message m = { 0 };
	struct gw_error err = { 0 };
	uint32_t len;

	if (!receive(header, sizeof(header), &m))
		return false;
	if (message_decode_header(header, &m, &len, &err) < 0)
		die(err.text);
	if (len && !receive(payload, len, &m))
		return false;
	if (message_decode_payload(&m, payload, &err) < 0)
		die(err.text);
	handle(&m);
	message_drop_fds(&m);
	start_if_ready();
	return true;
}

static bool socket_silent(void)
{
	struct pollfd fd = { .fd = front, .events = POLLIN };

	return poll(&fd, 1, 0) == 0;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

static void spin(struct ring *ring)
{
	uint32_t (*take)(struct ring * ring) = is_packed() ? take_packed : take_split;

	for (uint32_t turn = 1; turn % GLANCE_TURNS || socket_silent(); turn++) {
		uint32_t count = take(ring);

		frames += count;
		for (unsigned int i = 0; !count && i < PAUSES; i++)
			relax();
	}
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		die("the path of the socket is too long");
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0)
		die(strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	int fd;

	if (argc != 2) {
		fprintf(stderr, "usage: ring_sink SOCKET\n");
		return 2;
	}
	fd = listen_at(argv[1]);
	front = accept(fd, NULL, NULL);
	gw_fd_close(&fd);
	if (front < 0)
		die(strerror(errno));
	while (serve())
		if (running)
			spin(&rings[TX]);
	gw_fd_close(&front);
	printf("{\"frames\":%" PRIu64 "}\n", frames);
	return 0;
}
