/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device's side of a virtqueue.
 *
 * A ring is made by the control thread for one run (from kick to GET_VRING_BASE)
 * and then belongs to the worker that owns the queue. What the guest writes is
 * read once into locals, checked, and only then used; a rule that is broken marks
 * the ring broken for good (a new run starts afresh) and says which rule.
 *
 * Used entries may be pushed in any order. ring_push only collects; ring_flush
 * publishes all of them with one store of the used index.
 *
 * The split ring (VIRTIO 1.2 section 2.7) is in ring_split.c, the packed ring
 * (section 2.8) in ring_packed.c, both behind the same functions; which of them it
 * is says the feature VIRTIO_F_RING_PACKED.
 *
 * With VIRTIO_F_IN_ORDER used entries are published in the order in which chains
 * were popped, whatever the order of ring_push: what is ahead of its turn waits.
 */
#pragma once

#include "dirty_log.h"
#include "iotlb.h"
#include <guestwire/driver.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct ring;

#define RING_SIZE_MAX  32768u /* VIRTIO 1.2 section 2.7 */
/* I/O addresses that one look ahead is good for. */
#define RING_AHEAD_MAX 64u

struct ring_config {
	struct gw_memmap *memmap; /* the ring takes a reference */
	uint32_t size;            /* 1 to RING_SIZE_MAX; a power of two on a split ring */
	/*
	 * In the front-end's address space (vhost-user: SET_VRING_ADDR), or I/O addresses
	 * if there is an iotlb. Packed: descriptors, driver's and device's event area.
	 */
	uint64_t desc_addr, avail_addr, used_addr;
	/*
	 * SET_VRING_BASE. Split: the next head to take. Packed: its place in bits 0 to 14,
	 * its wrap counter in bit 15; the same for the next used one in bits 16 to 31.
	 */
	uint32_t base;
	uint64_t features; /* negotiated, by bit number */
	/* NULL, or what the ring takes a reference of; see ring_set_log, ring_set_iotlb. */
	struct dirty_log *log;
	struct iotlb *iotlb;
	/*
	 * NULL, or the record of heads in flight (ring_record.h), ring_record_bytes long
	 * at a multiple of RING_RECORD_ALIGN, which outlives the ring. If it fits, the
	 * chains it names are popped again, first and in their order, and the run goes on
	 * behind them; a split ring with none in flight, and any ring whose record does
	 * not fit, begins at `base`.
	 */
	void *record;
	/* Nothing is ever written into its buffers: a transmit ring. */
	bool reads_only;
};

/* Which rule of the specification the guest broke. X(id, name, text) */
/* clang-format off */
#define RING_FAULTS(X) \
	X(RING_FAULT_INDEX,     "avail_index_jump",        "available index ahead by more than the ring") \
	X(RING_FAULT_HEAD,      "head_out_of_range",       "descriptor head beyond the ring") \
	X(RING_FAULT_NEXT,      "next_out_of_range",       "next descriptor beyond the table") \
	X(RING_FAULT_LOOP,      "chain_too_long",          "chain longer than its table: a loop") \
	X(RING_FAULT_SEGMENTS,  "too_many_segments",       "more segments than a frame can have") \
	X(RING_FAULT_ADDRESS,   "address_unmapped",        "descriptor outside guest memory") \
	X(RING_FAULT_LENGTH,    "zero_length",             "descriptor of length zero") \
	X(RING_FAULT_ORDER,     "readable_after_writable", "readable descriptor after a writable one") \
	X(RING_FAULT_INDIRECT,  "bad_indirect",            "indirect table empty, misaligned or too long") \
	X(RING_FAULT_NESTED,    "nested_indirect",         "indirect descriptor inside an indirect table") \
	X(RING_FAULT_FEATURE,   "indirect_not_negotiated", "indirect descriptor without the feature") \
	X(RING_FAULT_REUSED,    "head_reused",             "head made available again while in flight") \
	X(RING_FAULT_DIRECTION, "wrong_direction",         "descriptors of the wrong direction for this ring") \
	X(RING_FAULT_HEADER,    "no_header",               "chain no longer than its virtio-net header") \
	X(RING_FAULT_WRAP,      "bad_wrap",                "packed descriptor in a chain that is not available") \
	X(RING_FAULT_ID,        "id_out_of_range",         "packed buffer id beyond the ring") \
	X(RING_FAULT_IOVA,      "iova_unmapped",           "I/O address that maps outside guest memory")
/* clang-format on */

#define RING_FAULT_ENUM(id, name, text) id,
enum ring_fault { RING_FAULT_NONE = 0, RING_FAULTS(RING_FAULT_ENUM) RING_FAULT_COUNT };
#undef RING_FAULT_ENUM

/* One chain: readable segments first, then writable ones, in the caller's array. */
struct ring_chain {
	uint16_t head; /* names it until it is pushed, < ring_size; packed: the buffer id */
	uint16_t read_count, write_count; /* segments */
	uint64_t read_bytes, write_bytes;
};

/* Checks size and addresses against the memmap. 0, or -EINVAL / -ENOMEM with a text. */
int ring_create(const struct ring_config *config, struct ring **ring, struct gw_error *err);
/* NULL is fine. Control. */
void ring_destroy(struct ring *ring);

/* ---- worker ---- */

/*
 * Takes the next chain. 1: taken, segments in seg[0 .. read+write), pointers in
 * the memmap's window; 0: none is available; -1: the ring is broken (now or
 * before). Adjacent segments may be merged. A chain with more than max segments
 * is a fault (max is at most GW_FRAME_SEGS_MAX). None is available also while an
 * I/O address is missing: see ring_missing.
 */
int ring_pop(struct ring *ring, struct ring_chain *chain, struct iovec *seg, unsigned int max);
/*
 * A run: chains of one readable descriptor, which is most of what guests send. Takes as many as
 * come next, at most max, and returns how many; none too where the next one is another kind of
 * chain, breaks a rule, lies in several pieces, or is one of an earlier run. So 0 says nothing:
 * ring_pop does, which finds all that a run finds, too. What they name is fetched ahead on a
 * ring that only reads.
 */
struct ring_linear {
	uint8_t *base; /* in the memmap's window */
	uint32_t len;  /* not 0 */
	uint16_t head;
};

unsigned int ring_pop_run(struct ring *ring, struct ring_linear *chain, unsigned int max);
/* Puts the last count popped chains back, to be popped again. */
void ring_unpop(struct ring *ring, unsigned int count);
/* Collects a used entry (VIRTIO 1.2 section 2.7.8); written_bytes is what we wrote. */
void ring_push(struct ring *ring, uint16_t head, uint32_t written_bytes);
/* The same for count of them, into which nothing was written. */
void ring_push_run(struct ring *ring, const uint16_t *head, unsigned int count);
/*
 * A run of a ring that is written to, and all of whose chains are given back as soon as they
 * are taken: the next chains, at most max, as far as each is one writable descriptor, without
 * taking them. Returns how many; none too where a chain is out. As with ring_pop_run, ring_pop
 * has the last word.
 */
unsigned int ring_find_writable(struct ring *ring, struct ring_linear *chain, unsigned int max);
/*
 * Takes the first count of those, and collects their used entries, in that order. Nothing
 * was asked of the ring since they were found.
 */
void ring_fill_run(struct ring *ring, const struct ring_linear *chain,
		   const uint32_t *written_bytes, unsigned int count);
/*
 * Publishes what was pushed. Returns true if the guest wants an interrupt
 * (EVENT_IDX or the no-interrupt flag; section 2.7.7).
 */
bool ring_flush(struct ring *ring);
/* Asks the guest for kicks from now on (section 2.7.10). True if a chain is available already. */
bool ring_want_kick(struct ring *ring);
/* Kicks are a waste from now on. */
void ring_no_kick(struct ring *ring);
/* Whether ring_pop would find something, without taking it. False on a broken ring. */
bool ring_has_avail(struct ring *ring);

/* Marks it broken by a rule above the ring's own knowledge (direction, header). */
void ring_break(struct ring *ring, enum ring_fault fault);
enum ring_fault ring_fault(const struct ring *ring);
const char *ring_fault_name(enum ring_fault fault);
const char *ring_fault_text(enum ring_fault fault);

/*
 * Between two visits: other I/O addresses, or a dirty log (NULL: none any more). The
 * ring takes a reference and gives back the one before, so the caller keeps another
 * until he is back on a control thread.
 */
void ring_set_iotlb(struct ring *ring, struct iotlb *iotlb);
void ring_set_log(struct ring *ring, struct dirty_log *log);
/*
 * The I/O address that ring_pop stopped at; false: none. The ring waits until it is
 * mapped, whatever else ring_set_iotlb brings.
 */
bool ring_missing(const struct ring *ring, struct iotlb_miss *miss);
/*
 * That one, and those that ring_pop will stop at in the chains that are available: so
 * that all of them are asked for at once. At most max, which is not 0. Takes nothing.
 */
unsigned int ring_look_ahead(struct ring *ring, struct iotlb_miss *miss, unsigned int max);
/*
 * Time for another look: half of the chains that the last one saw are gone, or it saw
 * few, and there are more now. And: it saw few, so that a kick should say when there are
 * more. Both false without an iotlb, and on a ring that waits or is broken. To ask for the
 * first may take a packed ring past what somebody else has used, as ring_has_avail does.
 */
bool ring_look_due(struct ring *ring);
bool ring_look_short(const struct ring *ring);
/*
 * Asks for that kick, where ring_look_short says so: for more than the last look saw. What came
 * before it is found by ring_look_due.
 */
void ring_want_kick_ahead(struct ring *ring);
/* Chains of an earlier run that the record named: popped again, or still to be. */
uint32_t ring_resubmitted(const struct ring *ring);
/*
 * Those still to be. ring_base counts them as consumed, so a run that is to end in good
 * order gives them back first, unused and unseen: their buffers may have no address now. A
 * ring without a place cannot, and its record has to be kept. Worker.
 */
uint32_t ring_resubmit_left(const struct ring *ring);
void ring_give_back_again(struct ring *ring);
/* NULL, or why the record of an earlier run was not this ring's: it was begun anew. */
const char *ring_record_refused(const struct ring *ring);

/* What GET_VRING_BASE answers (see ring_config.base), heads popped but not pushed, used index. */
uint32_t ring_base(const struct ring *ring);
uint32_t ring_in_flight(const struct ring *ring);
uint16_t ring_used_index(const struct ring *ring);
uint32_t ring_size(const struct ring *ring);
