/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front-end's side of vhost-user, as QEMU 7.2 speaks it to a network
 * back-end:
 *
 *   connect	GET_FEATURES, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES,
 *		(GET_QUEUE_NUM), SET_OWNER, GET_FEATURES, SET_VRING_CALL and _ERR per
 *		ring
 *   start	SET_VRING_ENABLE per ring, SET_FEATURES, (status FEATURES_OK),
 *		SET_MEM_TABLE, then per ring SET_VRING_NUM, _BASE, _ADDR, _KICK, _CALL,
 *		and (status DRIVER_OK)
 *   stop	(status 0), GET_VRING_BASE per ring
 *
 * Status 0 before the rings are asked for their base is what QEMU does: a back-end
 * that takes it for the end of everything loses the base.
 *
 * With enable_last, SET_VRING_ENABLE comes after all of it, as the specification's
 * ring states suggest and other front-ends do. Ring 2n is the guest's RX of pair n, ring
 * 2n+1 its TX.
 *
 * After a back-end has died the same is said to the next one: the same memory, rings
 * and features, the rings' base at what is used (front_end_config.resume), and the
 * in-flight file that its predecessor made, where that was negotiated.
 *
 * Every wait has a deadline. A back-end that closes, answers another question, or
 * does not answer gives an error with a sentence.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "driver_ring.h"
#include "fail.h"
#include "guest_memory.h"

#define FRONT_END_RX          0u
#define FRONT_END_TX          1u
#define FRONT_END_MAX_PAYLOAD 512u
#define FRONT_END_MAX_PAIRS   128u /* an index of a ring has 8 bits */
#define FRONT_END_MAX_RINGS   (2 * FRONT_END_MAX_PAIRS)

struct front_end_rings {
	uint32_t count;
	struct driver_ring *ring[FRONT_END_MAX_RINGS];
};

/* "Inflight I/O tracking": the file that a back-end made, kept over connections. */
struct front_end_inflight {
	int fd; /* -1: none yet */
	uint64_t mmap_size, mmap_offset;
	uint16_t queues, queue_size;
};

/* Where a packed ring goes on after a loss: QEMU 7.2 says what the last orderly stop
 * said, here the start; or behind what is used. A split ring: the used index. */
enum front_end_resume { RESUME_QEMU, RESUME_USED };

/* The dirty log, from when it is switched on until the end. */
struct front_end_log {
	int fd;
	uint64_t bytes;
};

struct front_end_config {
	const char *path;
	bool listen;
	int connect_timeout_ms; /* for the socket to appear and be accepted */
	int reply_timeout_ms;   /* for each answer */
	uint64_t wanted;        /* virtio features, PROTOCOL_FEATURES among them */
	uint64_t wanted_protocol;
	uint64_t required; /* virtio features without which there is no point */
	uint64_t required_protocol;
	struct front_end_inflight *inflight; /* NULL: not wanted */
	bool inflight_own;                   /* in a copy of the file, which nobody has sealed */
	enum front_end_resume resume;
	bool ack_all;     /* NEED_REPLY on every message, not only where QEMU asks */
	bool enable_last; /* SET_VRING_ENABLE after the rings are set up */
	bool trace;       /* each message on stderr */
};

struct front_end {
	const struct front_end_config *config;
	int sock;
	uint64_t offered;
	uint64_t features; /* negotiated */
	uint64_t offered_protocol;
	uint64_t protocol;
	uint64_t queue_count; /* pairs, as a back-end of a network counts */
	struct fail fail;
};

/* All return 0 or a negative errno with a sentence in fail. */
int front_end_open(struct front_end *fe, const struct front_end_config *config);
void front_end_close(struct front_end *fe);
int front_end_negotiate(struct front_end *fe, const struct front_end_rings *rings);
/* memory NULL: it was shared before (RESET_DEVICE leaves it). */
int front_end_start(struct front_end *fe, const struct guest_memory *memory,
		    const struct front_end_rings *rings);
/* Rings that were stopped go on where they were; all else is as it was. */
int front_end_go_on(struct front_end *fe, const struct front_end_rings *rings,
		    const uint32_t *bases);
/* RESET_DEVICE, and it is done. What follows is front_end_start. */
int front_end_reset(struct front_end *fe);
/* Switches the log on while rings run, as QEMU does when a migration begins. */
int front_end_log(struct front_end *fe, const struct front_end_log *log,
		  const struct front_end_rings *rings);
/* Before the rings stop: says so through the status, where negotiated. */
int front_end_stop(struct front_end *fe);
/* Stops a ring; base is where the back-end would go on in the available ring. */
int front_end_stop_ring(struct front_end *fe, uint32_t index, uint32_t *base);
/* The same, by GET_VRING_BASE_SKIP_DRAIN where that was negotiated. */
int front_end_suspend_ring(struct front_end *fe, uint32_t index, uint32_t *base);

/* Single messages, for start above and for misbehaviour. */
int front_end_set_memory(struct front_end *fe, const struct guest_memory *memory);
/* The memory has one region more, at its end; or it is to be taken away. */
int front_end_plug(struct front_end *fe, const struct guest_memory *memory);
int front_end_unplug(struct front_end *fe, const struct guest_memory *memory);
int front_end_set_addr(struct front_end *fe, uint32_t index, const struct driver_ring *ring,
		       uint32_t flags);
int front_end_set_state(struct front_end *fe, uint32_t request, uint32_t index, uint32_t num);
int front_end_enable_ring(struct front_end *fe, uint32_t index, bool enable, bool want_ack);
int front_end_set_fd(struct front_end *fe, uint32_t request, uint32_t index, int fd);
int front_end_get_u64(struct front_end *fe, uint32_t request, uint64_t *value);
int front_end_set_u64(struct front_end *fe, uint32_t request, uint64_t value);

/* Sends any message and, where the protocol then gives one, waits for the ack. */
int front_end_request(struct front_end *fe, uint32_t request, const void *payload, uint32_t size,
		      const int *fds, uint32_t fd_count, bool want_ack);
int front_end_receive(struct front_end *fe, uint32_t request, void *payload, uint32_t size);
/* The same, of at least so many bytes, with a descriptor; -1 if none came. */
int front_end_receive_fd(struct front_end *fe, uint32_t request, void *payload, uint32_t least,
			 uint32_t size, int *fd);
/* Bytes on the socket with descriptors beside them; no protocol at all. */
int front_end_send_bytes(struct front_end *fe, const void *bytes, size_t len, const int *fds,
			 uint32_t fd_count);

static inline bool front_end_has(const struct front_end *fe, int protocol_feature)
{
	return fe->protocol >> protocol_feature & 1;
}

/* Names of features, for options and summaries; bit < 0 at the end. */
enum front_end_kind {
	FEATURE_VIRTIO,
	FEATURE_PROTOCOL, /* of vhost-user */
	FEATURE_PROTOCOL_CHOSEN,
	FEATURE_HOST_OFFLOAD, /* virtio's, negotiated only if asked for: what the device does */
	FEATURE_GUEST_OFFLOAD,
	FEATURE_CHOSEN, /* virtio's, each by an option of its own */
};

struct front_end_feature {
	const char *name;
	int bit;
	enum front_end_kind kind;
};
extern const struct front_end_feature front_end_features[];

static inline bool front_end_is_protocol(enum front_end_kind kind)
{
	return kind == FEATURE_PROTOCOL || kind == FEATURE_PROTOCOL_CHOSEN;
}
