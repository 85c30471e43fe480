/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of a session, shared by session.c (bytes, dispatch, answers),
 * session_negotiate.c (features, owner, status), session_vring.c (messages about a
 * ring), session_ring.c (starting and stopping them), session_memory.c (the memory
 * table, and slots), session_log.c (the dirty log), session_iotlb.c (I/O addresses),
 * session_miss.c (those that are asked for), session_inflight.c (the record of heads
 * in flight), session_device.c (what is the device's own) and session_carry.c
 * (hand-over). Nobody else includes it.
 *
 * A ring is in one of three states:
 *
 *     STOPPED --- has memory, features, size, addresses, kick --> RUNNING
 *     RUNNING --- GET_VRING_BASE, new memory, RESET_OWNER, close --> STOPPING
 *     STOPPING -- session_ring_stopped() --> STOPPED, base remembered
 *
 * and whoever wants rings to stop is an op, of which there is at most one: it
 * chooses rings and begins with session_op_begin, which stops those that run, and
 * its second half runs when the last of them has stopped, at once or much later.
 */
#pragma once

#include "session.h"

enum session_ring_phase {
	SESSION_RING_STOPPED = 0,
	SESSION_RING_RUNNING,
	SESSION_RING_STOPPING,
};

struct session_ring_state {
	struct session_ring set; /* as the front-end has it; memmap and features at start */
	enum session_ring_phase phase;
	bool has_addr;
	bool chosen;   /* to be stopped by the op that begins: session_choose */
	bool has_kick; /* a kick descriptor, or the wish to be polled */
	bool begun;    /* a run of it was begun that the front-end has not ended */
};

enum session_op {
	SESSION_OP_NONE = 0,
	SESSION_OP_GET_BASE,
	SESSION_OP_MEMORY,
	SESSION_OP_RESET_OWNER,
	SESSION_OP_RESET_DEVICE,
	SESSION_OP_STATUS,     /* SET_STATUS 0 */
	SESSION_OP_IOTLB,      /* rings that lend and lose their addresses stop ... */
	SESSION_OP_IOTLB_WAIT, /* ... and then loans: session_iotlb_done ends it */
	SESSION_OP_PAUSE,
	SESSION_OP_CLOSE,
};

/* An I/O address that the front-end was asked for. */
struct session_miss {
	bool used;
	struct iotlb_miss wanted;
	uint64_t asked; /* iotlb_messages then */
};

#define SESSION_MISSES_MAX 256u

struct session {
	struct session_config config;
	struct session_ring_state ring[SESSION_RINGS_MAX];
	unsigned int rings;       /* how many there are: 2 * pairs_max */
	struct gw_memmap *memmap; /* one reference, or NULL */

	uint64_t features;          /* acknowledged; valid if has_features */
	uint64_t protocol_features; /* acknowledged */
	uint32_t mtu;
	bool has_features;
	bool features_refused; /* what SET_FEATURES wanted last */
	bool owned;            /* SET_OWNER was seen */

	enum session_op op;
	bool beginning;              /* inside session_op_begin: its caller ends the op */
	struct gw_memmap *op_memmap; /* OP_MEMORY: the one to come, one reference */
	unsigned int op_index;       /* OP_GET_BASE */
	bool op_handed;              /* what is in flight stays in the record */
	uint32_t op_request;         /* what is to be answered ... */
	bool op_ack;                 /* ... with a REPLY_ACK, if true */

	/* ---- session_log.c ---- */
	struct dirty_log *log;      /* of SET_LOG_BASE; one reference, or NULL */
	struct dirty_log *log_told; /* what ops->log said last */
	int log_fd;                 /* for a hand-over; -1: none */
	uint64_t log_size, log_offset;

	/* ---- session_iotlb.c ---- */
	struct iotlb *iotlb;    /* one reference; NULL without ACCESS_PLATFORM */
	struct iotlb *op_iotlb; /* OP_IOTLB: the one to come */
	struct iovec *stale;    /* OP_IOTLB: what it takes away; the owner may look later */
	unsigned int stale_count;
	bool stale_done;            /* session_iotlb_done came from inside ops->iotlb */
	uint64_t op_first, op_last; /* OP_IOTLB: the misses that it makes void */

	/* ---- session_miss.c ---- */
	struct session_miss miss[SESSION_MISSES_MAX];
	uint64_t iotlb_messages;
	bool has_channel;   /* the owner has the back-end's channel */
	bool channel_noted; /* people know that misses cannot be asked for */

	/* ---- session_inflight.c ---- */
	struct gw_memmap *inflight; /* the area of SET_INFLIGHT_FD, or NULL */
	uint64_t inflight_bytes;
	uint16_t inflight_queues, inflight_size;

	/* ---- session_device.c ---- */
	uint8_t status; /* virtio's; SET_STATUS */
	int load_fd;    /* where a state comes from, or -1 */
	bool state_bad; /* the last transfer failed */

	/* ---- session_carry.c ---- */
	bool paused;  /* session_pause: no ring starts */
	bool carried; /* it was imported, and the owner has been told nothing yet */

	bool closed;
	bool dead; /* nothing is taken any more; `death` says why */
	struct gw_error death;

	struct message message; /* being read or worked on; has the fds of both */
	uint8_t input[SESSION_INPUT_MAX];
	size_t input_len;
};

/* What a handler returns if it, or the op it began, sees to the answer. */
#define SESSION_ANSWERED 1

/* ---- session.c ---- */

/* No further message: remembers why. Returns -EPROTO. */
int session_die(struct session *session, const struct gw_error *err);
int session_reply(struct session *session, uint32_t request, const void *payload, uint32_t size);
int session_reply_u64(struct session *session, uint32_t request, uint64_t value);
/* With a descriptor beside it, which stays the caller's. */
int session_reply_fd(struct session *session, uint32_t request, const void *payload, uint32_t size,
		     int fd);
/* REPLY_ACK for `request`: ret 0 is success. A failure comes with its text in err. */
int session_acknowledge(struct session *session, uint32_t request, bool wanted, int ret,
			const struct gw_error *err);
void session_note(struct session *session, int level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- session_ring.c ---- */

/* The op that begins next stops this ring, or all of them, if they run. */
void session_choose(struct session *session, unsigned int index);
void session_choose_all(struct session *session);
/*
 * Begins op for the message being worked on: stops the rings that were chosen.
 * SESSION_ANSWERED, or -EPROTO if it ended at once and the session with it.
 */
int session_op_begin(struct session *session, enum session_op op);
/* The second half of an op that rings do not end: session_iotlb.c. */
int session_op_finish(struct session *session, int ret, const struct gw_error *err);
bool session_any_ring(const struct session *session, enum session_ring_phase phase);
/* Some ring runs or is on its way to a stop. */
bool session_in_use(const struct session *session);
/* Starts a ring if it has all it needs and does not run. 0, or what ops->ring_start said. */
int session_ring_try_start(struct session *session, unsigned int index, struct gw_error *err);
int session_rings_try_start(struct session *session, struct gw_error *err);
/* Forgets kick, call and err descriptors of all rings, which are stopped. */
void session_rings_drop_fds(struct session *session);

/*
 * Handlers of messages, with checked payloads: 0 (done: acknowledge it if asked),
 * SESSION_ANSWERED, or -errno with a text (refused; -EPROTO: the session is over).
 */
typedef int session_handler(struct session *session, struct message *message, struct gw_error *err);

/* ---- session_negotiate.c ---- */

session_handler session_get_features, session_set_features, session_set_owner,
	session_get_protocol_features, session_set_protocol_features, session_get_queue_num,
	session_set_status, session_get_status;

/* ---- session_vring.c ---- */

session_handler session_set_vring_num, session_set_vring_addr, session_set_vring_base,
	session_get_vring_base, session_skip_drain, session_set_vring_kick, session_set_vring_call,
	session_set_vring_err, session_set_vring_enable, session_reset_owner, session_reset_device;

/* ---- session_memory.c ---- */

session_handler session_set_mem_table, session_get_max_mem_slots, session_add_mem_reg,
	session_rem_mem_reg;
/* The second half: all rings are stopped. Puts op_memmap in place and starts them again. */
int session_memory_swap(struct session *session, struct gw_error *err);
/* Memory is gone: tells the owner and gives the reference back. */
void session_memory_drop(struct session *session);

/* ---- session_log.c ---- */

session_handler session_set_log_base, session_set_log_fd;
/* Features or the area changed: tells the owner if that makes a difference. */
void session_log_apply(struct session *session);
void session_log_drop(struct session *session);

/* ---- session_iotlb.c ---- */

session_handler session_iotlb_msg;
/* Features changed: a table, or none. -ENOMEM with a text. */
int session_iotlb_apply(struct session *session, struct gw_error *err);
/* The parts of a ring can be translated, or never will: what is missing is asked for. */
bool session_iotlb_ready(struct session *session, const struct session_ring_state *ring);
/* The second half: rings that had to stop have stopped. */
int session_iotlb_swap(struct session *session);
/* A ring was stopped for good: nothing is known any more if it was the last one. -ENOMEM. */
int session_iotlb_idle(struct session *session, struct gw_error *err);
void session_iotlb_drop(struct session *session);

/* ---- session_miss.c ---- */

session_handler session_set_backend_req_fd;
/* A message came: what is mapped now was answered, what lies in [first, last] is void. */
void session_misses_settle(struct session *session, uint64_t first, uint64_t last);
void session_misses_forget(struct session *session);

/* ---- session_inflight.c ---- */

session_handler session_get_inflight_fd, session_set_inflight_fd;
/* Where ring `index` keeps its record; NULL: nowhere. -EINVAL with a text: it does not fit. */
int session_inflight_record(const struct session *session, unsigned int index, void **record,
			    struct gw_error *err);
void session_inflight_drop(struct session *session);
int session_inflight_map(struct session *session, int fd, const struct message_inflight *area,
			 struct gw_error *err);

/* ---- session_device.c ---- */

session_handler session_send_rarp, session_net_set_mtu, session_get_config, session_set_config,
	session_set_device_state_fd, session_check_device_state;
