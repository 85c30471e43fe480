/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the worker sleeps on: the sockets, in an epoll set of the port's own.
 *
 * A socket that is in a set tells it of each event, whether or not somebody sleeps. In copy
 * mode that is each frame: the kernel frees its copy, finds a waiter on the socket, and goes
 * through the locks of this set and of the worker's, all within our sendto. That is a sixth of
 * what a frame costs there. So a port that is busy takes its sockets out of the set, and
 * puts them back when the worker is about to sleep.
 *
 * This is three system calls, so it has to pay: only who was busy for BUSY_VISITS without
 * a sleep does it. A worker that sleeps after each few frames never does.
 */
#include "xdp.h"

#include <sys/epoll.h>

/* Visits with frames, since the worker last was about to sleep. */
#define BUSY_VISITS 32u

bool watch_add(struct xdp_channel *ch)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };

	return ch->p->unwatched || !epoll_ctl(ch->p->epoll_fd, EPOLL_CTL_ADD, ch->xsk->fd, &event);
}

void watch_drop(struct xdp_channel *ch)
{
	if (!ch->p->unwatched)
		epoll_ctl(ch->p->epoll_fd, EPOLL_CTL_DEL, ch->xsk->fd, NULL);
}

static void drop_all(struct xdp_port *p)
{
	for (unsigned int i = 0; i < p->channel_count; i++)
		if (p->channel[i].xsk)
			watch_drop(&p->channel[i]);
	p->unwatched = true;
}

void watch_busy(struct xdp_port *p)
{
	if (++p->busy_visits == BUSY_VISITS)
		drop_all(p);
}

/*
 * A socket that has room to send is an event as soon as it is added: that is taken out, or it
 * would wake the worker for nothing. With it may go one that is news; so the rings
 * have to be looked at after this.
 */
bool watch_sleep(struct xdp_port *p)
{
	struct epoll_event event[RULES_CHANNELS_MAX];
	bool all = true;

	p->busy_visits = 0;
	if (!p->unwatched)
		return true;
	p->unwatched = false;
	for (unsigned int i = 0; i < p->channel_count; i++)
		if (p->channel[i].xsk)
			all &= watch_add(&p->channel[i]);
	if (!all)
		drop_all(p);
	(void)epoll_wait(p->epoll_fd, event, RULES_CHANNELS_MAX, 0);
	return all;
}
