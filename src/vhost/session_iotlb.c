/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest behind an IOMMU (VIRTIO_F_ACCESS_PLATFORM): what it names are I/O addresses,
 * rings included, and the front-end tells piece by piece where they lie. What it has not
 * told is asked for (session_miss.c).
 *
 * An invalidation, and an update that maps a piece to another place, take something
 * away. The front-end may give that memory to something else as soon as it is
 * answered. So transmit rings that lie there stop first, and with them their loans: the
 * used entry of a frame that came home to a ring without a place could be shown to
 * nobody, and would be lost if the run ended then. Then the owner is given the new table
 * with what it took away, and only when he says that nothing is read there any more
 * (session_iotlb_done) the answer goes out. A ring whose place is mapped again later
 * goes on where it was.
 *
 * Receive rings lend nothing, and what they take they give back in the same visit. They
 * run on through all this, and if their own place is gone they wait for it (ring_iova.c):
 * frames wait as before a ring without buffers. A guest that is not strict drops all that
 * it has unmapped ten times a second, its rings' pages with it.
 *
 * When the last ring has stopped, the table is emptied: from then on QEMU tells of no
 * invalidation (vhost_dev_stop unregisters its listener), and a driver that is loaded
 * again gives the same I/O addresses to other pages.
 */
#include "session_state.h"

#include "net_header.h"
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

/* Pieces of one change; what comes in more is told as all of the guest's memory. */
#define STALE_MAX 1024u

/* ---- rings ---- */

struct part {
	uint64_t iova, len;
	uint8_t access;
};

/* What a ring consists of (VIRTIO 1.2 sections 2.7 and 2.8.10). */
static void parts_of(const struct session *session, const struct ring_config *config,
		     struct part part[3])
{
	uint64_t size = config->size;
	bool packed = virtio_has(session->features, VIRTIO_F_RING_PACKED);
	uint64_t event = virtio_has(session->features, VIRTIO_RING_F_EVENT_IDX) ? 2 : 0;

	part[0] = (struct part){ config->desc_addr, 16 * size,
				 packed ? IOTLB_READ_WRITE : IOTLB_READ };
	part[1] =
		(struct part){ config->avail_addr, packed ? 4 : 4 + 2 * size + event, IOTLB_READ };
	part[2] =
		(struct part){ config->used_addr, packed ? 4 : 4 + 8 * size + event, IOTLB_WRITE };
}

static bool part_ready(struct session *session, const struct part *part)
{
	struct iotlb_miss miss = { part->iova, part->access };
	uint64_t got = 0, more;
	bool missing;

	if (!iotlb_translate(session->iotlb, session->memmap, part->iova, part->len, part->access,
			     &got, &missing) &&
	    !missing)
		return true; /* and never will be: whoever makes the ring says so */
	if (got == part->len)
		return true;
	miss.iova += got;
	if (got && iotlb_translate(session->iotlb, session->memmap, miss.iova, 1, part->access,
				   &more, &missing))
		return true; /* in two pieces: the same */
	if (!missing)
		return true;
	session_iotlb_miss(session, &miss, 1);
	return false;
}

bool session_iotlb_ready(struct session *session, const struct session_ring_state *ring)
{
	struct part part[3];
	bool ready = true;

	parts_of(session, &ring->set.config, part);
	for (unsigned int i = 0; i < 3; i++)
		ready &= part_ready(session, &part[i]);
	return ready;
}

static bool ring_lies_in(const struct session *session, const struct session_ring_state *ring,
			 uint64_t first, uint64_t last)
{
	struct part part[3];

	parts_of(session, &ring->set.config, part);
	for (unsigned int i = 0; i < 3; i++)
		if (part[i].iova <= first ? first - part[i].iova < part[i].len
					  : part[i].iova <= last)
			return true;
	return false;
}

/* The op that begins stops those that lend, and lie there. */
static void choose_lending(struct session *session, uint64_t first, uint64_t last)
{
	for (unsigned int i = 1; i < session->rings; i += 2)
		if (ring_lies_in(session, &session->ring[i], first, last))
			session_choose(session, i);
}

/* All that a waiting ring misses of its parts, at once: it would tell one after the other. */
static void ask_for_parts(struct session *session)
{
	for (unsigned int i = 0; i < session->rings; i++)
		if (session->ring[i].phase == SESSION_RING_RUNNING)
			session_iotlb_ready(session, &session->ring[i]);
}

/* ---- what a change takes away ---- */

struct change {
	uint64_t first, last;
	const struct iotlb_range *added; /* NULL: an invalidation */
};

/* The change leaves this old range where it is, with all it permitted. */
static bool keeps(const struct change *change, const struct iotlb_range *old)
{
	const struct iotlb_range *added = change->added;

	return added && old->user_addr - old->iova == added->user_addr - added->iova &&
	       (added->access & old->access) == old->access;
}

/* The part of an old range in the change, piece by piece. False: no room for all of it. */
static bool add_stale(struct session *session, const struct iotlb_range *old,
		      const struct change *change)
{
	uint64_t iova = old->iova > change->first ? old->iova : change->first;
	uint64_t last = old->iova + (old->size - 1);
	uint64_t part, left;
	void *host;

	if (last > change->last)
		last = change->last;
	for (left = last - iova + 1; left; left -= part, iova += part) {
		host = memmap_translate_user_part(session->memmap,
						  old->user_addr + (iova - old->iova), left, &part);
		if (!host)
			return true; /* no memory there, and nobody got a pointer to it */
		if (session->stale_count == STALE_MAX)
			return false;
		session->stale[session->stale_count++] = (struct iovec){ host, part };
	}
	return true;
}

/* All of the guest's memory instead: whole regions, of which there are fewer. */
static void stale_is_all(struct session *session)
{
	struct memmap_region regions[MEMMAP_REGIONS_MAX];
	unsigned int count = memmap_regions(session->memmap, regions);

	_Static_assert(MEMMAP_REGIONS_MAX <= STALE_MAX, "each has a place");
	for (unsigned int i = 0; i < count; i++)
		session->stale[i] =
			(struct iovec){ memmap_translate(session->memmap, regions[i].guest_addr, 1),
					regions[i].size };
	session->stale_count = count;
}

/* False: nothing is taken away. */
static bool find_stale(struct session *session, const struct change *change)
{
	bool some = false;

	session->stale_count = 0;
	for (unsigned int i = iotlb_find(session->iotlb, change->first);
	     i < iotlb_count(session->iotlb); i++) {
		const struct iotlb_range *old = iotlb_range(session->iotlb, i);

		if (old->iova > change->last)
			break;
		if (keeps(change, old))
			continue;
		some = true;
		if (session->memmap && !add_stale(session, old, change)) {
			stale_is_all(session);
			break;
		}
	}
	return some;
}

/*
 * What the new table has no room for goes, too: an invalidation of it would find nothing,
 * and be answered while a device reads there.
 */
static void find_given_up(struct session *session, const struct iotlb *to)
{
	static const struct change all = { .last = UINT64_MAX };
	const struct iotlb_range *ranges;
	unsigned int count = session->memmap ? iotlb_given_up(to, &ranges) : 0;

	for (unsigned int i = 0; i < count; i++)
		choose_lending(session, ranges[i].iova, ranges[i].iova + (ranges[i].size - 1));
	for (unsigned int i = 0; i < count; i++)
		if (!add_stale(session, &ranges[i], &all)) {
			stale_is_all(session);
			return;
		}
}

static int begin_change(struct session *session, struct iotlb *to, const struct change *change,
			struct gw_error *err)
{
	if (!session->stale)
		session->stale = calloc(STALE_MAX, sizeof(*session->stale));
	if (!session->stale) {
		iotlb_put(to);
		return gw_error_sys(err, -ENOMEM, "vhost-user IOTLB_MSG: %u pieces", STALE_MAX);
	}
	session->op_iotlb = to;
	if (find_stale(session, change))
		choose_lending(session, change->first, change->last);
	find_given_up(session, to);
	/* Misses in there were answered by what is void now; a ring asks again. */
	session->op_first = change->added ? 1 : change->first;
	session->op_last = change->added ? 0 : change->last;
	return session_op_begin(session, SESSION_OP_IOTLB);
}

static int finish(struct session *session)
{
	struct gw_error err = { 0 };
	int ret = session_rings_try_start(session, &err);

	return session_op_finish(session, ret, &err);
}

int session_iotlb_swap(struct session *session)
{
	const struct session_stale stale = { session->stale, session->stale_count };
	struct iotlb *before = session->iotlb;

	session->iotlb = session->op_iotlb;
	session->op_iotlb = NULL;
	session_misses_settle(session, session->op_first, session->op_last);
	session->op = SESSION_OP_IOTLB_WAIT;
	session->beginning = true;
	if (stale.count)
		ask_for_parts(session);
	session->config.ops->iotlb(session->config.arg, session->iotlb,
				   stale.count ? &stale : NULL);
	session->beginning = false;
	iotlb_put(before);
	if (!stale.count)
		session->stale_done = true;
	if (!session->stale_done)
		return SESSION_ANSWERED;
	session->stale_done = false;
	return finish(session);
}

void session_iotlb_done(struct session *session)
{
	/* A close, or the death of the session, may have come first. */
	if (session->op != SESSION_OP_IOTLB_WAIT)
		return;
	if (session->beginning)
		session->stale_done = true;
	else
		finish(session); /* a failure is kept: session_continue reports it */
}

/* ---- messages ---- */

int session_iotlb_msg(struct session *session, struct message *message, struct gw_error *err)
{
	const struct message_iotlb *iotlb = &message->payload.iotlb;
	const struct iotlb_range range = { iotlb->iova, iotlb->size, iotlb->user_addr,
					   iotlb->access };
	struct change change = { .first = iotlb->iova, .last = iotlb->iova + iotlb->size - 1 };
	struct gw_error why = { 0 };
	struct iotlb *to = NULL;

	if (!session->iotlb)
		return gw_error_set(err, -EPERM,
				    "vhost-user IOTLB_MSG: VIRTIO_F_ACCESS_PLATFORM was not "
				    "negotiated");
	switch (iotlb->type) {
	case VHOST_USER_IOTLB_UPDATE:
		change.added = &range;
		to = iotlb_with(session->iotlb, &range, &why);
		break;
	case VHOST_USER_IOTLB_INVALIDATE:
		to = iotlb_without(session->iotlb, range.iova, range.size, &why);
		break;
	default:
		gw_error_set(&why, -EINVAL, "type %u is none that a front-end sends", iotlb->type);
	}
	if (!to)
		return gw_error_set(err, why.code, "vhost-user IOTLB_MSG: %s", why.text);
	return begin_change(session, to, &change, err);
}

/* ---- with and without ---- */

int session_iotlb_apply(struct session *session, struct gw_error *err)
{
	bool wanted = virtio_has(session->features, VIRTIO_F_ACCESS_PLATFORM);

	if (!wanted)
		session_iotlb_drop(session);
	if (!wanted || session->iotlb)
		return 0;
	session_misses_forget(session);
	session->iotlb = iotlb_create();
	if (!session->iotlb)
		return gw_error_sys(err, -ENOMEM, "vhost-user: an I/O address table");
	session->config.ops->iotlb(session->config.arg, session->iotlb, NULL);
	return 0;
}

/* In place of the table another, or none; no ring runs. */
static void replace_table(struct session *session, struct iotlb *to)
{
	struct iotlb *before = session->iotlb;

	session->iotlb = to;
	if (before || to)
		session->config.ops->iotlb(session->config.arg, to, NULL);
	iotlb_put(before);
	session_misses_forget(session);
	for (unsigned int i = 0; i < session->rings; i++)
		session->ring[i].set.config.iotlb = NULL;
}

int session_iotlb_idle(struct session *session, struct gw_error *err)
{
	struct iotlb *empty;

	if (!session->iotlb || session_in_use(session))
		return 0;
	empty = iotlb_create();
	if (!empty)
		return gw_error_sys(err, -ENOMEM, "vhost-user: an I/O address table");
	replace_table(session, empty);
	return 0;
}

void session_iotlb_drop(struct session *session)
{
	replace_table(session, NULL);
}
