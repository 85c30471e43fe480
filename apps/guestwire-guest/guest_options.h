/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: one table makes the parser, and the help (guest_options.c). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chain_layout.h"
#include "guest_packet.h"
#include "pattern.h"

#define GUEST_MAX_FRAME       65562u /* two VLAN tags, Ethernet header and 64 KiB, and a bit */
#define GUEST_MAX_STREAM_LIST 512u

struct guest_range {
	uint64_t low, high;
};

struct guest_mac {
	bool given;
	uint8_t bytes[PATTERN_MAC_BYTES];
};

struct guest_list {
	uint32_t count;
	uint32_t values[GUEST_MAX_STREAM_LIST];
};

enum guest_indirect { INDIRECT_ALWAYS, INDIRECT_NEVER, INDIRECT_MIXED };
enum guest_pattern { GUEST_PATTERN_FRESH, GUEST_PATTERN_FIXED };
enum guest_ack { ACK_QEMU, ACK_ALL };
enum guest_checksum { CHECKSUM_AUTO, CHECKSUM_PARTIAL, CHECKSUM_COMPLETE };
enum guest_order { ORDER_QEMU, ORDER_ENABLE_LAST };

struct guest_options {
	/* where */
	const char *socket;
	const char *interface;
	bool listen;

	/* what */
	bool send_given;
	uint64_t send; /* 0: no end */
	struct guest_range size;
	uint64_t size_step;
	uint64_t receive;
	bool receive_given;
	bool verify;
	uint64_t stream;
	struct guest_list receive_streams;
	uint64_t ethertype;
	struct guest_mac src, dst;
	int pattern; /* enum guest_pattern */

	/* packets and offloads */
	int packet; /* enum packet_kind */
	uint64_t mss;
	uint64_t tags;
	uint64_t extra;
	uint64_t port;
	int checksum;      /* enum guest_checksum */
	uint64_t offloads; /* virtio bits to negotiate */

	/* how the frames lie */
	struct guest_range descriptors;
	int indirect; /* enum guest_indirect */
	int header;   /* enum layout_header */
	bool unaligned, cross_page, scribble;
	bool rewrite_given;
	uint64_t rewrite; /* stream */
	uint64_t rx_buffer;
	struct guest_range rx_descriptors;
	int rx_header;

	/* the machine */
	uint64_t memory_mib;
	bool hugetlb, adjacent, no_seal;
	uint64_t regions;
	uint64_t ring_size;
	int ring; /* enum driver_ring_kind */
	bool in_order;
	uint64_t queues;    /* pairs */
	uint64_t toggle_ms; /* 0: never */
	bool inflight;
	bool log;
	bool slots;
	uint64_t plug_ms; /* 0: never */
	bool iommu;
	uint64_t invalidate_ms; /* 0: never */
	uint64_t suspend_ms;    /* 0: never */
	uint64_t reset_ms;      /* 0: never */
	bool inflight_own;      /* of misbehaviour */
	int resume;             /* enum front_end_resume */
	bool reconnect_given;
	double reconnect_s;
	bool duplicates_allowed, ordered;
	uint64_t features_off; /* virtio bits; protocol bits apart */
	uint64_t protocol_off;
	int ack;   /* enum guest_ack */
	int order; /* enum guest_order */

	/* pace and end */
	uint64_t rate;
	uint64_t window;
	uint64_t lead; /* frames a second while --start-fd has not said go */
	uint64_t batch;
	bool poll;
	bool hold;
	double duration_s;
	double warm_up_s; /* 0: no steady rate is reported */
	double timeout_s;
	bool timeout_given;
	double settle_s;
	double connect_timeout_s;

	/* report */
	bool json;
	double stats_interval_s;
	uint64_t ready_fd; /* UINT64_MAX: none */
	uint64_t start_fd; /* the same */
	bool trace, addresses;
	const char *misbehave;
};

/* Before the command line is read, and after it; NULL, or why it cannot be. */
void options_defaults(struct guest_options *options);
void options_complete(struct guest_options *options);
const char *options_contradiction(const struct guest_options *options);
/* Bits of all offloads there are. */
uint64_t options_all_offloads(void);
/* The size of frame number n. */
uint32_t options_size(const struct guest_options *options, uint64_t n);
/* The packets that these options ask for; partial and ecn are not said yet. */
struct packet_shape options_packet(const struct guest_options *options);

enum guest_parse { PARSE_RUN, PARSE_DONE, PARSE_BAD };

/* PARSE_DONE: help or version was printed. PARSE_BAD: the reason was, on stderr. */
enum guest_parse guest_options_parse(struct guest_options *options, int argc, char **argv);
