/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sending: segments become descriptors, completions become loans that are over.
 *
 * The cookie. In unaligned mode the upper 16 bits of a descriptor's address are an
 * offset that the kernel adds to the lower 48, and the completion ring gives the
 * word back as it was submitted. So
 *
 *     word = (offset - cookie) | cookie << 48
 *
 * names the byte at `offset` and carries 16 bits of ours. They are a slot's number
 * and how often the slot was used (modulo); the slot remembers the whole word. A
 * completion is believed only if its slot is out with this word (but see LOST_BITS).
 * offset >= cookie because the first 64 KiB of the arena, which is the first
 * thing in every window, are never handed out.
 *
 * What the kernel finds invalid it may consume without a completion, and the
 * guest's buffer would be lost. So nothing is submitted that was not checked
 * here: inside the window, at most a chunk long, not across pages where the
 * device cannot do that, and no more pieces than it takes.
 */
#include "xdp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define COOKIE_SHIFT XSK_UNALIGNED_BUF_OFFSET_SHIFT
#define COOKIE_BITS  16u
#define COOKIE_MAX   ((1u << COOKIE_BITS) - 1)

/*
 * Linux 6.18 keeps the word of a copied frame in a pointer whose lowest bit it
 * uses for itself, and gives it back cleared: odd addresses come back even.
 */
#define LOST_BITS 1ull

/* sendto calls in one visit at most; each takes 32 descriptors or more. */
#define KICKS_MAX      64u
/* How soon to look for completions that nobody announces: doubling, between these. */
#define POLL_FIRST_US  100u
#define POLL_LAST_US   10000u
/* While the port has to be opened anew. */
#define POLL_BROKEN_US 200000u

int tx_init(struct xdp_port *p)
{
	struct xdp_tx *tx = &p->tx;
	uint32_t n = p->tx_entries;

	tx->slot_count = n;
	tx->slot_bits = (uint32_t)__builtin_ctz(n);
	tx->done_mask = 2 * n - 1;
	tx->poll_us = POLL_FIRST_US;
	tx->slot = calloc(n, sizeof(*tx->slot));
	tx->free = calloc(n, sizeof(*tx->free));
	tx->done = calloc(2 * n, sizeof(*tx->done));
	if (!tx->slot || !tx->free || !tx->done)
		return -ENOMEM;
	while (tx->free_count < n) {
		tx->free[tx->free_count] = (uint16_t)(n - 1 - tx->free_count);
		tx->free_count++;
	}
	return 0;
}

void tx_free(struct xdp_port *p)
{
	free(p->tx.slot);
	free(p->tx.free);
	free(p->tx.done);
	memset(&p->tx, 0, sizeof(p->tx));
}

uint32_t tx_out(const struct xdp_port *p)
{
	return p->tx.held - (p->tx.done_tail - p->tx.done_head);
}

void tx_attach(struct xdp_port *p, struct gw_memmap *memmap)
{
	const struct xsk *xsk = p->xsk;
	struct xdp_tx *tx = &p->tx;

	tx->memmap = memmap;
	memset(&tx->window, 0, sizeof(tx->window));
	if (memmap)
		gw_memmap_window(memmap, &tx->window);
	tx->pieces_max = p->reads == GW_READS_DMA         ? p->netdev.zerocopy_segs
			 : p->reads == GW_READS_FRAGMENTS ? XDP_FRAGMENTS
							  : XDP_COPY_PIECES;
	if (!xsk->multi_buffer)
		tx->pieces_max = 1;
	tx->split_pages = p->reads != GW_READS_KERNEL_COPY;
	tx->link_down = false;
	tx->poll_us = POLL_FIRST_US;
	tx->idle_polls = 0;
}

/* ---- completions ---- */

static void done_push(struct xdp_tx *tx, struct gw_frame *frame, enum gw_done_status status)
{
	struct gw_done *done = &tx->done[tx->done_tail++ & tx->done_mask];

	done->frame = frame;
	done->status = status;
}

static void slot_free(struct xdp_tx *tx, uint32_t index)
{
	tx->slot[index].word = 0;
	tx->slot[index].generation++;
	tx->free[tx->free_count++] = (uint16_t)index;
}

static void complete(struct xdp_tx *tx, uint64_t word)
{
	uint32_t index = (uint32_t)(word >> COOKIE_SHIFT) & (tx->slot_count - 1);
	struct tx_slot *slot = &tx->slot[index], *head;

	if (!slot->word || (slot->word ^ word) & ~LOST_BITS) {
		gw_counter_add(&tx->bogus, 1);
		return;
	}
	head = &tx->slot[slot->head];
	slot_free(tx, index);
	if (--head->left == 0)
		done_push(tx, slot->frame, GW_DONE_OK);
}

void tx_collect(struct xdp_port *p)
{
	struct xdp_tx *tx = &p->tx;
	struct xsk_ring *cq;
	uint32_t n, at;

	if (!p->xsk)
		return;
	cq = &p->xsk->cq;
	n = xsk_ready(cq, cq->size);
	if (!n)
		return;
	if (n > cq->size)
		n = cq->size;
	for (at = cq->mine; n; n--, at++)
		complete(tx, gw_read_once(xsk_addr(cq, at)));
	xsk_consume(cq, at);
	tx->poll_us = POLL_FIRST_US;
	tx->idle_polls = 0;
}

void tx_abandon(struct xdp_port *p)
{
	struct xdp_tx *tx = &p->tx;

	for (uint32_t i = 0; i < tx->slot_count; i++) {
		struct tx_slot *slot = &tx->slot[i], *head;

		if (!slot->word)
			continue;
		head = &tx->slot[slot->head];
		slot_free(tx, i);
		if (--head->left)
			continue;
		done_push(tx, slot->frame, GW_DONE_FAILED);
		gw_counter_add(&tx->abandoned, 1);
	}
}

/* ---- wake-ups of the kernel ---- */

static void mark_broken(struct xdp_port *p)
{
	if (gw_load_relaxed(&p->broken))
		return;
	gw_store_relaxed(&p->broken, 1);
	gw_port_requery(p->port);
}

/* One system call; false if another one at once makes no sense. */
static bool kick_once(struct xdp_port *p)
{
	struct xdp_tx *tx = &p->tx;

	gw_counter_add(&tx->kicks, 1);
	if (sendto(p->xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) {
		tx->link_down = false;
		return true;
	}
	switch (errno) {
	case EAGAIN:  /* the budget of one call is used up, or buffers are */
	case EBUSY:   /* a frame was dropped by the device, and completed */
	case ENOBUFS: /* no memory for the kernel's copy */
	case EINTR:
		gw_counter_add(&tx->congested, 1);
		return true;
	case ENETDOWN:
		tx->link_down = true;
		return false;
	default: /* ENXIO, ENODEV: the interface is gone */
		mark_broken(p);
		return false;
	}
}

/*
 * Makes the kernel send what is in the ring, if it asks for that: always in copy
 * mode, where sendto itself does the work; when its interrupts rest in zero-copy
 * mode. Stops when the ring is empty or a call took nothing; tx_arm and reap
 * come back to what is left.
 */
static void kick(struct xdp_port *p)
{
	struct xsk_ring *ring = &p->xsk->tx;
	uint32_t before, left = xsk_untaken(ring);

	/* (E) producer is stored before the flag is read; the kernel sets the flag before it
	   looks at producer a last time. Without it both could miss the other. */
	gw_fence();
	for (unsigned int i = 0; i < KICKS_MAX && xsk_wants_wakeup(ring); i++) {
		before = left;
		if (!kick_once(p) || p->xsk->zerocopy)
			return;
		left = xsk_untaken(ring);
		if (!left || left == before)
			return;
	}
}

/* ---- frames in ---- */

enum put { PUT_OK, PUT_FULL, PUT_BAD };

struct put_state {
	uint32_t taken; /* slots and descriptors used by this frame so far */
	uint32_t room;  /* of both, when it began */
};

/* Where a segment lies in the UMEM. */
struct place {
	uint64_t offset;
	size_t page_bytes; /* what a piece must not cross, if the device cares */
};

/*
 * Finds len bytes at `at` in the UMEM: in the arena, which has the same offsets in any
 * window (frames in private memory, and private headers), else in the guest's part, if
 * the frame is of the memmap we are bound to. The first 64 KiB are refused: the
 * cookie needs them.
 */
static bool place_find(const struct xdp_port *p, const struct gw_frame *frame, const void *at,
		       size_t len, struct place *place)
{
	const struct xdp_tx *tx = &p->tx;
	uint64_t from = (uintptr_t)at - (uintptr_t)p->arena.iov_base;
	uint64_t end = p->arena.iov_len;

	place->page_bytes = GW_ARENA_BUFFER_BYTES;
	if (from >= end) {
		if (!frame->memmap || frame->memmap != tx->memmap)
			return false;
		from = (uintptr_t)at - (uintptr_t)tx->window.base;
		end = tx->window.len;
		place->page_bytes = tx->window.page_bytes;
	}
	place->offset = from;
	return from > COOKIE_MAX && from <= end && len <= end - from;
}

/*
 * The longest piece that one descriptor may have at this address. Huge pages begin at
 * multiples of their size in addresses, not in offsets.
 */
static size_t piece_len(const struct xdp_tx *tx, const struct place *place, uintptr_t at,
			size_t len)
{
	size_t most = XSK_CHUNK_BYTES, page_left;

	if (tx->split_pages) {
		page_left = place->page_bytes - (at & (place->page_bytes - 1));
		most = page_left < most ? page_left : most;
	}
	return len < most ? len : most;
}

static void put_piece(struct xdp_port *p, struct gw_frame *frame, struct put_state *state,
		      uint64_t offset, uint32_t len)
{
	struct xdp_tx *tx = &p->tx;
	struct xsk_ring *ring = &p->xsk->tx;
	uint32_t at = ring->mine + state->taken;
	uint16_t index = tx->free[tx->free_count - 1 - state->taken];
	struct tx_slot *slot = &tx->slot[index];
	uint64_t cookie = (index | (uint32_t)slot->generation << tx->slot_bits) & COOKIE_MAX;
	struct xdp_desc *desc = xsk_desc(ring, at);

	slot->word = (offset - cookie) | cookie << COOKIE_SHIFT;
	slot->frame = frame;
	slot->head = tx->free[tx->free_count - 1];
	desc->addr = slot->word;
	desc->len = len;
	desc->options = 0;
	if (state->taken)
		xsk_desc(ring, at - 1)->options = XDP_PKT_CONTD;
	state->taken++;
}

static enum put put_segment(struct xdp_port *p, struct gw_frame *frame, const struct iovec *seg,
			    struct put_state *state)
{
	uintptr_t at = (uintptr_t)seg->iov_base;
	size_t left = seg->iov_len, len;
	struct place place;

	if (!place_find(p, frame, seg->iov_base, left, &place))
		return PUT_BAD;
	for (; left; left -= len, at += len, place.offset += len) {
		if (state->taken == p->tx.pieces_max)
			return PUT_BAD;
		if (state->taken == state->room)
			return PUT_FULL;
		len = piece_len(&p->tx, &place, at, left);
		put_piece(p, frame, state, place.offset, (uint32_t)len);
	}
	return PUT_OK;
}

/* Takes back what a frame used before it turned out that it does not go. */
static void put_undo(struct xdp_tx *tx, const struct put_state *state)
{
	for (uint32_t i = 0; i < state->taken; i++)
		tx->slot[tx->free[tx->free_count - 1 - i]].word = 0;
}

static enum put put_frame(struct xdp_port *p, struct gw_frame *frame)
{
	struct xdp_tx *tx = &p->tx;
	struct xsk_ring *ring = &p->xsk->tx;
	struct put_state state = { .room = xsk_room(ring, tx->pieces_max) };
	enum put result = PUT_OK;

	/* Checksums and segmentation are nothing that this device can be asked for. */
	if (frame->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || frame->header.gso_type)
		return PUT_BAD;
	if (state.room > tx->free_count)
		state.room = tx->free_count;
	for (unsigned int i = 0; i < frame->seg_count && result == PUT_OK; i++)
		result = put_segment(p, frame, &frame->seg[i], &state);
	if (result == PUT_OK && !state.taken)
		result = PUT_BAD;
	if (result != PUT_OK) {
		put_undo(tx, &state);
		return result;
	}
	tx->slot[tx->free[tx->free_count - 1]].left = (uint16_t)state.taken;
	tx->free_count -= state.taken;
	ring->mine += state.taken; /* the kernel sees it with the batch */
	return PUT_OK;
}

unsigned int xdp_tx(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct xdp_port *p = queue->priv;
	struct xdp_tx *tx = &p->tx;
	unsigned int i;

	queue->refusal = GW_DROP_EGRESS_DOWN;
	if (!p->xsk || gw_load_relaxed(&p->broken))
		return 0;
	if (tx->link_down)
		kick(p);
	if (tx->link_down)
		return 0;
	tx_collect(p);
	queue->refusal = GW_DROP_EGRESS_FULL;
	for (i = 0; i < count; i++) {
		enum put result;

		if (tx->held > tx->done_mask)
			break;
		result = put_frame(p, frames[i]);
		if (result == PUT_FULL)
			break;
		tx->held++;
		if (result == PUT_OK)
			continue;
		/* Counted here, and only here: it never was the device's. */
		gw_queue_drop(queue, frames[i], GW_DROP_DEVICE_ERROR);
		done_push(tx, frames[i], GW_DONE_OK);
	}
	xsk_produce(&p->xsk->tx, p->xsk->tx.mine);
	kick(p);
	return i;
}

unsigned int xdp_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max)
{
	struct xdp_port *p = queue->priv;
	struct xdp_tx *tx = &p->tx;
	unsigned int n = 0;

	tx_collect(p);
	for (; n < max && tx->done_head != tx->done_tail; n++)
		done[n] = tx->done[tx->done_head++ & tx->done_mask];
	tx->held -= n;
	return n;
}

/*
 * Nothing came for a while: the kernel is kicked again (frames that met
 * congestion are still in the ring, and lazy drivers complete only then). When
 * that goes on, its count of invalid descriptors is looked at: a frame may be
 * lost in there, and only opening anew brings it back.
 */
static void poll_again(struct xdp_port *p)
{
	struct xdp_tx *tx = &p->tx;

	kick(p);
	tx_collect(p);
	if (++tx->idle_polls % 8 == 0 && xsk_invalid_seen(p->xsk))
		mark_broken(p);
	if (tx->poll_us < POLL_LAST_US)
		tx->poll_us *= 2;
}

bool tx_arm(struct xdp_port *p, unsigned int wants, unsigned int *poll_us)
{
	struct xdp_tx *tx = &p->tx;

	if (tx->done_head != tx->done_tail)
		return true;
	if (gw_load_relaxed(&p->broken)) {
		gw_port_requery(p->port);
		*poll_us = POLL_BROKEN_US;
		return false;
	}
	if (!p->xsk || (!tx_out(p) && !tx->link_down))
		return false;
	poll_again(p);
	*poll_us = tx->poll_us;
	return tx->done_head != tx->done_tail;
}
