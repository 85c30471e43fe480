/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One vhost-user connection as a state machine, without sockets.
 *
 * Bytes and file descriptors go in through session_input, replies come out
 * through ops->send, and what the front-end wants of the device is told through
 * the other ops. It knows what was negotiated, each ring's size, addresses, base
 * and eventfds, and the current memmap, and when a ring may run: started by a
 * kick descriptor (vhost-user, "Ring states"), enabled by SET_VRING_ENABLE or,
 * without protocol features, from the start.
 *
 * Stopping a ring and changing memory take time, because loans must come home
 * first. These ops may answer later (session_ring_stopped); until then the
 * session takes no further message: session_busy() tells the owner not to read.
 *
 * A front-end is hostile: each limit has a name. What is malformed ends this
 * session, and only this one (-EPROTO out of session_input). What is well-formed
 * but cannot be done is refused: with a failed REPLY_ACK if the front-end asked
 * for an answer; otherwise the table in session.c says for each request whether a
 * front-end that does not learn of the refusal can be lived with (a note for
 * people) or not (the session ends).
 *
 * What is offered says session_config; a message whose feature was not negotiated is
 * refused. Of the specification, these are not spoken at all: postcopy (a device has
 * the memory pinned), in-band notifications, crypto, GPU, shared objects and memory,
 * rings of the other byte order, guest physical ring addresses.
 *
 * Life: session_create, session_input ... session_input, session_close (always,
 * after -EPROTO too), session_destroy once session_busy() is false. A front-end
 * that comes back gets a new session. All functions and all ops run on one
 * control thread; an op must not call session_input, session_continue or
 * session_close.
 */
#pragma once

#include "dirty_log.h"
#include "iotlb.h"
#include "memmap.h"
#include "message.h"
#include "ring.h"
#include <guestwire/error.h>

/* Queue pairs of one session (the ring index of vhost-user messages has 8 bits). */
#define SESSION_PAIRS_MAX       128u
/* Of pair n, ring 2n receives and 2n + 1 transmits. */
#define SESSION_RINGS_MAX       (2 * SESSION_PAIRS_MAX)
/* Bytes not yet worked on that a session keeps: any message, and more. */
#define SESSION_INPUT_MAX       4096u
/* What an exported session takes at most: rings, regions, I/O addresses. */
#define SESSION_CARRY_BYTES_MAX (128u * 1024u)
/* And of descriptors: of a message in part, of the log, of records, of a state. */
#define SESSION_FDS_BESIDE      (VHOST_USER_MAX_FDS + 3)
#define SESSION_CARRY_FDS_MAX   (MEMMAP_REGIONS_MAX + 3 * SESSION_RINGS_MAX + SESSION_FDS_BESIDE)
/* NET_SET_MTU: the smallest that IPv4 permits, and the largest of virtio-net. */
#define SESSION_MTU_MIN         68u
#define SESSION_MTU_MAX         65535u

/* A ring that is ready to run: what ops->ring_start gets. fds stay the session's. */
struct session_ring {
	struct ring_config config;
	int kick_fd, call_fd, err_fd; /* -1: none (polling, or not wanted) */
	bool enabled;
};

/* Memory that an IOTLB invalidation takes away, as this process sees it. */
struct session_stale {
	const struct iovec *range;
	unsigned int count;
};

struct session_ops {
	/*
	 * A whole reply, and a descriptor beside it (-1: none; it stays the session's). 0
	 * or -errno (then the session is over).
	 */
	int (*send)(void *arg, const uint8_t *bytes, size_t len, int fd);
	/* A ring has all it needs. If it cannot start, it stays stopped and err says why. */
	int (*ring_start)(void *arg, unsigned int index, const struct session_ring *ring,
			  struct gw_error *err);
	/*
	 * Stop taking chains, bring loans home; then session_ring_stopped(). May call it
	 * before it returns. The ring's fds stay open until then. With `handed` what is in
	 * flight stays in the record (ring.config.record) for the next back-end
	 * (GET_VRING_BASE_SKIP_DRAIN): session_hands_runs.
	 */
	void (*ring_stop)(void *arg, unsigned int index, bool handed);
	/*
	 * A run is over and not to be gone on with. The front-end has its base now
	 * (GET_VRING_BASE); or it resets a ring that has stopped before, because memory
	 * changed or an IOMMU took its place away: with `reset` the guest forgets all. Else
	 * what was in flight still is. If the front-end gave another area since, the record
	 * is of that one, or NULL; and size and features may be others than they were, so
	 * that it is not known how long it is (ring_record_end).
	 */
	void (*ring_over)(void *arg, unsigned int index, const struct session_ring *ring,
			  bool reset);
	/* SET_VRING_ENABLE on a running ring. */
	void (*ring_enable)(void *arg, unsigned int index, bool enabled);
	/*
	 * SET_VRING_KICK, _CALL or _ERR on a running ring: fds changed. The ones before
	 * are closed when this returns, so the worker must have let go of them by then.
	 */
	void (*ring_fds)(void *arg, unsigned int index, const struct session_ring *ring);
	/*
	 * A new memory table was mapped; all rings are stopped. `memmap` NULL: memory is
	 * gone (session_close). The receiver takes its own reference and gives back the
	 * one to the memmap before.
	 */
	void (*memory)(void *arg, struct gw_memmap *memmap);
	/* Features were acknowledged. */
	void (*features)(void *arg, uint64_t features);
	/*
	 * The dirty log for all rings that run: on, another, or off (NULL). The receiver
	 * takes its own reference; when this returns nobody writes unmarked.
	 */
	void (*log)(void *arg, struct dirty_log *log);
	/*
	 * Other I/O addresses for all rings that run. If `stale` is not NULL, these were
	 * taken away: nothing may be read or written there any more when session_iotlb_done()
	 * is called, here or later. NULL: there is no IOMMU any more, and no ring runs.
	 */
	void (*iotlb)(void *arg, struct iotlb *iotlb, const struct session_stale *stale);
	/* SET_BACKEND_REQ_FD: our own channel, whose fd the receiver owns. -1: none any more. */
	void (*backend_channel)(void *arg, int fd);
	/* A whole message of ours on that channel; 0 or -errno. */
	int (*backend_send)(void *arg, const uint8_t *bytes, size_t len);
	/* SEND_RARP: the guest's address, to be announced in its network. */
	void (*announce)(void *arg, const uint8_t mac[6]);
	/* NET_SET_MTU. It is also what the configuration space has from then on. */
	void (*mtu)(void *arg, uint32_t mtu);
	/*
	 * DEVICE_STATE: what a back-end elsewhere has to know and no ring tells. save
	 * writes at most `room` bytes and returns how many; load: 0, or -errno with a text.
	 */
	size_t (*state_save)(void *arg, uint8_t *bytes, size_t room);
	int (*state_load)(void *arg, const uint8_t *bytes, size_t len, struct gw_error *err);
	/*
	 * To be closed: a descriptor of the front-end's that nobody looked at. To close it
	 * can take as long as he likes (a socket that lingers, a pipe that is held), so not
	 * on a thread that others need.
	 */
	void (*dispose)(void *arg, int fd);
	/* Something for people to read: what a front-end did wrong, what was ignored. */
	void (*note)(void *arg, int level, const char *line);
};

struct session_config {
	const struct session_ops *ops;
	void *arg;
	uint64_t features;          /* offered, VHOST_USER_F_PROTOCOL_FEATURES included */
	uint64_t protocol_features; /* offered */
	struct memmap_arena arena;  /* second view in each memmap */
	uint32_t ring_size_max;
	unsigned int pairs_max; /* 1 to SESSION_PAIRS_MAX: GET_QUEUE_NUM */
};

struct session;

int session_create(const struct session_config *config, struct session **session);
/* Sends nothing; no ring may run or be stopping (see session_close). NULL is fine. */
void session_destroy(struct session *session);

/*
 * How many bytes to read next: up to the end of the header or of the message,
 * never past it. An owner that reads no more than this at a time gets the
 * descriptors of a message together with that message; one that reads more
 * cannot know whose they are, since the kernel does not say.
 */
size_t session_want(const struct session *session);
/*
 * Bytes as they came from the socket, any cut; fds that came beside them (the
 * session owns them from here on, whatever it returns), which belong to the
 * message that is incomplete, or else to the one that begins here. What cannot be
 * worked on yet is kept. 0, or -EPROTO with a text: the connection must end. Must
 * not be called while session_busy().
 */
int session_input(struct session *session, const uint8_t *bytes, size_t len, const int *fds,
		  unsigned int fd_count, struct gw_error *err);
/* True while an op has not answered yet. */
bool session_busy(const struct session *session);
/*
 * Works on what is buffered, after it ceased to be busy; as session_input with
 * no new bytes.
 */
int session_continue(struct session *session, struct gw_error *err);

/*
 * In ops->ring_stop and until it is answered: the front-end ends the run (GET_VRING_BASE,
 * a reset), so that nothing of it is to be gone on with. False: memory changes, the
 * connection is gone, or we stop.
 */
bool session_ends_runs(const struct session *session);
/* The same while: with GET_VRING_BASE. ops->ring_over follows when that was answered. */
bool session_gives_base(const struct session *session);
/*
 * The same while: it ends the run, and leaves what is in flight then to whoever begins
 * the next one with that record (GET_VRING_BASE_SKIP_DRAIN). Neither is true for a
 * hand-over of ours.
 */
bool session_hands_runs(const struct session *session);
/*
 * The answer to ops->ring_stop: base is the next head to take. GET_VRING_BASE is
 * replied with it. If that makes session_busy() false, session_continue() is due,
 * and says also whether something failed here.
 */
void session_ring_stopped(struct session *session, unsigned int index, uint32_t base);

/* The answer to ops->iotlb with `stale`: nothing is read there any more. */
void session_iotlb_done(struct session *session);
/*
 * Rings miss I/O addresses, or will (ring_look_ahead): the front-end is asked, once for
 * each page, with few writes. May be called inside ops->iotlb.
 */
void session_iotlb_miss(struct session *session, const struct iotlb_miss *miss, unsigned int count);

/*
 * The connection is gone: all rings are stopped through ops->ring_stop (answers
 * may come later); when session_busy() has become false it may be destroyed.
 */
void session_close(struct session *session);

/*
 * A file that the front-end shares (memory, log, in-flight area) was shortened: the
 * session has to end. Every message looks at it; an owner does now and then.
 */
bool session_broken(const struct session *session);

/*
 * Hand-over to another process, rings and all, which the front-end does not notice.
 *
 *   here    session_pause, until not busy; session_export; if the other one says that it
 *           has it, the session is closed here without a word to the front-end, and if
 *           it does not, session_resume goes on as before.
 *   there   session_import, session_resume.
 *
 * The connection and the back-end's channel are the owner's, who passes them on himself.
 */
/* Stops all rings, which keep what they have; `handed` as in ops->ring_stop. Not while busy. */
void session_pause(struct session *session, bool handed);
/* Starts them again. After an import the owner is told first what he has to know. */
int session_resume(struct session *session, struct gw_error *err);
/*
 * A paused session as bytes (*len of at most SESSION_CARRY_BYTES_MAX) and descriptors,
 * which stay the session's. A message may be there in part. -EAGAIN: busy, or not paused.
 */
int session_export(const struct session *session, uint8_t *bytes, size_t room, size_t *len,
		   int *fds, unsigned int fd_room, unsigned int *fd_count, struct gw_error *err);
/*
 * What session_export gave, in another process: a paused session. The descriptors are
 * the session's from here on, or closed. -EPROTO: another version, or not consistent.
 */
int session_import(const struct session_config *config, const uint8_t *bytes, size_t len,
		   const int *fds, unsigned int fd_count, struct session **session,
		   struct gw_error *err);

struct gw_memmap *session_memmap(const struct session *session); /* no reference; may be NULL */
uint64_t session_features(const struct session *session);
bool session_ring_running(const struct session *session, unsigned int index);
/* The dirty log that is in force, or NULL; no reference. */
struct dirty_log *session_log(const struct session *session);
