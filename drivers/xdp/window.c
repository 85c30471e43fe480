/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which memory the socket has, and the change from one socket to the next.
 *
 * A UMEM is one range of memory and stays what it is. So the first channel begins
 * with a socket whose UMEM is the arena; when a guest's memory is to be lent from, a
 * second socket is made with the guest's window (arena first, then all regions),
 * which pins every page and takes its time, while the first carries on. Then they
 * change places:
 *
 *   1. the channel takes no more frames: copies leave through the port's other
 *      channels, and what can leave nowhere else waits or is dropped (dispatch.c). If nobody
 *      could send now, the port pauses: to wait for what is in flight, which is given
 *      DRAIN_MS, and for the kernel is no stall of the device;
 *   2. the XDP program's map forgets the socket, so that what arrives on this queue
 *      passes to the host (counted: rx_passed), and what has arrived is read (what is not
 *      in time is counted: rx_unread); then the worker lets go of the old socket, which is
 *      closed;
 *   3. the new one is bound. The kernel releases a queue some time after the close:
 *      until then bind says EBUSY, and is tried again;
 *   4. that bind succeeds is the proof that the kernel has let go of the old one (if that
 *      was another interface's, its queue there is tried): frames that had not been
 *      completed are over now, and reported as failed;
 *   5. the worker takes the new socket, all free buffers are filled in, and the
 *      XDP program's map points to it; a port that paused resumes.
 *
 * Other channels send and receive all the while. Where the kernel copies, it reads in the
 * worker's own calls only (sendto, and a look at the socket by epoll, which sends as well):
 * nothing is in use any more when the worker lets go, and takes the socket out of its epoll.
 * What was taken until then goes out, whoever has the queue; what was not is reported as failed.
 */
#include "xdp.h"

#include "contiguity.h"
#include "loop.h"
#include "xdp_rules.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <syslog.h>

/* For what is in flight when sockets change places; and where the kernel copies, so that all it has
   taken goes out anyway. */
#define DRAIN_MS       150u
#define DRAIN_COPY_MS  50u
/* For what has arrived to be read: the worker is seldom longer away. */
#define READ_MS        10u
/* For the kernel to unpin the pages of a closed socket. */
#define UNPIN_LIMIT_MS 500u

static uint64_t deadline_in(unsigned int ms)
{
	return gw_now_ns() + (uint64_t)ms * 1000000;
}

/* ---- on the worker ---- */

struct look {
	struct xdp_channel *ch;
	uint32_t out;
	uint32_t unread;
};

static void look_apply(void *arg)
{
	struct look *look = arg;
	struct xdp_channel *ch = look->ch;

	xdp_collect(ch->p);
	look->out = tx_out(ch);
	look->unread = rx_unread(ch);
	if (ch->xsk && xsk_invalid_seen(ch->xsk))
		gw_store_relaxed(&ch->broken, 1);
}

static uint32_t look_out(struct xdp_channel *ch)
{
	struct look look = { .ch = ch };

	gw_port_apply(ch->p->port, look_apply, &look);
	return look.out;
}

static uint32_t look_unread(struct xdp_channel *ch)
{
	struct look look = { .ch = ch };

	gw_port_apply(ch->p->port, look_apply, &look);
	return look.unread;
}

bool window_troubled(struct xdp_channel *ch)
{
	(void)look_out(ch);
	if (!ch->xsk)
		return !ch->index || ch->unreleased;
	return gw_load_relaxed(&ch->broken);
}

struct begin {
	struct xdp_channel *ch;
	bool alone; /* what it would have sent has no way now, and nobody else's is lent */
};

static void begin_apply(void *arg)
{
	struct begin *begin = arg;
	struct xdp_channel *ch = begin->ch;
	struct xdp_port *p = ch->p;
	bool lends = ch->tx.memmap != NULL, other = false;

	ch->changing = true;
	p->lenders -= lends;
	for (unsigned int i = 0; i < p->channel_count; i++)
		other |= channel_takes(&p->channel[i]);
	begin->alone = !other || (lends && !p->lenders);
}

static void end_apply(void *arg)
{
	struct xdp_channel *ch = arg;

	ch->changing = false;
}

static void detach_apply(void *arg)
{
	struct xdp_channel *ch = arg;

	watch_drop(ch);
	if (ch->reads == GW_READS_KERNEL_COPY)
		tx_settle(ch);
	xsk_count(ch->xsk, ch->counts);
	ch->counts[GW_DEVICE_RX_UNREAD] += rx_unread(ch);
	ch->xsk = NULL;
	ch->tx.memmap = NULL;
	ch->tx.behind = NULL;
	/* The first has to be there: the worker goes on asking for it. */
	if (ch->index)
		gw_store_relaxed(&ch->broken, 0);
}

static void abandon_apply(void *arg)
{
	tx_abandon(arg);
}

struct attach {
	struct xdp_channel *ch;
	struct xsk *xsk;
	struct gw_memmap *memmap;
};

static void attach_apply(void *arg)
{
	struct attach *attach = arg;
	struct xdp_channel *ch = attach->ch;

	tx_abandon(ch);
	ch->xsk = attach->xsk;
	watch_add(ch);
	ch->p->queue->fd[0].fd = ch->p->epoll_fd;
	ch->p->queue->fd[0].events = EPOLLIN;
	tx_attach(ch, attach->memmap);
	rx_attach(ch);
	ch->p->lenders += attach->memmap != NULL;
	ch->changing = false;
	gw_store_relaxed(&ch->broken, 0);
}

/* ---- the change ---- */

static void drain(struct xdp_channel *ch, uint64_t deadline_ns)
{
	while (look_out(ch) && gw_now_ns() < deadline_ns)
		bind_wait();
}

struct passed {
	struct xdp_channel *ch;
	uint64_t frames;
};

static void passed_apply(void *arg)
{
	const struct passed *passed = arg;

	passed->ch->counts[GW_DEVICE_RX_PASSED] += passed->frames;
}

/* The channel's queue receives for us again: what the host had meanwhile is counted. */
static void count_passed(struct xdp_channel *ch)
{
	struct passed passed = { ch, program_passed(&ch->p->program, ch->queue_index) };

	passed.frames -= ch->passed;
	if (ch->passes)
		gw_port_apply(ch->p->port, passed_apply, &passed);
	ch->passes = false;
}

/* No frame comes into the old socket any more, and what came is read. */
static void read_out(struct xdp_channel *ch)
{
	uint64_t end_ns = deadline_in(READ_MS), passed;

	if (!ch->p->receive || ch->p->program.link_fd < 0)
		return;
	passed = program_passed(&ch->p->program, ch->queue_index);
	if (program_forget(&ch->p->program, ch->queue_index))
		return;
	if (!ch->passes)
		ch->passed = passed;
	ch->passes = true;
	do
		bind_wait(); /* at least once: the kernel may be in the middle of a batch */
	while (look_unread(ch) && gw_now_ns() < end_ns);
}

/* Step 2 and, where the kernel copies, 4. */
static void old_away(struct xdp_channel *ch)
{
	struct gw_port *port = ch->p->port;
	struct xsk *old = ch->xsk;

	if (!old)
		return;
	(void)look_out(ch); /* completions of the last moment */
	gw_port_apply(port, detach_apply, ch);
	xsk_close(old);
	ch->mapped = NULL;
	ch->unreleased = look_out(ch) > 0;
}

/* The memory is pinned by now. Fragments of a packet are small pages of any memory. */
static uint32_t page_bytes_of(const struct xdp_channel *ch, struct gw_memmap *memmap)
{
	struct gw_window window;

	if (!memmap || ch->reads != GW_READS_DMA || ch->p->pages_apart)
		return CONTIGUOUS_BYTES_LEAST;
	gw_memmap_window(memmap, &window);
	return contiguity_of_window(&window);
}

/* That a queue of another interface can be bound proves nothing about the old one's. */
static int old_released(const struct xdp_channel *ch, uint64_t deadline_ns, struct gw_error *err)
{
	const struct xdp_port *p = ch->p;

	if (!ch->unreleased || ch->ifindex == p->netdev.ifindex ||
	    bind_released(ch, ch->ifindex, deadline_ns))
		return 0;
	return gw_error_set(err, -EBUSY,
			    "interface %s: the one that had this name before still holds frames, "
			    "in its queue %u",
			    gw_port_target(p->port), ch->queue_index);
}

static int new_in(struct xdp_channel *ch, struct xsk *xsk, struct gw_memmap *memmap, bool was_ours,
		  struct gw_error *err)
{
	struct attach attach = { .ch = ch, .xsk = xsk, .memmap = memmap };
	struct xdp_port *p = ch->p;
	unsigned int limit_ms = was_ours ? XDP_OWN_LIMIT_MS : XDP_BIND_LIMIT_MS;
	uint64_t deadline_ns = deadline_in(limit_ms);
	int rc = old_released(ch, deadline_ns, err);

	if (!rc)
		rc = bind_queue(ch, xsk, deadline_ns, err);
	if (rc)
		return rc;
	ch->ifindex = p->netdev.ifindex;
	ch->unreleased = false;
	ch->reads = rules_reads(&p->netdev, xsk->zerocopy);
	ch->page_bytes = page_bytes_of(ch, memmap);
	gw_port_apply(p->port, attach_apply, &attach);
	ch->mapped = memmap;
	if (p->receive && p->program.link_fd >= 0) {
		rc = program_point(&p->program, ch->queue_index, xsk->fd);
		if (rc)
			gw_port_log(p->port, LOG_ERR,
				    "XDP program not set to the socket (%s): nothing is "
				    "received",
				    strerror(-rc));
		count_passed(ch);
	}
	return 0;
}

static struct iovec umem_of(const struct xdp_port *p, struct gw_memmap *memmap)
{
	struct gw_window window;

	if (!memmap)
		return p->arena;
	gw_memmap_window(memmap, &window);
	return (struct iovec){ window.base, window.len };
}

/* The channel takes no more. True if the port should pause. */
static bool begin_change(struct xdp_channel *ch)
{
	struct begin begin = { .ch = ch };

	gw_port_apply(ch->p->port, begin_apply, &begin);
	return begin.alone;
}

/* The rest of step 1, and of step 2 all but the end. */
static void run_dry(struct xdp_channel *ch, unsigned int drain_ms)
{
	if (!ch->xsk)
		return;
	drain(ch, deadline_in(drain_ms));
	read_out(ch);
}

/*
 * The limit on locked memory may do for one socket where it does not for two at a
 * time: the old one goes first then. Not if it can never do.
 */
static bool limit_may_do(const struct xsk_config *config)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_MEMLOCK, &limit) && limit.rlim_cur >= config->umem.iov_len;
}

/* Opens when pages of sockets that were closed are not counted any more. */
static int open_patiently(const struct xsk_config *config, struct xsk **xsk, struct gw_error *err)
{
	uint64_t end_ns = deadline_in(UNPIN_LIMIT_MS);
	int rc;

	while ((rc = xsk_open(config, xsk, err)) == -ENOBUFS && limit_may_do(config) &&
	       gw_now_ns() < end_ns)
		bind_wait();
	return rc;
}

int window_set(struct xdp_channel *ch, struct gw_memmap *memmap, struct gw_error *err)
{
	struct xdp_port *p = ch->p;
	struct xsk_config config = { .umem = umem_of(p, memmap),
				     .tx_entries = p->tx_entries,
				     .rx_entries = ch->rx.count ? ch->rx.count : p->rx_entries,
				     .metadata = p->metadata };
	bool was_ours = ch->xsk || ch->unreleased;
	struct xsk *fresh;
	bool pause;
	int rc;

	rc = xsk_open(&config, &fresh, err);
	if (rc && (!was_ours || rc != -ENOBUFS || !limit_may_do(&config)))
		return rc;
	pause = begin_change(ch);
	if (pause)
		gw_port_pause(p->port);
	run_dry(ch, ch->reads == GW_READS_KERNEL_COPY ? DRAIN_COPY_MS : DRAIN_MS);
	old_away(ch);
	if (rc)
		rc = open_patiently(&config, &fresh, err);
	if (!rc) {
		rc = new_in(ch, fresh, memmap, was_ours, err);
		if (rc)
			xsk_close(fresh);
	}
	if (rc)
		gw_port_apply(p->port, end_apply, ch);
	if (pause)
		gw_port_resume(p->port);
	return rc;
}

/* The port's counters may end with it (a hand-over), so that this is said. */
static void say_unread(const struct xdp_channel *ch, uint64_t before)
{
	uint64_t unread = ch->counts[GW_DEVICE_RX_UNREAD] - before;

	if (unread)
		gw_port_log(ch->p->port, LOG_NOTICE,
			    "queue %u: %" PRIu64 " frames had come in and were not read when it "
			    "was closed (rx_unread)",
			    ch->queue_index, unread);
}

uint32_t window_clear(struct xdp_channel *ch, unsigned int limit_ms)
{
	uint64_t end_ns = deadline_in(limit_ms), unread;

	(void)begin_change(ch);
	run_dry(ch, limit_ms / 2);
	ch->passes = false; /* the queue is the host's now */
	/* The worker's, and what it has written is seen after begin_change. */
	unread = ch->counts[GW_DEVICE_RX_UNREAD];
	old_away(ch);
	say_unread(ch, unread);
	gw_port_apply(ch->p->port, end_apply, ch);
	if (ch->unreleased && bind_released(ch, ch->ifindex, end_ns)) {
		gw_port_apply(ch->p->port, abandon_apply, ch);
		ch->unreleased = false;
	}
	return ch->unreleased ? look_out(ch) : 0;
}
