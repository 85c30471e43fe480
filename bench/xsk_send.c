/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A bare AF_XDP sender: the ceiling of an interface in copy mode.
 *
 *	xsk_send [--fed CPU PIECES [--write]] IFNAME FRAME_BYTES SECONDS WARM_UP_SECONDS
 *
 * No guest, no ring but the kernel's: descriptors of frames that were written once go round,
 * and nothing else is done. What a back-end adds to that is what it costs. Frames lie in
 * ordinary memory, registered as drivers/xdp registers a guest's (any address), and all that
 * the kernel is told is what that driver tells it: the length of the ring, descriptors for a
 * call, descriptors that one call may work off, room for frames in flight. A frame longer than
 * a page takes several descriptors.
 *
 * With --fed, frames are made available on another processor (xsk_feed.h), in so many pieces;
 * with --write their bytes are written there, too.
 *
 * It waits until its standard input is closed, sends, waits for the last completion, and says
 *
 *	{"sent": N, "sent_bytes": N, "steady": {"completed_per_second": X}}
 *
 * Ring code is its own, so that it measures the kernel, and not ours.
 */
#include "atomic.h"
#include "fd.h"
#include "xsk_feed.h"
#include <errno.h>
#include <inttypes.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Newer than some kernel headers: Linux 6.6 and 6.18. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif
#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

/* As drivers/xdp has them. */
#define RING         2048u
#define BATCH        64u
#define CALL_BUDGET  256
#define SNDBUF_BYTES (4 << 20)
#define CHUNK_BYTES  4096u
#define FILL_RING    64u /* nothing is received, but the kernel wants one */

#define PARTS_MAX (FEED_PIECES_MAX + 2) /* descriptors of a frame */

#define FRAME_MIN  14u
#define FRAME_MAX  9014u
#define FRAMES     FEED_FRAMES
#define ETHERTYPE  0x88b5 /* for local experiments: the far end has no use for it */
#define NS_PER_S   1000000000ll
#define STUCK_NS   (5 * NS_PER_S)
#define BIND_TRIES 100u
#define BIND_NS    20000000l

struct ring {
	uint32_t *producer, *consumer, *flags;
	void *entry;
	uint32_t at; /* ours: produced or consumed */
};

static struct ring tx, completions;
static uint8_t *frames;
static size_t frames_bytes, stride;
static uint32_t frame_len;
static uint64_t sent, home;        /* frames */
static uint64_t put, completed;    /* descriptors */
static uint64_t put_until[FRAMES]; /* with which a frame ends */
static struct feed_shape fed;      /* pieces: 0: nobody feeds us */
static struct feed *feed;
static uint32_t fed_at, fed_cpu;
static int fd = -1;

static void die(const char *what)
{
	fprintf(stderr, "xsk_send: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- before it begins ---- */

/* Each in its own place, one behind the other; 64 MiB of jumbo frames are no cache's. */
static void make_frames(void)
{
	static const uint8_t head[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* to all */
		0x52, 0x57, 0,    0,    0,    1,    ETHERTYPE >> 8, ETHERTYPE & 0xff
	};

	stride = (frame_len + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_BYTES;
	frames_bytes = fed.pieces ? feed_bytes(&fed) : FRAMES * stride;
	frames =
		mmap(NULL, frames_bytes, PROT_READ | PROT_WRITE,
		     (fed.pieces ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (frames == MAP_FAILED)
		die("memory for frames");
	if (fed.pieces)
		return;
	for (size_t i = 0; i < frames_bytes; i++)
		frames[i] = (uint8_t)(i * 31 + i / stride);
	for (uint32_t i = 0; i < FRAMES; i++)
		memcpy(frames + i * stride, head, sizeof(head));
}

static void set(int option, const void *value, socklen_t len, const char *what)
{
	if (setsockopt(fd, SOL_XDP, option, value, len))
		die(what);
}

static void map_ring(struct ring *ring, const struct xdp_ring_offset *offset, uint32_t entries,
		     size_t entry_bytes, off_t page)
{
	uint8_t *map = mmap(NULL, offset->desc + entries * entry_bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE, fd, page);

	if (map == MAP_FAILED)
		die("a ring of the socket");
	ring->producer = (uint32_t *)(map + offset->producer);
	ring->consumer = (uint32_t *)(map + offset->consumer);
	ring->flags = (uint32_t *)(map + offset->flags);
	ring->entry = map + offset->desc;
}

static void open_socket(void)
{
	struct xdp_umem_reg reg = { .addr = (uintptr_t)frames,
				    .len = frames_bytes,
				    .chunk_size = CHUNK_BYTES,
				    .flags = XDP_UMEM_UNALIGNED_CHUNK_FLAG };
	uint32_t ring = RING, fill = FILL_RING;
	int budget = CALL_BUDGET, bytes = SNDBUF_BYTES;
	struct xdp_mmap_offsets at;
	socklen_t len = sizeof(at);

	fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		die("AF_XDP socket");
	set(XDP_UMEM_REG, &reg, sizeof(reg), "registering the frames");
	set(XDP_UMEM_FILL_RING, &fill, sizeof(fill), "fill ring");
	set(XDP_UMEM_COMPLETION_RING, &ring, sizeof(ring), "completion ring");
	set(XDP_TX_RING, &ring, sizeof(ring), "transmit ring");
	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &len))
		die("offsets of the rings");
	map_ring(&tx, &at.tx, RING, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
	map_ring(&completions, &at.cr, RING, sizeof(uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING);
	/* Only for speed, as in drivers/xdp. */
	(void)setsockopt(fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
}

static void bind_to(const char *ifname)
{
	struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = XDP_COPY | XDP_USE_NEED_WAKEUP,
		.sxdp_ifindex = if_nametoindex(ifname),
	};
	const struct timespec nap = { .tv_nsec = BIND_NS };

	if (frame_len > CHUNK_BYTES)
		address.sxdp_flags |= XDP_USE_SG;
	/* Whoever had the queue before lets go of it a little after his end. */
	for (unsigned int i = 0; i < BIND_TRIES; i++) {
		if (!bind(fd, (struct sockaddr *)&address, sizeof(address)))
			return;
		if (errno != EBUSY)
			break;
		nanosleep(&nap, NULL);
	}
	die(ifname);
}

/* ---- sending ---- */

static bool reap(void)
{
	uint32_t count = gw_load_acquire(completions.producer) - completions.at;

	completions.at += count;
	gw_store_release(completions.consumer, completions.at);
	completed += count;
	for (; home < sent && put_until[home % FRAMES] <= completed; home++)
		;
	if (feed)
		gw_store_release(&feed->home, (uint32_t)home);
	return count;
}

/* A piece of a frame, in as many descriptors as it takes. */
static void put_piece(uint64_t at, uint32_t left, bool more)
{
	struct xdp_desc *desc = tx.entry;

	for (; left; at += CHUNK_BYTES, put++) {
		uint32_t len = left < CHUNK_BYTES ? left : CHUNK_BYTES;

		left -= len;
		desc[tx.at++ % RING] = (struct xdp_desc){
			.addr = at, .len = len, .options = left || more ? XDP_PKT_CONTD : 0
		};
	}
}

static bool put_fed(void)
{
	const struct feed_entry *entry;

	if (gw_load_acquire(&feed->available) == fed_at)
		return false;
	do {
		entry = &feed->entry[fed_at++ % FEED_ENTRIES];
		put_piece(entry->at, entry->len, entry->more);
	} while (entry->more);
	return true;
}

static bool put_frame(void)
{
	if (!feed)
		put_piece(sent % FRAMES * stride, frame_len, false);
	else if (!put_fed())
		return false;
	put_until[sent++ % FRAMES] = put;
	return true;
}

static bool has_room(void)
{
	return sent - home < FRAMES && put - completed <= RING - PARTS_MAX;
}

static uint32_t put_batch(void)
{
	uint32_t count = 0;

	while (count < BATCH && has_room() && put_frame())
		count++;
	gw_store_release(tx.producer, tx.at);
	return count;
}

static void call_kernel(void)
{
	if (!(gw_load_relaxed(tx.flags) & XDP_RING_NEED_WAKEUP))
		return;
	if (sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN && errno != EBUSY &&
	    errno != ENOBUFS)
		die("sendto");
}

struct point {
	int64_t ns;
	uint64_t frames;
};

static struct point point_now(void)
{
	return (struct point){ now_ns(), home };
}

/* Descriptors that the kernel refuses are no frames. */
static void check_statistics(void)
{
	struct xdp_statistics statistics = { 0 };
	socklen_t len = sizeof(statistics);

	errno = EIO;
	if (!getsockopt(fd, SOL_XDP, XDP_STATISTICS, &statistics, &len) &&
	    statistics.tx_invalid_descs)
		die("the kernel has found descriptors invalid");
}

static void drain(void)
{
	int64_t last_ns = now_ns();

	while (home < sent) {
		call_kernel();
		if (reap())
			last_ns = now_ns();
		errno = ETIME;
		if (now_ns() - last_ns > STUCK_NS)
			die("frames do not complete");
	}
}

static void report(const struct point *from, const struct point *to)
{
	double time_s = (double)(to->ns - from->ns) / (double)NS_PER_S;

	printf("{\"sent\": %" PRIu64 ", \"sent_bytes\": %" PRIu64 ", \"steady\": ", sent,
	       sent * frame_len);
	if (time_s > 0)
		printf("{\"completed_per_second\": %.0f}}\n",
		       (double)(to->frames - from->frames) / time_s);
	else
		printf("null}\n");
}

static void run(double seconds, double warm_up_s)
{
	int64_t warm_ns = now_ns() + (int64_t)(warm_up_s * (double)NS_PER_S);
	int64_t end_ns = warm_ns + (int64_t)(seconds * (double)NS_PER_S);
	struct point from = { 0 }, to;

	if (fed.pieces && !(feed = feed_start(&fed, frames, fed_cpu)))
		die("who makes frames available");
	do {
		if (put_batch())
			call_kernel();
		reap();
		to = point_now();
		if (!from.ns && to.ns >= warm_ns)
			from = to;
	} while (to.ns < end_ns);
	drain();
	check_statistics();
	report(&from, &to);
}

static void wait_for_word(void)
{
	char byte;

	fputs("ready\n", stderr);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

/* How many words they are. */
static int options(int argc, char **argv)
{
	int count = 0;

	if (argc > 4 && !strcmp(argv[1], "--fed")) {
		fed_cpu = (uint32_t)strtoul(argv[2], NULL, 10);
		fed.pieces = (uint32_t)strtoul(argv[3], NULL, 10);
		fed.writes = !strcmp(argv[4], "--write");
		count = fed.writes ? 4 : 3;
	}
	if (argc - count == 5 && fed.pieces < FEED_PIECES_MAX)
		return count;
	fputs("usage: xsk_send [--fed CPU PIECES [--write]] IFNAME FRAME_BYTES SECONDS "
	      "WARM_UP_SECONDS\n",
	      stderr);
	exit(2);
}

int main(int argc, char **argv)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	double seconds, warm_up_s;

	argv += options(argc, argv);
	frame_len = fed.frame_len = (uint32_t)strtoul(argv[2], NULL, 10);
	seconds = atof(argv[3]);
	warm_up_s = atof(argv[4]);
	if (frame_len < FRAME_MIN || frame_len > FRAME_MAX || seconds <= 0 || warm_up_s < 0) {
		fprintf(stderr, "xsk_send: frames of %u to %u bytes, for some time\n", FRAME_MIN,
			FRAME_MAX);
		return 2;
	}
	setrlimit(RLIMIT_MEMLOCK, &all);
	make_frames();
	open_socket();
	bind_to(argv[1]);
	wait_for_word();
	run(seconds, warm_up_s);
	gw_fd_close(&fd);
	return 0;
}
