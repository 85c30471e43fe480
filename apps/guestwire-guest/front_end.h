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
 * ring states suggest and other front-ends do. Ring 0 is the guest's RX, ring 1 its TX.
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

struct front_end_config {
	const char *path;
	bool listen;
	int connect_timeout_ms; /* for the socket to appear and be accepted */
	int reply_timeout_ms;   /* for each answer */
	uint64_t wanted;        /* virtio features, PROTOCOL_FEATURES among them */
	uint64_t wanted_protocol;
	uint64_t required; /* virtio features without which there is no point */
	bool ack_all;      /* NEED_REPLY on every message, not only where QEMU asks */
	bool enable_last;  /* SET_VRING_ENABLE after the rings are set up */
	bool trace;        /* each message on stderr */
};

struct front_end {
	const struct front_end_config *config;
	int sock;
	uint64_t offered;
	uint64_t features; /* negotiated */
	uint64_t offered_protocol;
	uint64_t protocol;
	uint64_t queue_count;
	struct fail fail;
};

/* All return 0 or a negative errno with a sentence in fail. */
int front_end_open(struct front_end *fe, const struct front_end_config *config);
void front_end_close(struct front_end *fe);
int front_end_negotiate(struct front_end *fe, struct driver_ring *rx, struct driver_ring *tx);
int front_end_start(struct front_end *fe, const struct guest_memory *memory, struct driver_ring *rx,
		    struct driver_ring *tx);
/* Before the rings stop: says so through the status, where negotiated. */
int front_end_stop(struct front_end *fe);
/* Stops a ring; base is where the back-end would go on in the available ring. */
int front_end_stop_ring(struct front_end *fe, uint32_t index, uint32_t *base);

/* Single messages, for start above and for misbehaviour. */
int front_end_set_memory(struct front_end *fe, const struct guest_memory *memory);
int front_end_set_addr(struct front_end *fe, uint32_t index, const struct driver_ring *ring);
int front_end_set_state(struct front_end *fe, uint32_t request, uint32_t index, uint32_t num);
int front_end_set_fd(struct front_end *fe, uint32_t request, uint32_t index, int fd);
int front_end_get_u64(struct front_end *fe, uint32_t request, uint64_t *value);
int front_end_set_u64(struct front_end *fe, uint32_t request, uint64_t value);

/* Sends any message and, where the protocol then gives one, waits for the ack. */
int front_end_request(struct front_end *fe, uint32_t request, const void *payload, uint32_t size,
		      const int *fds, uint32_t fd_count, bool want_ack);
int front_end_receive(struct front_end *fe, uint32_t request, void *payload, uint32_t size);
/* Bytes on the socket with descriptors beside them; no protocol at all. */
int front_end_send_bytes(struct front_end *fe, const void *bytes, size_t len, const int *fds,
			 uint32_t fd_count);

/* Names of features, for options and summaries; bit < 0 at the end. */
enum front_end_kind {
	FEATURE_VIRTIO,
	FEATURE_PROTOCOL,     /* of vhost-user */
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
