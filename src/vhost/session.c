/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes in, messages dispatched, answers out.
 *
 * The table below is the protocol as this back-end speaks it: which request is
 * understood, what must have been negotiated for it, whether SET_OWNER must have
 * come before, and what becomes of the session if the request is refused and the
 * front-end did not ask for an answer. ENDS stands where going on would mean that
 * the two sides differ about what the rings or the memory are; a front-end that
 * asked (REPLY_ACK) knows better and may go on. Requests with a reply of their
 * own end the session when refused, since their sender waits for a reply that
 * does not exist.
 *
 * QEMU 7.2 negotiates protocol features before SET_OWNER and sends
 * SET_VRING_CALL and SET_VRING_ENABLE long before SET_FEATURES: both are normal.
 */
#include "session.h"

#include "fd.h"
#include "log.h"
#include "net_header.h"
#include "session_state.h"
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTE_BYTES  (GW_ERROR_TEXT_BYTES + 64)
#define REPLY_BYTES (VHOST_USER_HEADER_BYTES + sizeof(struct message_config))
#define NO_FEATURE  (-1)
#define F(name)     VHOST_USER_PROTOCOL_F_##name

enum refused { ENDS, NOTED };

struct rule {
	session_handler *handle; /* NULL: refused, and `why` says why */
	int8_t feature;          /* protocol feature that must be negotiated */
	bool owned;              /* only after SET_OWNER */
	enum refused refused;
	const char *why;
};

#define NO_POSTCOPY                                                                 \
	"postcopy is not possible here: memory that a device has pinned cannot be " \
	"filled by page faults later (migrate without it: QEMU: postcopy-ram off)"

/* clang-format off */
#define RULE(request, ...) [VHOST_USER_##request] = { __VA_ARGS__, NULL }
#define REFUSED(request, refused, why) [VHOST_USER_##request] = { NULL, NO_FEATURE, false, refused, why }

static const struct rule rules[] = {
	/*   request                handler                        needs        owned  refused */
	RULE(GET_FEATURES,               session_get_features,          NO_FEATURE,         false, ENDS),
	RULE(SET_FEATURES,               session_set_features,          NO_FEATURE,         false, ENDS),
	RULE(SET_OWNER,                  session_set_owner,             NO_FEATURE,         false, ENDS),
	RULE(RESET_OWNER,                session_reset_owner,           NO_FEATURE,         false, ENDS),
	RULE(SET_MEM_TABLE,              session_set_mem_table,         NO_FEATURE,         true,  ENDS),
	RULE(SET_VRING_NUM,              session_set_vring_num,         NO_FEATURE,         true,  ENDS),
	RULE(SET_VRING_ADDR,             session_set_vring_addr,        NO_FEATURE,         true,  ENDS),
	RULE(SET_VRING_BASE,             session_set_vring_base,        NO_FEATURE,         true,  ENDS),
	RULE(GET_VRING_BASE,             session_get_vring_base,        NO_FEATURE,         true,  ENDS),
	RULE(SET_VRING_KICK,             session_set_vring_kick,        NO_FEATURE,         true,  ENDS),
	RULE(SET_VRING_CALL,             session_set_vring_call,        NO_FEATURE,         true,  ENDS),
	RULE(SET_VRING_ERR,              session_set_vring_err,         NO_FEATURE,         true,  NOTED),
	RULE(GET_PROTOCOL_FEATURES,      session_get_protocol_features, NO_FEATURE,         false, ENDS),
	RULE(SET_PROTOCOL_FEATURES,      session_set_protocol_features, NO_FEATURE,         false, ENDS),
	RULE(GET_QUEUE_NUM,              session_get_queue_num,         NO_FEATURE,         false, ENDS),
	RULE(SET_VRING_ENABLE,           session_set_vring_enable,      NO_FEATURE,         true,  ENDS),
	RULE(SEND_RARP,                  session_send_rarp,             F(RARP),            true,  NOTED),
	RULE(NET_SET_MTU,                session_net_set_mtu,           F(NET_MTU),         true,  NOTED),
	RULE(SET_LOG_BASE,               session_set_log_base,          F(LOG_SHMFD),       true,  ENDS),
	RULE(SET_LOG_FD,                 session_set_log_fd,            NO_FEATURE,         true,  NOTED),
	RULE(SET_BACKEND_REQ_FD,         session_set_backend_req_fd,    F(BACKEND_REQ),     false, NOTED),
	RULE(IOTLB_MSG,                  session_iotlb_msg,             NO_FEATURE,         true,  ENDS),
	RULE(GET_CONFIG,                 session_get_config,            F(CONFIG),          false, ENDS),
	RULE(SET_CONFIG,                 session_set_config,            F(CONFIG),          false, NOTED),
	RULE(GET_INFLIGHT_FD,            session_get_inflight_fd,       F(INFLIGHT_SHMFD),  true,  ENDS),
	RULE(SET_INFLIGHT_FD,            session_set_inflight_fd,       F(INFLIGHT_SHMFD),  true,  ENDS),
	RULE(RESET_DEVICE,               session_reset_device,          F(RESET_DEVICE),    true,  ENDS),
	RULE(GET_MAX_MEM_SLOTS,          session_get_max_mem_slots,     F(CONFIGURE_MEM_SLOTS),false, ENDS),
	RULE(ADD_MEM_REG,                session_add_mem_reg,           F(CONFIGURE_MEM_SLOTS),true,  ENDS),
	RULE(REM_MEM_REG,                session_rem_mem_reg,           F(CONFIGURE_MEM_SLOTS),true,  ENDS),
	RULE(SET_STATUS,                 session_set_status,            F(STATUS),          false, NOTED),
	RULE(GET_STATUS,                 session_get_status,            F(STATUS),          false, ENDS),
	RULE(SET_DEVICE_STATE_FD,        session_set_device_state_fd,   F(DEVICE_STATE),    true,  ENDS),
	RULE(CHECK_DEVICE_STATE,         session_check_device_state,    F(DEVICE_STATE),    true,  ENDS),
	RULE(GET_VRING_BASE_SKIP_DRAIN,  session_skip_drain,            F(GET_VRING_BASE_SKIP_DRAIN),true,  ENDS),

	/* Known, checked, and refused. */
	REFUSED(SET_VRING_ENDIAN,      ENDS,  "no ring is of the other byte order"),
	REFUSED(CREATE_CRYPTO_SESSION, ENDS,  "this is a network device"),
	REFUSED(CLOSE_CRYPTO_SESSION,  NOTED, "this is a network device"),
	REFUSED(GPU_SET_SOCKET,        NOTED, "this is a network device"),
	REFUSED(POSTCOPY_ADVISE,       ENDS,  NO_POSTCOPY),
	REFUSED(POSTCOPY_LISTEN,       ENDS,  NO_POSTCOPY),
	REFUSED(POSTCOPY_END,          ENDS,  NO_POSTCOPY),
	REFUSED(VRING_KICK,            ENDS,  "kicks come by eventfd, not in messages"),
	REFUSED(GET_SHARED_OBJECT,     ENDS,  "this device has no shared objects"),
	REFUSED(GET_SHMEM_CONFIG,      ENDS,  "this device has no shared memory of its own"),
};
/* clang-format on */

/* A request that is not even in the specification we know. */
static const struct rule rule_unknown = { NULL, NO_FEATURE, false, NOTED, "not known" };

static int work(struct session *session, struct gw_error *err);

static const struct rule *rule_of(uint32_t request)
{
	return message_name(request) ? &rules[request] : &rule_unknown;
}

/* ---- life ---- */

/* The descriptors of the message at hand that nobody took. */
static void drop_fds(struct session *session)
{
	struct message *message = &session->message;

	for (unsigned int i = 0; i < message->fd_count && !message->fds_prompt; i++) {
		int fd = message_take_fd(message, i);

		if (fd >= 0)
			session->config.ops->dispose(session->config.arg, fd);
	}
	message_drop_fds(message);
	message->fds_prompt = false;
}

int session_create(const struct session_config *config, struct session **session)
{
	struct session *new;

	if (!config->pairs_max || config->pairs_max > SESSION_PAIRS_MAX)
		return -EINVAL;
	new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->config = *config;
	new->rings = 2 * config->pairs_max;
	new->load_fd = new->log_fd = -1;
	for (unsigned int i = 0; i < SESSION_RINGS_MAX; i++) {
		new->ring[i].set.kick_fd = -1;
		new->ring[i].set.call_fd = -1;
		new->ring[i].set.err_fd = -1;
	}
	*session = new;
	return 0;
}

void session_destroy(struct session *session)
{
	if (!session)
		return;
	assert(!session_busy(session));
	assert(!session_any_ring(session, SESSION_RING_RUNNING));
	drop_fds(session);
	session_rings_drop_fds(session);
	session_inflight_drop(session);
	iotlb_put(session->iotlb);
	iotlb_put(session->op_iotlb);
	free(session->stale);
	dirty_log_put(session->log);
	memmap_put(session->memmap);
	gw_fd_close(&session->load_fd);
	gw_fd_close(&session->log_fd);
	free(session);
}

void session_close(struct session *session)
{
	if (session->closed)
		return;
	session->closed = true;
	session->input_len = 0;
	drop_fds(session);
	memmap_put(session->op_memmap);
	session->op_memmap = NULL;
	session->op_handed = false;
	session_choose_all(session);
	session_op_begin(session, SESSION_OP_CLOSE);
}

bool session_busy(const struct session *session)
{
	return session->op != SESSION_OP_NONE;
}

/* ---- bytes ---- */

size_t session_want(const struct session *session)
{
	uint32_t payload_bytes;
	size_t whole = VHOST_USER_HEADER_BYTES;

	if (session->dead || session->closed)
		return 0;
	if (session->input_len >= VHOST_USER_HEADER_BYTES) {
		memcpy(&payload_bytes, session->input + 2 * sizeof(uint32_t),
		       sizeof(payload_bytes));
		whole += payload_bytes;
	}
	return session->input_len < whole ? whole - session->input_len : 0;
}

/* Adds to the descriptors of the message at hand; what is beyond the limit goes. */
static void take_fds(struct session *session, const int *fds, unsigned int count)
{
	struct message *message = &session->message;

	for (unsigned int i = 0; i < count; i++) {
		if (message->fd_count < VHOST_USER_MAX_FDS)
			message->fds[message->fd_count++] = fds[i];
		else
			session->config.ops->dispose(session->config.arg, fds[i]);
	}
}

int session_input(struct session *session, const uint8_t *bytes, size_t len, const int *fds,
		  unsigned int fd_count, struct gw_error *err)
{
	bool too_many = fd_count > VHOST_USER_MAX_FDS - session->message.fd_count;
	struct gw_error why;

	assert(!session_busy(session));
	take_fds(session, fds, fd_count);
	if (too_many && !session->dead) {
		gw_error_set(&why, -EPROTO,
			     "vhost-user: more than %u file descriptors beside one message",
			     VHOST_USER_MAX_FDS);
		session_die(session, &why);
	} else if (len > sizeof(session->input) - session->input_len && !session->dead) {
		gw_error_set(&why, -EPROTO, "vhost-user: more than %u bytes at once",
			     SESSION_INPUT_MAX);
		session_die(session, &why);
	} else if (len && !session->dead && !session->closed) {
		memcpy(session->input + session->input_len, bytes, len);
		session->input_len += len;
	}
	return work(session, err);
}

int session_continue(struct session *session, struct gw_error *err)
{
	return work(session, err);
}

static void consume(struct session *session, size_t len)
{
	session->input_len -= len;
	memmove(session->input, session->input + len, session->input_len);
}

/* ---- dispatch ---- */

static int check_allowed(const struct session *session, const struct rule *rule, uint32_t request,
			 struct gw_error *err)
{
	if (!rule->handle)
		return gw_error_set(err, -EOPNOTSUPP, "vhost-user %s: %s", message_name(request),
				    rule->why);
	if (rule->feature != NO_FEATURE &&
	    !virtio_has(session->protocol_features, (unsigned int)rule->feature))
		return gw_error_set(err, -EOPNOTSUPP,
				    "vhost-user %s: protocol feature %d was not negotiated",
				    message_name(request), rule->feature);
	if (rule->owned && !session->owned)
		return gw_error_set(err, -EPERM, "vhost-user %s: came before SET_OWNER",
				    message_name(request));
	return 0;
}

/* A file that the front-end shares lost pages that somebody touched. */
bool session_broken(const struct session *session)
{
	return (session->memmap && memmap_broken(session->memmap)) ||
	       (session->inflight && memmap_broken(session->inflight)) ||
	       (session->log && dirty_log_broken(session->log));
}

/* The message, its header decoded with the result `ret`, from its first byte to its answer. */
static int handle(struct session *session, int ret, struct gw_error *err)
{
	struct message *message = &session->message;
	const struct rule *rule = rule_of(message->request);
	bool wanted = message->need_reply &&
		      virtio_has(session->protocol_features, VHOST_USER_PROTOCOL_F_REPLY_ACK);

	if (session_broken(session))
		return gw_error_set(err, -EPROTO,
				    "vhost-user: the front-end shortened a file that it shares");
	session->op_request = message->request;
	session->op_ack = wanted && !message_has_reply(message->request);
	if (!ret)
		ret = message_decode_payload(message, session->input + VHOST_USER_HEADER_BYTES,
					     err);
	if (!ret)
		ret = check_allowed(session, rule, message->request, err);
	if (!ret)
		/* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): allowed, so not NULL */
		ret = rule->handle(session, message, err);
	if (ret == SESSION_ANSWERED || ret == -EPROTO)
		return ret;
	return session_acknowledge(session, session->op_request, session->op_ack, ret, err);
}

/* Works on one message: 1 if it was there, 0 if it is not complete, -EPROTO. */
static int work_one(struct session *session, struct gw_error *err)
{
	uint32_t payload_bytes;
	int ret;

	if (session->input_len < VHOST_USER_HEADER_BYTES)
		return 0;
	ret = message_decode_header(session->input, &session->message, &payload_bytes, err);
	if (ret == -EPROTO)
		return ret;
	if (session->input_len - VHOST_USER_HEADER_BYTES < payload_bytes)
		return 0;
	ret = handle(session, ret, err);
	drop_fds(session);
	if (ret < 0)
		return ret;
	consume(session, VHOST_USER_HEADER_BYTES + payload_bytes);
	return 1;
}

static int work(struct session *session, struct gw_error *err)
{
	struct gw_error why = { 0 };
	int ret = 1;

	/* Bounded by the buffer: each turn takes a message out of it. */
	while (!session->dead && !session->closed && !session_busy(session) && ret > 0) {
		ret = work_one(session, &why);
		if (ret < 0)
			session_die(session, &why);
	}
	if (session->closed)
		drop_fds(session);
	if (session->dead)
		return gw_error_set(err, -EPROTO, "%s", session->death.text);
	if (session->closed)
		return gw_error_set(err, -EPROTO, "vhost-user: the session is closed");
	return 0;
}

/* ---- answers ---- */

int session_die(struct session *session, const struct gw_error *err)
{
	if (!session->dead)
		session->death = *err;
	session->dead = true;
	session->input_len = 0;
	drop_fds(session);
	return -EPROTO;
}

int session_reply_fd(struct session *session, uint32_t request, const void *payload, uint32_t size,
		     int fd)
{
	uint8_t bytes[REPLY_BYTES];
	struct gw_error why;
	size_t len = message_encode_reply(request, payload, size, bytes, sizeof(bytes));
	int ret;

	assert(len);
	ret = session->config.ops->send(session->config.arg, bytes, len, fd);
	if (!ret)
		return SESSION_ANSWERED;
	gw_error_sys(&why, ret, "vhost-user %s: sending the reply", message_name(request));
	return session_die(session, &why);
}

int session_reply(struct session *session, uint32_t request, const void *payload, uint32_t size)
{
	return session_reply_fd(session, request, payload, size, -1);
}

int session_reply_u64(struct session *session, uint32_t request, uint64_t value)
{
	return session_reply(session, request, &value, sizeof(value));
}

int session_acknowledge(struct session *session, uint32_t request, bool wanted, int ret,
			const struct gw_error *err)
{
	struct gw_error why;

	if (ret < 0 && !wanted &&
	    (message_has_reply(request) || rule_of(request)->refused == ENDS)) {
		gw_error_set(&why, -EPROTO, "refused, and the front-end cannot know: %s",
			     err->text);
		return session_die(session, &why);
	}
	if (ret < 0)
		session_note(session, LOG_WARNING, "refused: %s", err->text);
	if (wanted)
		return session_reply_u64(session, request, ret < 0);
	return SESSION_ANSWERED;
}

void session_note(struct session *session, int level, const char *format, ...)
{
	char line[NOTE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	session->config.ops->note(session->config.arg, level, line);
}

/* ---- what others may know ---- */

struct gw_memmap *session_memmap(const struct session *session)
{
	return session->memmap;
}

uint64_t session_features(const struct session *session)
{
	return session->features;
}

bool session_ring_running(const struct session *session, unsigned int index)
{
	return session->ring[index].phase == SESSION_RING_RUNNING;
}
