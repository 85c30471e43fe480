/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of a session, shared by session.c (bytes, dispatch, answers),
 * session_negotiate.c (features), session_vring.c (messages about a ring),
 * session_ring.c (starting and stopping them) and session_memory.c (the memory
 * table). Nobody else includes it.
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
};

enum session_op {
	SESSION_OP_NONE = 0,
	SESSION_OP_GET_BASE,
	SESSION_OP_MEMORY,
	SESSION_OP_RESET,
	SESSION_OP_CLOSE,
};

struct session {
	struct session_config config;
	struct session_ring_state ring[SESSION_RINGS_MAX];
	unsigned int rings;       /* how many there are: 2 * pairs_max */
	struct gw_memmap *memmap; /* one reference, or NULL */

	uint64_t features;          /* acknowledged; valid if has_features */
	uint64_t protocol_features; /* acknowledged */
	uint32_t mtu;
	bool has_features;
	bool owned; /* SET_OWNER was seen */

	enum session_op op;
	bool beginning;              /* inside session_op_begin: its caller ends the op */
	struct gw_memmap *op_memmap; /* OP_MEMORY: the one to come, one reference */
	unsigned int op_index;       /* OP_GET_BASE */
	uint32_t op_request;         /* what is to be answered ... */
	bool op_ack;                 /* ... with a REPLY_ACK, if true */

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
bool session_any_ring(const struct session *session, enum session_ring_phase phase);
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
	session_send_rarp, session_net_set_mtu;

/* ---- session_vring.c ---- */

session_handler session_set_vring_num, session_set_vring_addr, session_set_vring_base,
	session_get_vring_base, session_set_vring_kick, session_set_vring_call,
	session_set_vring_err, session_set_vring_enable, session_reset_owner;

/* ---- session_memory.c ---- */

session_handler session_set_mem_table;
/* The second half: all rings are stopped. Puts op_memmap in place and starts them again. */
int session_memory_swap(struct session *session, struct gw_error *err);
/* Memory is gone: tells the owner and gives the reference back. */
void session_memory_drop(struct session *session);
