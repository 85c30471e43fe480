/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is missed of a guest behind an IOMMU: I/O addresses that the front-end has not told.
 *
 * What a ring misses, or will soon, is asked for on the back-end's channel, each page
 * once, and at most SESSION_MISSES_MAX at one time: a front-end that answers none is
 * asked no more. An answer is an update; after each the owner tells again what rings
 * wait for. What is missed still after MISS_PATIENCE further messages is asked for anew.
 */
#include "session_state.h"

#include "log.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Longer than it takes to answer all the others first. */
#define MISS_PATIENCE (SESSION_MISSES_MAX + 16u)
/*
 * Questions of one write, and their bytes. The front-end chooses how much its socket
 * takes, but not less than so much in one piece: there is all of a write, or nothing.
 */
#define ASK_MAX       32u
#define ASK_BYTES     (VHOST_USER_HEADER_BYTES + sizeof(struct message_iotlb))

/* ---- the channel ---- */

int session_set_backend_req_fd(struct session *session, struct message *message,
			       struct gw_error *err)
{
	int domain = 0, type = 0;
	socklen_t domain_len = sizeof(domain), type_len = sizeof(type);

	if (getsockopt(message->fds[0], SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) ||
	    getsockopt(message->fds[0], SOL_SOCKET, SO_TYPE, &type, &type_len) ||
	    domain != AF_UNIX || type != SOCK_STREAM)
		return gw_error_set(err, -EINVAL,
				    "vhost-user SET_BACKEND_REQ_FD: the descriptor is no stream "
				    "socket of this host");
	session->has_channel = true;
	session->channel_noted = false;
	session->config.ops->backend_channel(session->config.arg, message_take_fd(message, 0));
	return 0;
}

/* ---- misses ---- */

static bool same_page(uint64_t a, uint64_t b)
{
	return a / IOTLB_PAGE_BYTES == b / IOTLB_PAGE_BYTES;
}

/* The place for this miss; NULL: it was asked for, or too many are. */
static struct session_miss *place_for(struct session *session, const struct iotlb_miss *wanted)
{
	struct session_miss *place = NULL;

	for (unsigned int i = 0; i < SESSION_MISSES_MAX; i++) {
		struct session_miss *miss = &session->miss[i];
		bool old = session->iotlb_messages - miss->asked >= MISS_PATIENCE;

		if (miss->used && same_page(miss->wanted.iova, wanted->iova) &&
		    (miss->wanted.access & wanted->access) == wanted->access)
			return old ? miss : NULL;
		if (!miss->used || (old && !place))
			place = miss;
	}
	return place;
}

/* Questions that go out in one write. */
struct asking {
	struct session_miss *place[ASK_MAX];
	unsigned int count;
	uint8_t bytes[ASK_MAX * ASK_BYTES];
	size_t len;
};

static void note_channel(struct session *session, const struct asking *asking, int ret)
{
	if (!session->channel_noted)
		session_note(session, LOG_WARNING,
			     "I/O address 0x%llx is not mapped, and the front-end cannot be asked: "
			     "%s",
			     (unsigned long long)asking->place[0]->wanted.iova,
			     session->has_channel ? strerror(-ret) : "it gave no channel for that");
	session->channel_noted = true;
}

static void ask(struct session *session, struct asking *asking)
{
	int ret = -ENOTCONN;

	if (!asking->count)
		return;
	if (session->has_channel)
		ret = session->config.ops->backend_send(session->config.arg, asking->bytes,
							asking->len);
	if (ret) {
		note_channel(session, asking, ret);
		for (unsigned int i = 0; i < asking->count; i++)
			asking->place[i]->used = false;
	}
	asking->count = 0;
	asking->len = 0;
}

static void add_question(struct session *session, struct asking *asking,
			 const struct iotlb_miss *miss)
{
	struct session_miss *place = place_for(session, miss);
	const struct message_iotlb payload = {
		.iova = miss->iova,
		.access = miss->access,
		.type = VHOST_USER_IOTLB_MISS,
	};

	if (!place)
		return;
	*place = (struct session_miss){ true, *miss, session->iotlb_messages };
	asking->place[asking->count++] = place;
	asking->len += message_encode_request(VHOST_USER_BACKEND_IOTLB_MSG, &payload,
					      sizeof(payload), asking->bytes + asking->len,
					      sizeof(asking->bytes) - asking->len);
	if (asking->count == ASK_MAX)
		ask(session, asking);
}

void session_iotlb_miss(struct session *session, const struct iotlb_miss *miss, unsigned int count)
{
	struct asking asking = { .count = 0, .len = 0 };

	if (!session->iotlb || session->dead || session->closed)
		return;
	for (unsigned int i = 0; i < count; i++)
		if (!iotlb_answers(session->iotlb, &miss[i]))
			add_question(session, &asking, &miss[i]);
	ask(session, &asking);
}

void session_misses_settle(struct session *session, uint64_t first, uint64_t last)
{
	session->iotlb_messages++;
	for (unsigned int i = 0; i < SESSION_MISSES_MAX; i++) {
		struct session_miss *miss = &session->miss[i];

		if (iotlb_answers(session->iotlb, &miss->wanted) ||
		    (miss->wanted.iova >= first && miss->wanted.iova <= last))
			miss->used = false;
	}
}

void session_misses_forget(struct session *session)
{
	memset(session->miss, 0, sizeof(session->miss));
}
