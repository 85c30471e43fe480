/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who wakes whom. The guest wakes the worker by kick descriptors, which are in the epoll set
 * that it sleeps on. The worker wakes the guest and the front-end by descriptors of theirs,
 * and control by the port's own (event_fd).
 */
#include "guest.h"

#include "fd.h"
#include "log.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* ---- kick descriptors: any thread may change an epoll set ---- */

void wake_watch(const struct gw_queue *queue, int fd)
{
	const struct guest_queue *own = queue->priv;
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	if (fd >= 0 && epoll_ctl(own->kick_fd, EPOLL_CTL_ADD, fd, &event) && errno != EEXIST)
		gw_port_log(queue->port, LOG_ERR, "cannot watch a kick descriptor: %s",
			    strerror(errno));
}

/* The front-end has a copy of it, so that closing ours would not take it out. */
void wake_forget(const struct gw_queue *queue, int fd)
{
	const struct guest_queue *own = queue->priv;
	struct epoll_event event = { 0 };

	if (fd >= 0)
		epoll_ctl(own->kick_fd, EPOLL_CTL_DEL, fd, &event);
}

/* ---- the worker ---- */

void guest_signal(struct gw_queue *queue, int *fd, int event_fd)
{
	struct guest_queue *own = queue->priv;

	if (*fd < 0 || !gw_eventfd_signal(*fd))
		return;
	*fd = -1;
	gw_store_release(&own->guest->blocked, 1u);
	gw_eventfd_signal(event_fd);
}

void guest_tell_broken(struct gw_queue *queue, struct ring *ring, const char *which,
		       unsigned int pair, bool *told, int *err_fd, int event_fd)
{
	enum ring_fault fault = ring_fault(ring);

	if (*told)
		return;
	*told = true;
	if (fault != RING_FAULT_NONE)
		gw_port_log(queue->port, LOG_WARNING,
			    "the guest broke a rule on its %s ring %u (%s): %s; the ring is "
			    "ignored until it is started anew",
			    which, pair, ring_fault_name(fault), ring_fault_text(fault));
	guest_signal(queue, err_fd, event_fd);
	gw_eventfd_signal(event_fd);
}

/* One ring: true if there is work. What waits for an address, or is broken, is not asked. */
static bool arm_ring(struct ring *ring, bool wanted, bool polled, unsigned int *poll_us)
{
	if (!wanted) {
		ring_no_kick(ring);
		return false;
	}
	if (polled)
		*poll_us = GUEST_POLL_US;
	return ring_want_kick(ring);
}

/* Behind an IOMMU the first buffers are news too, when nothing waits for them yet. */
static bool arm_receiver(struct receiver *receiver, unsigned int wants, unsigned int *poll_us)
{
	bool work = arm_ring(receiver->ring, wants & GW_WANT_TX, receiver->kick_fd < 0, poll_us);

	if (!receiver->iommu)
		return work;
	if (ring_look_short(receiver->ring))
		ring_want_kick_ahead(receiver->ring);
	receiver_look(receiver);
	return work;
}

bool wake_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us)
{
	struct guest_queue *own = queue->priv;
	bool work = wants & GW_WANT_RX && own->announcement;

	for (unsigned int i = 0; i < own->lending_count; i++) {
		struct lender *lender = own->lending[i];

		if (!lender->stopping && !lender->parted && !lender->told && !lender->asking)
			work |= arm_ring(lender->ring, wants & GW_WANT_RX, lender->kick_fd < 0,
					 poll_us);
	}
	for (unsigned int i = 0; i < own->receiving_count; i++) {
		struct receiver *receiver = own->receiving[i];

		if (!receiver->told && !receiver->asking)
			work |= arm_receiver(receiver, wants, poll_us);
	}
	return work;
}

/* ---- news from the worker ---- */

void wake_event(struct gw_watch *watch, uint32_t events)
{
	struct guest *guest = gw_container_of(watch, struct guest, event_watch);

	gw_eventfd_clear(guest->event_fd);
	/* It may be ending already, and this the news that its loans are home. */
	memory_check(guest);
	if (gw_load_acquire(&guest->blocked)) {
		connection_fail(guest, "an eventfd of the front-end blocked; it may come back in "
				       "a while");
	}
	iommu_look(guest);
	drain_look(guest);
}
