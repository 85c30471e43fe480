/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The record of heads in flight that a front-end keeps for the next back-end
 * (vhost-user, "Inflight I/O tracking"): the area is made here and given away
 * (GET_INFLIGHT_FD), or comes back from the front-end (SET_INFLIGHT_FD), then maybe
 * with what another process of ours left in it.
 *
 * It is mapped as memory of a guest is, by a memmap of one region: that checks the
 * numbers against the file, and an access behind the end of a file that was shortened
 * ends this session and nothing else. Ring i has the i-th piece of it, as long as a
 * record of queue_size entries; a ring may be smaller.
 */
#include "session_state.h"

#include "fd.h"
#include "net_header.h"
#include "ring_record.h"
#include <errno.h>
#include <linux/virtio_config.h>

static bool is_packed(const struct session *session)
{
	return virtio_has(session->features, VIRTIO_F_RING_PACKED);
}

static uint64_t area_bytes(const struct session *session, const struct message_inflight *area)
{
	return (uint64_t)area->num_queues * ring_record_bytes(area->queue_size, is_packed(session));
}

static int check_counts(const struct session *session, const struct message *message,
			struct gw_error *err)
{
	const struct message_inflight *area = &message->payload.inflight;
	const char *name = message_name(message->request);

	if (!session->has_features)
		return gw_error_set(err, -EPERM, "vhost-user %s: came before SET_FEATURES", name);
	if (area->num_queues > session->rings || area->queue_size > session->config.ring_size_max)
		return gw_error_set(err, -EINVAL,
				    "vhost-user %s: %u queues of %u entries, must be at most %u of "
				    "%u",
				    name, area->num_queues, area->queue_size, session->rings,
				    session->config.ring_size_max);
	return 0;
}

/* ---- giving one away ---- */

/*
 * A file that nobody can shorten, of zeros, which are records of no ring. No page of it is
 * touched here: it would be ours, for as long as the front-end keeps the file, and he can
 * ask for as many as he likes.
 */
static int make_file(const struct message_inflight *area, int *fd, struct gw_error *err)
{
	*fd = gw_memfd("guestwire-inflight", area->mmap_size);
	return *fd < 0 ? gw_error_sys(err, *fd, "vhost-user GET_INFLIGHT_FD: making %llu bytes",
				      (unsigned long long)area->mmap_size)
		       : 0;
}

int session_get_inflight_fd(struct session *session, struct message *message, struct gw_error *err)
{
	struct message_inflight *area = &message->payload.inflight;
	int fd, ret = check_counts(session, message, err);

	if (ret)
		return ret;
	area->mmap_size = area_bytes(session, area);
	area->mmap_offset = 0;
	ret = make_file(area, &fd, err);
	if (ret)
		return ret;
	ret = session_reply_fd(session, message->request, area, message->size, fd);
	gw_fd_close(&fd);
	return ret;
}

/* ---- taking one ---- */

int session_inflight_map(struct session *session, int fd, const struct message_inflight *area,
			 struct gw_error *err)
{
	const struct memmap_region region = {
		.size = area->mmap_size,
		.mmap_offset = area->mmap_offset,
		.fd = fd,
	};
	struct gw_memmap *memmap;
	struct gw_error why = { 0 };

	if (memmap_create(&region, 1, (struct memmap_arena){ .fd = -1 }, &memmap, &why))
		return gw_error_set(err, why.code, "vhost-user SET_INFLIGHT_FD: %s", why.text);
	session_inflight_drop(session);
	session->inflight = memmap;
	session->inflight_bytes = area->mmap_size;
	session->inflight_queues = area->num_queues;
	session->inflight_size = area->queue_size;
	return 0;
}

int session_set_inflight_fd(struct session *session, struct message *message, struct gw_error *err)
{
	const struct message_inflight *area = &message->payload.inflight;
	int ret = check_counts(session, message, err);

	if (ret)
		return ret;
	if (session_in_use(session))
		return gw_error_set(err, -EBUSY,
				    "vhost-user SET_INFLIGHT_FD: a ring runs on the one before");
	if (area->mmap_size < area_bytes(session, area))
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_INFLIGHT_FD: %llu bytes for %u queues of %u "
				    "entries, must be %llu",
				    (unsigned long long)area->mmap_size, area->num_queues,
				    area->queue_size,
				    (unsigned long long)area_bytes(session, area));
	ret = session_inflight_map(session, message->fds[0], area, err);
	message->fds_prompt = !ret;
	return ret;
}

int session_inflight_record(const struct session *session, unsigned int index, void **record,
			    struct gw_error *err)
{
	size_t each = ring_record_bytes(session->inflight_size, is_packed(session));
	uint32_t size = session->ring[index].set.config.size;
	uint64_t begin = (uint64_t)index * each;

	*record = NULL;
	if (!session->inflight || index >= session->inflight_queues)
		return 0;
	/* Features may be others now than when it was checked. */
	if (size > session->inflight_size || session->inflight_bytes < each ||
	    begin > session->inflight_bytes - each)
		return gw_error_set(err, -EINVAL,
				    "vhost-user: ring %u of %u entries, but SET_INFLIGHT_FD was "
				    "for %u",
				    index, size, session->inflight_size);
	*record = memmap_translate(session->inflight, begin, each);
	return 0;
}

void session_inflight_drop(struct session *session)
{
	memmap_put(session->inflight);
	session->inflight = NULL;
	session->inflight_queues = session->inflight_size = 0;
	for (unsigned int i = 0; i < session->rings; i++)
		session->ring[i].set.config.record = NULL;
}
