/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back-end that does nothing: the ceiling of whoever makes the load.
 *
 *	ring_sink SOCKET...
 *	ring_sink --read SOCKET...
 *	ring_sink --pass SOCKET SOCKET
 *
 * Each chain that the guest transmits is given back as soon as it is seen. No descriptor's
 * address is read, no frame is looked at, nothing goes anywhere. What the built-in guest
 * reaches against it is the most that it can reach against any back-end; scripts/bench
 * prints no ratio where a back-end comes near that.
 *
 * With --read the descriptors of each chain are read, and the first cache line of the first
 * buffer, where header and addresses are. Nobody who forwards frames can do with less: what
 * this reaches is what the processors' caches let through, and the rest is the back-end's
 * own work. Split rings only.
 *
 * With --pass a chain that the first front-end transmits takes one along that the second has
 * for receiving: that one is used, too, and nothing is written into it.
 *
 * One front-end for each socket, one pair of queues each, and one thread, which spins while
 * any transmit ring runs. It ends when all front-ends have gone, and says then how many
 * chains it had:
 *
 *	{"frames":12345}
 *
 * It is no back-end to use: it trusts its guests, and has no receive path. Ring code is its
 * own, so that it costs what a ring costs, and not what ours does.
 */
#include "fd.h"
#include "message.h"
#include "sink_ring.h"
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
#define RX           0u
#define TX           1u
#define HOST_USO     56 /* newer than some kernel headers */
/* Visits to the ring between looks at the socket. */
#define GLANCE_TURNS 4096u
/*
 * After a visit that found nothing. One that looks again at once takes the cache line from
 * the guest while it is being written, and the guest is the slower for it.
 */
#define PAUSES       32u
#define BIT(n)       (1ull << (n))
#define FRONTS_MAX   64u
/* With --pass: what a receive buffer is said to have, a header and a short frame. */
#define PASSED_BYTES 72u
/* With --read: of each first buffer. */
#define READ_BYTES   64u

static const uint64_t offered = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_PACKED) |
				BIT(VIRTIO_F_IN_ORDER) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
				BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VIRTIO_NET_F_CSUM) |
				BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
				BIT(VIRTIO_NET_F_HOST_ECN) | BIT(HOST_USO);

struct region {
	uint64_t guest_addr, user_addr, size;
	uint8_t *host;
};

struct ring {
	struct sink_ring is;
	uint32_t base;
	struct message_vring_addr addr;
	bool kicked, enabled;
};

struct front {
	int listener, fd; /* fd: -1 before it has come, and when it has gone */
	bool gone;
	struct region regions[VHOST_USER_MAX_REGIONS];
	unsigned int region_count;
	struct ring rings[RINGS];
	uint64_t features;
	bool running[RINGS];
};

static struct front fronts[FRONTS_MAX];
static unsigned int front_count;
static uint64_t frames;
static bool pass, reads;
static uint64_t read_sum; /* so that what is read is read */

static void die(const char *what)
{
	fprintf(stderr, "ring_sink: %s\n", what);
	exit(1);
}

/* ---- what is done with rings ---- */

static bool has(const struct front *front, unsigned int feature)
{
	return front->features >> feature & 1;
}

static const void *translate_guest(const struct front *front, uint64_t addr)
{
	for (unsigned int i = 0; i < front->region_count; i++) {
		const struct region *r = &front->regions[i];

		if (addr - r->guest_addr < r->size)
			return r->host + (addr - r->guest_addr);
	}
	die("an address of a descriptor is in no region");
	return NULL;
}

static void read_bytes(const void *at, size_t bytes)
{
	const volatile uint64_t *word = at;

	for (size_t i = 0; i < bytes / sizeof(*word); i++)
		read_sum += word[i];
}

/* Chains of one descriptor, or of one that is indirect. */
static void read_chains(const struct front *front, const struct sink_ring *ring, uint16_t count)
{
	const struct vring_avail *avail = ring->driver;
	const struct vring_desc *desc = ring->desc, *first;

	for (uint16_t i = 0; i < count; i++) {
		first = &desc[avail->ring[(uint16_t)(ring->next + i) & (ring->size - 1)]];
		if (first->flags & VRING_DESC_F_INDIRECT) {
			uint32_t len = first->len;

			first = translate_guest(front, first->addr);
			read_bytes(first, len);
		}
		read_bytes(translate_guest(front, first->addr), READ_BYTES);
	}
}

static uint32_t take(struct front *front)
{
	struct sink_ring *ring = &front->rings[TX].is;
	uint16_t count;

	if (ring->packed)
		return sink_ring_take_packed(ring, has(front, VIRTIO_F_IN_ORDER));
	count = sink_ring_has(ring);
	if (reads)
		read_chains(front, ring, count);
	sink_ring_take(ring, count, 0);
	return count;
}

static uint32_t take_and_pass(struct front *from, struct front *to)
{
	struct sink_ring *tx = &from->rings[TX].is, *rx = &to->rings[RX].is;
	uint16_t count = sink_ring_has(tx), room = sink_ring_has(rx);

	count = count < room ? count : room;
	sink_ring_take(rx, count, PASSED_BYTES);
	sink_ring_take(tx, count, 0);
	return count;
}

/* ---- starting and stopping them ---- */

static void *translate(const struct front *front, uint64_t user_addr)
{
	for (unsigned int i = 0; i < front->region_count; i++) {
		const struct region *r = &front->regions[i];

		if (user_addr - r->user_addr < r->size)
			return r->host + (user_addr - r->user_addr);
	}
	die("an address of a ring is in no region");
	return NULL;
}

static void start(const struct front *front, struct ring *ring)
{
	ring->is.desc = translate(front, ring->addr.desc);
	ring->is.driver = translate(front, ring->addr.avail);
	ring->is.device = translate(front, ring->addr.used);
	ring->is.packed = has(front, VIRTIO_F_RING_PACKED);
	sink_ring_start(&ring->is, ring->base);
}

static void start_if_ready(struct front *front, unsigned int index)
{
	struct ring *ring = &front->rings[index];

	if (front->running[index] || !ring->kicked || !ring->enabled || !ring->addr.desc)
		return;
	start(front, ring);
	front->running[index] = true;
}

/* ---- messages ---- */

static void reply(const struct front *front, const struct message *m, const void *payload,
		  uint32_t size)
{
	uint8_t bytes[VHOST_USER_HEADER_BYTES + MESSAGE_PAYLOAD_MAX];
	size_t len = message_encode_reply(m->request, payload, size, bytes, sizeof(bytes));

	if (send(front->fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("cannot answer the front-end");
}

static void reply_u64(const struct front *front, const struct message *m, uint64_t value)
{
	reply(front, m, &value, sizeof(value));
}

static void set_memory(struct front *front, struct message *m)
{
	front->region_count = m->payload.memory.count;
	for (unsigned int i = 0; i < front->region_count; i++) {
		const struct message_region *r = &m->payload.memory.region[i];
		uint8_t *at = mmap(NULL, r->size + r->mmap_offset, PROT_READ | PROT_WRITE,
				   MAP_SHARED, m->fds[i], 0);

		if (at == MAP_FAILED)
			die("cannot map a region");
		front->regions[i] = (struct region){ r->guest_addr, r->user_addr, r->size,
						     at + r->mmap_offset };
	}
}

static struct ring *ring_at(struct front *front, uint64_t index)
{
	if (index >= RINGS)
		die("there is one pair of queues here");
	return &front->rings[index];
}

static void get_base(struct front *front, struct message *m)
{
	struct message_vring_state state = m->payload.state;
	struct ring *ring = ring_at(front, state.index);

	state.num = front->running[state.index] ? sink_ring_base(&ring->is) : ring->base;
	ring->kicked = front->running[state.index] = false;
	reply(front, m, &state, sizeof(state));
}

static void handle(struct front *front, struct message *m)
{
	const struct message_vring_state *state = &m->payload.state;

	switch (m->request) {
	case VHOST_USER_GET_FEATURES:
		reply_u64(front, m, pass || reads ? offered & ~BIT(VIRTIO_F_RING_PACKED) : offered);
		break;
	case VHOST_USER_SET_FEATURES:
		front->features = m->payload.u64;
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		reply_u64(front, m, 0);
		break;
	case VHOST_USER_SET_MEM_TABLE:
		set_memory(front, m);
		break;
	case VHOST_USER_SET_VRING_NUM:
		ring_at(front, state->index)->is.size = state->num;
		break;
	case VHOST_USER_SET_VRING_BASE:
		ring_at(front, state->index)->base = state->num;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		ring_at(front, m->payload.addr.index)->addr = m->payload.addr;
		break;
	case VHOST_USER_SET_VRING_KICK:
		ring_at(front, m->payload.u64 & VHOST_USER_VRING_IDX_MASK)->kicked = true;
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		ring_at(front, state->index)->enabled = state->num;
		break;
	case VHOST_USER_GET_VRING_BASE:
		get_base(front, m);
		break;
	default:
		break; /* owner, status, calls and errors: nobody is called */
	}
}

/* ---- the socket ---- */

/* With the descriptors that come beside the first byte. False: the front-end has gone. */
static bool receive(int fd, uint8_t *bytes, size_t len, struct message *m)
{
	char control[CMSG_SPACE(sizeof(int) * VHOST_USER_MAX_FDS)];
	struct iovec iov = { bytes, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t got = recvmsg(fd, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

	if (c && c->cmsg_type == SCM_RIGHTS && !m->fd_count) {
		m->fd_count = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(m->fds, CMSG_DATA(c), sizeof(int) * m->fd_count);
	}
	return got == (ssize_t)len;
}

static bool serve(struct front *front)
{
	uint8_t header[VHOST_USER_HEADER_BYTES], payload[MESSAGE_PAYLOAD_MAX];
	struct message m = { 0 };
	struct gw_error err = { 0 };
	uint32_t len;

	if (!receive(front->fd, header, sizeof(header), &m))
		return false;
	if (message_decode_header(header, &m, &len, &err) < 0)
		die(err.text);
	if (len && !receive(front->fd, payload, len, &m))
		return false;
	if (message_decode_payload(&m, payload, &err) < 0)
		die(err.text);
	handle(front, &m);
	message_drop_fds(&m);
	for (unsigned int i = 0; i < RINGS; i++)
		start_if_ready(front, i);
	return true;
}

static void come(struct front *front)
{
	front->fd = accept(front->listener, NULL, NULL);
	if (front->fd < 0)
		die(strerror(errno));
}

static void go(struct front *front)
{
	gw_fd_close(&front->fd);
	front->running[RX] = front->running[TX] = false;
	front->gone = true;
}

/* A message, or who comes or goes, of each socket that has something; wait: for ever. */
static void look_at_sockets(bool wait)
{
	struct pollfd fds[FRONTS_MAX];

	for (unsigned int i = 0; i < front_count; i++)
		fds[i] = (struct pollfd){ .fd = fronts[i].gone      ? -1
						: fronts[i].fd >= 0 ? fronts[i].fd
								    : fronts[i].listener,
					  .events = POLLIN };
	if (poll(fds, front_count, wait ? -1 : 0) <= 0)
		return;
	for (unsigned int i = 0; i < front_count; i++) {
		if (!fds[i].revents)
			continue;
		if (fronts[i].fd < 0)
			come(&fronts[i]);
		else if (!serve(&fronts[i]))
			go(&fronts[i]);
	}
}

static bool any_runs(void)
{
	if (pass)
		return fronts[0].running[TX] && fronts[1].running[RX];
	for (unsigned int i = 0; i < front_count; i++)
		if (fronts[i].running[TX])
			return true;
	return false;
}

static bool all_gone(void)
{
	for (unsigned int i = 0; i < front_count; i++)
		if (!fronts[i].gone)
			return false;
	return true;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

static uint32_t visit(void)
{
	uint32_t count = 0;

	if (pass)
		return take_and_pass(&fronts[0], &fronts[1]);
	for (unsigned int i = 0; i < front_count; i++)
		if (fronts[i].running[TX])
			count += take(&fronts[i]);
	return count;
}

static void spin(void)
{
	for (uint32_t turn = 1; turn % GLANCE_TURNS; turn++) {
		uint32_t count = visit();

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
	int first = 1;

	pass = argc > 1 && !strcmp(argv[1], "--pass");
	reads = argc > 1 && !strcmp(argv[1], "--read");
	first += pass || reads;
	front_count = (unsigned int)(argc - first);
	if (argc <= first || front_count > FRONTS_MAX || (pass && front_count != 2)) {
		fputs("usage: ring_sink [--read] SOCKET...\n"
		      "       ring_sink --pass SOCKET SOCKET\n",
		      stderr);
		return 2;
	}
	for (unsigned int i = 0; i < front_count; i++)
		fronts[i] = (struct front){ .listener = listen_at(argv[first + (int)i]), .fd = -1 };
	while (!all_gone()) {
		look_at_sockets(!any_runs());
		if (any_runs())
			spin();
	}
	for (unsigned int i = 0; i < front_count; i++)
		gw_fd_close(&fronts[i].listener);
	printf("{\"frames\":%" PRIu64 "}\n", frames);
	return 0;
}
