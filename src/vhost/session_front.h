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
#include <linux/virtio_config.h>
#include <stdbool.h>
#include <stdint.h>

/* The guest's memory in these tests: two regions of one file. */
#define FRONT_REGION_BYTES 0x200000ull
#define FRONT_USER_ADDR    0x7f0000000000ull
#define FRONT_HIGH_ADDR    0x100000000ull
#define FRONT_RING_SIZE    256u
#define FRONT_RINGS        2u /* of front_open */

#define FRONT_PROTOCOL_FEATURES                                                         \
	(1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK | 1ull << VHOST_USER_PROTOCOL_F_RARP | \
	 1ull << VHOST_USER_PROTOCOL_F_NET_MTU)
#define FRONT_VIRTIO_FEATURES \
	(1ull << 32 | 1ull << 29 | 1ull << 28 | 1ull << 15 | 1ull << 11 | 1ull << 0)
#define FRONT_FEATURES (FRONT_VIRTIO_FEATURES | 1ull << VHOST_USER_F_PROTOCOL_FEATURES)

/* All that can be offered: front_open_as. */
#define FRONT_ALL_FEATURES                                                                 \
	(FRONT_FEATURES | 1ull << VHOST_F_LOG_ALL_BIT | 1ull << VIRTIO_F_ACCESS_PLATFORM | \
	 1ull << VIRTIO_F_RING_PACKED)
#define FRONT_ALL_PROTOCOL_FEATURES                                                            \
	(FRONT_PROTOCOL_FEATURES | 1ull << VHOST_USER_PROTOCOL_F_MQ |                          \
	 1ull << VHOST_USER_PROTOCOL_F_LOG_SHMFD | 1ull << VHOST_USER_PROTOCOL_F_BACKEND_REQ | \
	 1ull << VHOST_USER_PROTOCOL_F_CONFIG | 1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD | \
	 1ull << VHOST_USER_PROTOCOL_F_RESET_DEVICE |                                          \
	 1ull << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS |                                   \
	 1ull << VHOST_USER_PROTOCOL_F_STATUS | 1ull << VHOST_USER_PROTOCOL_F_DEVICE_STATE |   \
	 1ull << VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT |                               \
	 1ull << VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN)

struct front {
	struct session_config config;
	uint64_t offered, protocol_offered;
	struct session *session;
	struct gw_error err; /* of the last input */
	unsigned int open_fds;
	int memory_fd;

	/* How the owner behaves. */
	bool late;                             /* ring_stop is answered by front_stop_rings only */
	bool late_iotlb;                       /* so is ops->iotlb with a stale range */
	uint32_t stop_base[SESSION_RINGS_MAX]; /* what ring_stop is answered with */
	int start_ret, send_ret, load_ret;
	unsigned int rings; /* that front_connect and front_start are about */
	char state[64];     /* of the device: what is saved, and what was loaded */
	size_t state_len;

	/* What the session did. */
	uint8_t reply[8192]; /* the replies to the last input, one after the other */
	size_t reply_len;
	int reply_fd; /* beside one of them; closed by the next input */
	unsigned int starts[SESSION_RINGS_MAX], stops[SESSION_RINGS_MAX];
	unsigned int enables[SESSION_RINGS_MAX], fd_changes[SESSION_RINGS_MAX];
	bool stopping[SESSION_RINGS_MAX], handed[SESSION_RINGS_MAX];
	unsigned int overs[SESSION_RINGS_MAX], resets[SESSION_RINGS_MAX];
	struct ring_config over;                     /* as of the last ring_over */
	size_t over_reply_len;                       /* of what had been replied by then */
	struct session_ring ring[SESSION_RINGS_MAX]; /* as of the last ring_start or ring_fds */
	unsigned int logs, iotlbs, channels, announcements;
	struct dirty_log *log; /* no reference */
	struct iotlb *iotlb;   /* no reference */
	bool iotlb_waits;
	unsigned int stale_count;
	uint64_t stale_bytes;
	int channel_fd;         /* -1: none */
	uint8_t backend[16384]; /* messages on the back-end's channel, all of them */
	size_t backend_len;
	unsigned int backend_writes;
	uint8_t mac[6];
	uint32_t mtu;
	unsigned int memories, memories_gone, feature_sets, notes, disposals;
	struct gw_memmap *memmap; /* the owner's reference */
	uint64_t features;
	char note[512];
};

/* ---- session_front_owner.c ---- */

void front_open(struct front *front);
/* With other features, protocol features, and so many queue pairs. */
void front_open_as(struct front *front, uint64_t features, uint64_t protocol_features,
		   unsigned int pairs);
/* What its session was made with: for one that takes over. */
const struct session_config *front_config(struct front *front);
/* Answers what waits for it, as the driver would: ring_stop, ops->iotlb. Then goes on. */
int front_stop_rings(struct front *front);
/* Disconnects (a ring that is stopping is answered), and compares the descriptors. */
void front_close(struct front *front);
unsigned int front_count_fds(void);

/* cmocka's, of a test file's `front`: front_open, unless setup is another; and front_close. */
int front_setup(void **state);
int front_teardown(void **state);
#define FRONT_TEST(name, setup) \
	cmocka_unit_test_prestate_setup_teardown(name, setup, front_teardown, &front)

/* ---- session_front.c ---- */

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

/* The one reply there is, of exactly this request and size. */
void front_reply_payload(const struct front *front, uint32_t request, void *payload, uint32_t size);
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
