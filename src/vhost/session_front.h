/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Test support: a front-end without a socket, and an owner that writes down what
 * its session asks of it.
 *
 * Opening one counts the process's open descriptors, closing it compares: each
 * test that uses it proves that no path loses one.
 */
#pragma once

#include "session.h"
#include <stdbool.h>
#include <stdint.h>

/* The guest's memory in these tests: two regions of one file. */
#define FRONT_REGION_BYTES 0x200000ull
#define FRONT_USER_ADDR    0x7f0000000000ull
#define FRONT_HIGH_ADDR    0x100000000ull
#define FRONT_RING_SIZE    256u

#define FRONT_PROTOCOL_FEATURES                                                         \
	(1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK | 1ull << VHOST_USER_PROTOCOL_F_RARP | \
	 1ull << VHOST_USER_PROTOCOL_F_NET_MTU)
#define FRONT_VIRTIO_FEATURES \
	(1ull << 32 | 1ull << 29 | 1ull << 28 | 1ull << 15 | 1ull << 11 | 1ull << 0)
#define FRONT_FEATURES (FRONT_VIRTIO_FEATURES | 1ull << VHOST_USER_F_PROTOCOL_FEATURES)

struct front {
	struct session *session;
	struct gw_error err; /* of the last input */
	unsigned int open_fds;
	int memory_fd;

	/* How the owner behaves. */
	bool late;             /* ring_stop is answered by front_stop_rings only */
	uint16_t stop_base[2]; /* what it is answered with */
	int start_ret, send_ret;

	/* What the session did. */
	uint8_t reply[8192]; /* the replies to the last input, one after the other */
	size_t reply_len;
	unsigned int starts[2], stops[2], enables[2], fd_changes[2];
	bool stopping[2];
	struct session_ring ring[2]; /* as of the last ring_start or ring_fds */
	unsigned int memories, memories_gone, feature_sets, notes;
	struct gw_memmap *memmap; /* the owner's reference */
	uint64_t features;
	char note[512];
};

void front_open(struct front *front);
/* Disconnects (a ring that is stopping is answered), and compares the descriptors. */
void front_close(struct front *front);

/* Each of these returns what session_input said; fds are given away. */
int front_bytes(struct front *front, const void *bytes, size_t len, const int *fds,
		unsigned int fd_count);
int front_send(struct front *front, uint32_t request, uint32_t flags, const void *payload,
	       uint32_t size, const int *fds, unsigned int fd_count);
int front_empty(struct front *front, uint32_t request);
int front_u64(struct front *front, uint32_t request, uint64_t value);
int front_state(struct front *front, uint32_t request, uint32_t index, uint32_t num);
/* With VHOST_USER_NEED_REPLY. */
int front_ack(struct front *front, uint32_t request, const void *payload, uint32_t size,
	      const int *fds, unsigned int fd_count);
int front_state_ack(struct front *front, uint32_t request, uint32_t index, uint32_t num);
int front_addr(struct front *front, uint32_t index, uint64_t desc, uint32_t flags);
/* SET_VRING_KICK, _CALL, _ERR with a descriptor, and with a fresh eventfd. */
int front_ring_fd(struct front *front, uint32_t request, uint64_t value, int fd);
int front_eventfd(struct front *front, uint32_t request, uint32_t index);
/* SET_MEM_TABLE of the first count of the test's regions, as they are or as in `regions`. */
int front_memory(struct front *front, unsigned int count, uint32_t flags);
int front_regions(struct front *front, const struct message_region *regions, unsigned int count,
		  uint32_t flags);
extern const struct message_region front_region[2];

/* QEMU from the connection to the point where it waits for the guest's driver. */
void front_connect(struct front *front);
/* What QEMU sends when the guest's driver says that it is ready, without SET_FEATURES ... */
void front_start(struct front *front, uint16_t base);
/* ... and with. */
void front_connect_start(struct front *front);

/* Answers all ring_stop that were not; as the driver would, then goes on. */
int front_stop_rings(struct front *front);

/* Exactly one reply, of this request, with a u64; returns it. */
uint64_t front_reply_u64(const struct front *front, uint32_t request);
struct message_vring_state front_reply_state(const struct front *front, uint32_t request);
/* The session is over, says why, and takes nothing any more. */
void front_expect_over(struct front *front, int ret);
/* The front-end asked: a failed acknowledgement of the last input, and the session goes on. */
void front_expect_refused(struct front *front, int ret, uint32_t request);
/* It did not ask, and can be lived with: a note for people. */
void front_expect_noted(struct front *front, int ret);

/* Descriptors that are neither eventfd nor memory; kind < FRONT_OTHER_FDS. */
#define FRONT_OTHER_FDS 5u
int front_other_fd(unsigned int kind);

unsigned int front_count_fds(void);
