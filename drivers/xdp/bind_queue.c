/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Binding a socket to a queue: the best mode that the interface takes, and, where that
 * is not zero-copy though its driver has it, why.
 */
#include "xdp.h"

#include "loop.h"
#include "xdp_rules.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <time.h>

/* Between two looks, while a control thread waits for the kernel. */
#define WAIT_US       500u
/* The smallest UMEM and rings that can be bound, to see whether a queue is free. */
#define PROBE_BYTES   (2 * XSK_CHUNK_BYTES)
#define PROBE_ENTRIES 2u

void bind_wait(void)
{
	const struct timespec pause = { .tv_nsec = WAIT_US * 1000 };

	nanosleep(&pause, NULL);
}

bool bind_zerocopy_wanted(const struct xdp_port *p)
{
	if (p->bind != XDP_BIND_AUTO)
		return p->bind == XDP_BIND_ZEROCOPY;
	return !p->metadata && !p->no_program && rules_zerocopy_worth_trying(&p->netdev);
}

/* Why a bind in zero-copy mode was refused, and what would change that. */
static void say_refusal(const struct xdp_port *p, int rc, char *text, size_t size)
{
	const struct netdev_info *netdev = &p->netdev;

	if (rc == -EINVAL && !netdev_platform_dma(netdev))
		snprintf(text, size,
			 "zero-copy refused: the device ignores the platform's DMA addresses "
			 "(in the VM's configuration: iommu_platform=on,disable-legacy=on)");
	else if (rc == -EINVAL && rules_zerocopy_mtu(netdev) != GW_YES)
		snprintf(text, size,
			 "zero-copy refused: MTU %u is too long for it (%u or less can do, %u or "
			 "less do with any driver)",
			 netdev->mtu, RULES_ZEROCOPY_MTU_MOST, RULES_ZEROCOPY_MTU_ANY);
	else
		snprintf(text, size, "zero-copy refused (%s)", strerror(-rc));
}

/* Once for each reason, and in the status as long as it lasts. */
static void note_copy_mode(struct xdp_port *p, int refused)
{
	char why[GW_ERROR_TEXT_BYTES] = "";

	/* Not asked for: start has said why, if the NIC could. */
	if (!refused && p->no_program)
		return;
	if (refused && p->netdev.zerocopy)
		say_refusal(p, refused, why, sizeof(why));
	if (why[0] && strcmp(why, p->why_copy) != 0)
		gw_port_log(p->port, LOG_NOTICE, "%s: copy mode: %s", gw_port_target(p->port), why);
	snprintf(p->why_copy, sizeof(p->why_copy), "%s", why);
}

static int bind_error(const struct xdp_channel *ch, int rc, struct gw_error *err)
{
	const struct xdp_port *p = ch->p;
	const char *ifname = gw_port_target(p->port);
	char why[GW_ERROR_TEXT_BYTES];

	if (rc == -EBUSY)
		return gw_error_set(err, rc,
				    "interface %s, queue %u: another AF_XDP socket has it; take "
				    "another queue (queue=N) or stop that program",
				    ifname, ch->queue_index);
	if (rc == -EINVAL && (p->bind != XDP_BIND_ZEROCOPY || ch->queue_index >= p->netdev.queues))
		return gw_error_set(
			err, rc,
			"interface %s, queue %u: cannot be bound; is there such a queue "
			"(ethtool -l %s)?",
			ifname, ch->queue_index, ifname);
	if (rc == -EOPNOTSUPP && p->bind == XDP_BIND_ZEROCOPY)
		return gw_error_set(err, rc,
				    "interface %s: driver %s has no AF_XDP zero-copy here; use "
				    "bind=auto or bind=copy",
				    ifname, p->netdev.driver);
	if (p->bind == XDP_BIND_ZEROCOPY) {
		say_refusal(p, rc, why, sizeof(why));
		return gw_error_set(err, rc, "interface %s: %s; or use bind=auto", ifname, why);
	}
	return gw_error_sys(err, rc, "interface %s, queue %u: binding the AF_XDP socket", ifname,
			    ch->queue_index);
}

/*
 * From the best to the plainest, until one is accepted; -EBUSY until it is released.
 * *refused: what zero-copy met, if it was tried.
 */
static int bind_best(const struct xdp_channel *ch, struct xsk *xsk, uint64_t deadline_ns,
		     int *refused)
{
	const struct xdp_port *p = ch->p;
	unsigned int i = 0;
	int rc = -EOPNOTSUPP;

	while (i < RULES_BIND_ATTEMPTS) {
		bool zerocopy = rules_bind_attempts[i] & XDP_ZEROCOPY;

		if (zerocopy ? !bind_zerocopy_wanted(p) : p->bind == XDP_BIND_ZEROCOPY) {
			i++;
			continue;
		}
		rc = xsk_bind(xsk, p->netdev.ifindex, ch->queue_index, rules_bind_attempts[i]);
		if (!rc || rc == -ENODEV)
			return rc;
		if (rc != -EBUSY) {
			if (zerocopy)
				*refused = rc;
			i++;
			continue;
		}
		if (gw_now_ns() >= deadline_ns)
			return rc;
		bind_wait();
	}
	return rc;
}

int bind_queue(struct xdp_channel *ch, struct xsk *xsk, uint64_t deadline_ns, struct gw_error *err)
{
	int refused = 0, rc = bind_best(ch, xsk, deadline_ns, &refused);

	if (rc)
		return bind_error(ch, rc, err);
	note_copy_mode(ch->p, xsk->zerocopy ? 0 : refused);
	return 0;
}

bool bind_released(const struct xdp_channel *ch, unsigned int ifindex, uint64_t deadline_ns)
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
		while ((rc = xsk_bind(probe, ifindex, ch->queue_index, XDP_COPY)) == -EBUSY &&
		       gw_now_ns() < deadline_ns)
			bind_wait();
		xsk_close(probe);
	}
	munmap(page, PROBE_BYTES);
	return !rc || rc == -ENODEV;
}
