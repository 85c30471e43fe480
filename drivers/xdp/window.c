/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which memory the socket has, and the change from one socket to the next.
 *
 * A UMEM is one range of memory and stays what it is. So the port begins with a
 * socket whose UMEM is the arena; when a guest's memory is to be lent from, a
 * second socket is made with the guest's window (arena first, then all regions),
 * which pins every page and takes its time, while the first carries on. Then they
 * change places:
 *
 *   1. the port pauses (no rx, no tx); what is in flight is given DRAIN_MS;
 *   2. the worker lets go of the old socket, which is closed;
 *   3. the new one is bound. The kernel releases a queue some time after the close:
 *      until then bind says EBUSY, and is tried again;
 *   4. that bind succeeds is the proof that the kernel has let go of the old one:
 *      frames that had not been completed are over now, and reported as failed;
 *   5. the worker takes the new socket, all free buffers are filled in, and the
 *      XDP program's map points to it; the port resumes.
 *
 * Where the kernel copies during sendto, 4 is true at the close already.
 */
#include "xdp.h"

#include "loop.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* For what is in flight when sockets change places. */
#define DRAIN_MS       50u
/* Between two looks, while a control thread waits for the kernel. */
#define WAIT_US        500u
/* For the kernel to unpin the pages of a closed socket. */
#define UNPIN_LIMIT_MS 500u
/* The smallest UMEM and rings that can be bound, to see whether a queue is free. */
#define PROBE_BYTES    (2 * XSK_CHUNK_BYTES)
#define PROBE_ENTRIES  2u

static uint64_t deadline_in(unsigned int ms)
{
	return gw_now_ns() + (uint64_t)ms * 1000000;
}

static void wait_a_little(void)
{
	const struct timespec pause = { .tv_nsec = WAIT_US * 1000 };

	nanosleep(&pause, NULL);
}

/* ---- on the worker ---- */

struct look {
	struct xdp_port *p;
	uint32_t out;
	bool invalid;
};

static void look_apply(void *arg)
{
	struct look *look = arg;

	tx_collect(look->p);
	look->out = tx_out(look->p);
	look->invalid = look->p->xsk && xsk_invalid_seen(look->p->xsk);
}

static uint32_t look_out(struct xdp_port *p)
{
	struct look look = { .p = p };

	gw_port_apply(p->port, look_apply, &look);
	return look.out;
}

bool window_troubled(struct xdp_port *p)
{
	struct look look = { .p = p };

	gw_port_apply(p->port, look_apply, &look);
	return !p->xsk || look.invalid || gw_load_relaxed(&p->broken);
}

static void detach_apply(void *arg)
{
	struct xdp_port *p = arg;

	p->xsk = NULL;
	p->queue->fd[0].fd = -1;
	p->tx.memmap = NULL;
}

static void abandon_apply(void *arg)
{
	tx_abandon(arg);
}

struct attach {
	struct xdp_port *p;
	struct xsk *xsk;
	struct gw_memmap *memmap;
};

static void attach_apply(void *arg)
{
	struct attach *attach = arg;
	struct xdp_port *p = attach->p;

	tx_abandon(p);
	p->xsk = attach->xsk;
	p->queue->fd[0].fd = p->xsk->fd;
	p->queue->fd[0].events = EPOLLIN | EPOLLOUT | EPOLLET;
	tx_attach(p, attach->memmap);
	rx_attach(p);
	gw_store_relaxed(&p->broken, 0);
}

/* ---- binding ---- */

static bool zerocopy_worth_trying(const struct xdp_port *p)
{
	if (p->bind != XDP_BIND_AUTO)
		return p->bind == XDP_BIND_ZEROCOPY;
	/* A refused attempt resets the link of some NICs: ask first where one can. */
	return p->netdev.zerocopy || !p->netdev.features_known;
}

/* From the best to the plainest, until one is accepted; -EBUSY until it is released. */
static int bind_best(struct xdp_port *p, struct xsk *xsk, uint64_t deadline_ns)
{
	static const unsigned int attempts[] = { XDP_ZEROCOPY | XDP_USE_SG, XDP_ZEROCOPY,
						 XDP_COPY | XDP_USE_SG, XDP_COPY };
	unsigned int i = 0;
	int rc = -EOPNOTSUPP;

	while (i < sizeof(attempts) / sizeof(attempts[0])) {
		bool zerocopy = attempts[i] & XDP_ZEROCOPY;

		if (zerocopy ? !zerocopy_worth_trying(p) : p->bind == XDP_BIND_ZEROCOPY) {
			i++;
			continue;
		}
		rc = xsk_bind(xsk, p->netdev.ifindex, p->queue_index, attempts[i]);
		if (!rc || rc == -ENODEV)
			return rc;
		if (rc != -EBUSY) {
			i++;
			continue;
		}
		if (gw_now_ns() >= deadline_ns)
			return rc;
		wait_a_little();
	}
	return rc;
}

static int bind_error(const struct xdp_port *p, int rc, struct gw_error *err)
{
	const char *ifname = gw_port_target(p->port);

	if (rc == -EBUSY)
		return gw_error_set(err, rc,
				    "interface %s, queue %u: another AF_XDP socket has it; take "
				    "another queue (queue=N) or stop that program",
				    ifname, p->queue_index);
	if (rc == -EINVAL)
		return gw_error_set(
			err, rc,
			"interface %s, queue %u: cannot be bound; is there such a queue "
			"(ethtool -l %s)?",
			ifname, p->queue_index, ifname);
	if (rc == -EOPNOTSUPP && p->bind == XDP_BIND_ZEROCOPY)
		return gw_error_set(err, rc,
				    "interface %s: driver %s has no AF_XDP zero-copy here; use "
				    "bind=auto or bind=copy",
				    ifname, p->netdev.driver);
	return gw_error_sys(err, rc, "interface %s, queue %u: binding the AF_XDP socket", ifname,
			    p->queue_index);
}

/*
 * How the device gets at the bytes. virtio_net alone sends the pages themselves in
 * copy mode, as page fragments (IFF_TX_SKB_NO_LINEAR), if its host takes them.
 */
static enum gw_reads reads_of(const struct xdp_port *p, const struct xsk *xsk)
{
	if (xsk->zerocopy)
		return GW_READS_DMA;
	if (!strcmp(p->netdev.driver, "virtio_net") && p->netdev.scatter_gather)
		return GW_READS_FRAGMENTS;
	return GW_READS_KERNEL_COPY;
}

/* True when the queue can be bound: nothing of a closed socket is in use any more. */
static bool queue_released(struct xdp_port *p, uint64_t deadline_ns)
{
	struct xsk_config config = { .tx_entries = PROBE_ENTRIES, .rx_entries = PROBE_ENTRIES };
	void *page =
		mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct xsk *probe;
	int rc = -EBUSY;

	if (page == MAP_FAILED)
		return false;
	config.umem.iov_base = page;
	config.umem.iov_len = PROBE_BYTES;
	if (!xsk_open(&config, &probe, NULL)) {
		while ((rc = xsk_bind(probe, p->netdev.ifindex, p->queue_index, XDP_COPY)) ==
			       -EBUSY &&
		       gw_now_ns() < deadline_ns)
			wait_a_little();
		xsk_close(probe);
	}
	munmap(page, PROBE_BYTES);
	return !rc || rc == -ENODEV;
}

/* ---- the change ---- */

static void drain(struct xdp_port *p, uint64_t deadline_ns)
{
	while (look_out(p) && gw_now_ns() < deadline_ns)
		wait_a_little();
}

/* Steps 2 and, if the copies are made, 4. */
static void old_away(struct xdp_port *p)
{
	struct xsk *old = p->xsk;

	if (!old)
		return;
	(void)look_out(p); /* completions of the last moment */
	gw_port_apply(p->port, detach_apply, p);
	xsk_close(old);
	if (p->reads == GW_READS_KERNEL_COPY)
		gw_port_apply(p->port, abandon_apply, p);
	p->mapped = NULL;
	p->unreleased = look_out(p) > 0;
}

static int new_in(struct xdp_port *p, struct xsk *xsk, struct gw_memmap *memmap,
		  struct gw_error *err)
{
	struct attach attach = { .p = p, .xsk = xsk, .memmap = memmap };
	int rc = bind_best(p, xsk, deadline_in(XDP_BIND_LIMIT_MS));

	if (rc)
		return bind_error(p, rc, err);
	p->unreleased = false;
	p->reads = reads_of(p, xsk);
	gw_port_apply(p->port, attach_apply, &attach);
	p->mapped = memmap;
	if (p->program.link_fd >= 0) {
		rc = program_point(&p->program, xsk->fd);
		if (rc)
			gw_port_log(p->port, LOG_ERR,
				    "XDP program not set to the socket (%s): nothing is "
				    "received",
				    strerror(-rc));
	}
	return 0;
}

static struct iovec umem_of(const struct xdp_port *p, struct gw_memmap *memmap)
{
	struct gw_window window;

	if (!memmap)
		return gw_port_arena(p->port);
	gw_memmap_window(memmap, &window);
	return (struct iovec){ window.base, window.len };
}

/* Step 1 and 2: the port is paused, and has no socket when this returns. */
static void pause_and_clear(struct xdp_port *p)
{
	gw_port_pause(p->port);
	drain(p, deadline_in(DRAIN_MS));
	old_away(p);
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
		wait_a_little();
	return rc;
}

int window_set(struct xdp_port *p, struct gw_memmap *memmap, struct gw_error *err)
{
	struct xsk_config config = { .umem = umem_of(p, memmap),
				     .tx_entries = p->tx_entries,
				     .rx_entries = p->rx_entries };
	struct xsk *fresh;
	int rc;

	rc = xsk_open(&config, &fresh, err);
	if (rc && (rc != -ENOBUFS || !limit_may_do(&config)))
		return rc;
	pause_and_clear(p);
	if (rc)
		rc = open_patiently(&config, &fresh, err);
	if (!rc) {
		rc = new_in(p, fresh, memmap, err);
		if (rc)
			xsk_close(fresh);
	}
	gw_port_resume(p->port);
	return rc;
}

uint32_t window_clear(struct xdp_port *p, unsigned int limit_ms)
{
	uint64_t end_ns = deadline_in(limit_ms);

	if (p->xsk)
		drain(p, deadline_in(limit_ms / 2));
	old_away(p);
	if (p->unreleased && queue_released(p, end_ns)) {
		gw_port_apply(p->port, abandon_apply, p);
		p->unreleased = false;
	}
	return p->unreleased ? look_out(p) : 0;
}
