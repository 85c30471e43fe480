/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's side of a channel's two sending rings: completions become loans that
 * are over, and the kernel is woken when it has to be.
 *
 * A completion gives back the word that was submitted (describe.c), whose cookie
 * names a slot: it is believed only if that slot is out with this word (but see
 * LOST_BITS). Completions may come in any order, and the kernel may consume a
 * descriptor that it finds invalid without one: then its count of them moves, and
 * the socket is opened anew.
 */
#include "xdp.h"

#include "xdp_rules.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define COOKIE_SHIFT XSK_UNALIGNED_BUF_OFFSET_SHIFT

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
/* Its count of invalid descriptors is looked at after so many completions, and so many looks
   that found none. */
#define CHECK_EVERY    4096u
#define IDLE_POLLS     8u

int tx_init(struct xdp_channel *ch, uint32_t entries)
{
	struct xdp_tx *tx = &ch->tx;
	uint32_t n = entries;

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

void tx_free(struct xdp_channel *ch)
{
	free(ch->tx.slot);
	free(ch->tx.free);
	free(ch->tx.done);
	memset(&ch->tx, 0, sizeof(ch->tx));
}

uint32_t tx_out(const struct xdp_channel *ch)
{
	return ch->tx.held - (ch->tx.done_tail - ch->tx.done_head);
}

void tx_attach(struct xdp_channel *ch, struct gw_memmap *memmap)
{
	struct xdp_tx *tx = &ch->tx;

	tx->memmap = memmap;
	memset(&tx->window, 0, sizeof(tx->window));
	if (memmap)
		gw_memmap_window(memmap, &tx->window);
	tx->window.page_bytes = ch->page_bytes;
	tx->pieces_max = rules_pieces_max(&ch->p->netdev, ch->reads, ch->xsk->multi_buffer);
	/* The kernel counts the room for a request to each descriptor, with or without one. */
	tx->metadata = ch->xsk->metadata;
	tx->piece_bytes = XSK_CHUNK_BYTES;
	if (tx->metadata)
		tx->piece_bytes -= sizeof(struct xdp_request);
	tx->split_pages = ch->reads != GW_READS_KERNEL_COPY;
	tx->behind = NULL;
	tx->link_down = false;
	tx->poll_us = POLL_FIRST_US;
	tx->idle_polls = tx->since_check = 0;
}

/* ---- completions ---- */

void tx_done(struct xdp_channel *ch, struct gw_frame *frame, enum gw_done_status status)
{
	struct xdp_tx *tx = &ch->tx;
	struct gw_done *done = &tx->done[tx->done_tail++ & tx->done_mask];

	done->frame = frame;
	done->status = status;
}

/* The last descriptor of a frame came back. */
static void frame_over(struct xdp_channel *ch, struct gw_frame *frame, enum gw_done_status status)
{
	ch->p->source[frame->pair % XDP_SOURCES].out[ch->index]--;
	tx_done(ch, frame, status);
}

static void slot_free(struct xdp_tx *tx, uint32_t index)
{
	tx->free[tx->free_count++] = (uint16_t)index;
}

/*
 * A descriptor is over. True if it was the frame's last; until then the head's slot counts
 * those that are left, and is nobody else's.
 */
static bool slot_over(struct xdp_tx *tx, uint32_t index)
{
	struct tx_slot *slot = &tx->slot[index];
	uint32_t head = slot->head;

	slot->word = 0;
	slot->generation++;
	if (index != head)
		slot_free(tx, index);
	if (--tx->slot[head].left)
		return false;
	slot_free(tx, head);
	return true;
}

static uint32_t slot_index(const struct xdp_tx *tx, uint64_t word)
{
	return (uint32_t)(word >> COOKIE_SHIFT) & (tx->slot_count - 1);
}

static void complete(struct xdp_channel *ch, uint64_t word)
{
	struct xdp_tx *tx = &ch->tx;
	uint32_t index = slot_index(tx, word);
	const struct tx_slot *slot = &tx->slot[index];

	if (!slot->word || (slot->word ^ word) & ~LOST_BITS) {
		gw_counter_add(&tx->bogus, 1);
		return;
	}
	if (slot_over(tx, index))
		frame_over(ch, slot->frame, GW_DONE_OK);
}

static void mark_broken(struct xdp_channel *ch)
{
	if (gw_load_relaxed(&ch->broken))
		return;
	gw_store_relaxed(&ch->broken, 1);
	gw_port_requery(ch->p->port);
}

/*
 * A descriptor that the kernel calls invalid: a frame may be lost in there, and only
 * opening anew brings it back.
 */
static void check_invalid(struct xdp_channel *ch)
{
	ch->tx.since_check = 0;
	if (xsk_invalid_seen(ch->xsk))
		mark_broken(ch);
}

void tx_collect(struct xdp_channel *ch)
{
	struct xdp_tx *tx = &ch->tx;
	struct xsk_ring *cq;
	uint32_t n, at;

	if (!ch->xsk)
		return;
	cq = &ch->xsk->cq;
	n = xsk_ready(cq, cq->size);
	if (!n)
		return;
	if (n > cq->size)
		n = cq->size;
	for (at = cq->mine; n; n--, at++)
		complete(ch, gw_read_once(xsk_addr(cq, at)));
	tx->since_check += at - cq->mine;
	xsk_consume(cq, at);
	tx->poll_us = POLL_FIRST_US;
	tx->idle_polls = 0;
	if (tx->since_check >= CHECK_EVERY)
		check_invalid(ch);
}

/* taken: what it is for frames that are not marked. */
static void end_all(struct xdp_channel *ch, enum gw_done_status taken)
{
	struct xdp_tx *tx = &ch->tx;
	enum gw_done_status status;

	for (uint32_t i = 0; i < tx->slot_count; i++) {
		const struct tx_slot *slot = &tx->slot[i];

		if (!slot->word || !slot_over(tx, i))
			continue;
		status = tx->slot[slot->head].untaken ? GW_DONE_FAILED : taken;
		frame_over(ch, slot->frame, status);
		gw_counter_add(&tx->abandoned, status == GW_DONE_FAILED);
	}
}

void tx_abandon(struct xdp_channel *ch)
{
	end_all(ch, GW_DONE_FAILED);
}

/* Frames of which a descriptor is still in the ring. */
static void mark_untaken(struct xdp_channel *ch, uint32_t count, bool untaken)
{
	const struct xsk_ring *ring = &ch->xsk->tx;
	struct xdp_tx *tx = &ch->tx;

	for (uint32_t i = 1; i <= count && i <= ring->size; i++) {
		uint64_t word = xsk_desc(ring, ring->mine - i)->addr;

		tx->slot[tx->slot[slot_index(tx, word)].head].untaken = untaken;
	}
}

void tx_settle(struct xdp_channel *ch)
{
	uint32_t untaken = xsk_untaken(&ch->xsk->tx);

	mark_untaken(ch, untaken, true);
	end_all(ch, gw_load_relaxed(&ch->broken) ? GW_DONE_FAILED : GW_DONE_OK);
	mark_untaken(ch, untaken, false);
}

/* ---- wake-ups of the kernel ---- */

/* One system call; false if another one at once makes no sense. */
static bool kick_once(struct xdp_channel *ch)
{
	struct xdp_tx *tx = &ch->tx;

	gw_counter_add(&tx->kicks, 1);
	if (sendto(ch->xsk->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) {
		tx->link_down = false;
		return true;
	}
	switch (errno) {
	case EBUSY: /* in copy mode: one frame was dropped by the device, and completed */
		gw_counter_add(&tx->dropped, !ch->xsk->zerocopy);
		__attribute__((fallthrough));
	case EAGAIN:  /* the budget of one call is used up, or buffers are */
	case ENOBUFS: /* no memory for the kernel's copy */
	case EINTR:
		gw_counter_add(&tx->congested, 1);
		return true;
	case ENETDOWN:
		tx->link_down = true;
		return false;
	default: /* ENXIO, ENODEV: the interface is gone */
		mark_broken(ch);
		return false;
	}
}

/*
 * Makes the kernel send what is in the ring, if it asks for that: always in copy
 * mode, where sendto itself does the work; when its interrupts rest in zero-copy
 * mode. Stops when the ring is empty or a call took nothing; tx_arm and reap
 * come back to what is left.
 */
void tx_kick(struct xdp_channel *ch)
{
	struct xsk_ring *ring = &ch->xsk->tx;
	uint32_t before, left = xsk_untaken(ring);

	/* (E) producer is stored before the flag is read; the kernel sets the flag before it
	   looks at producer a last time. Without it both could miss the other. */
	gw_fence();
	for (unsigned int i = 0; i < KICKS_MAX && xsk_wants_wakeup(ring); i++) {
		before = left;
		if (!kick_once(ch) || ch->xsk->zerocopy)
			return;
		left = xsk_untaken(ring);
		if (!left || left == before)
			return;
	}
}

void tx_publish(struct xdp_channel *ch)
{
	xsk_produce(&ch->xsk->tx, ch->xsk->tx.mine);
	tx_kick(ch);
}

/*
 * Nothing came for a while: the kernel is kicked again (frames that met
 * congestion are still in the ring, and lazy drivers complete only then).
 */
static void poll_again(struct xdp_channel *ch)
{
	struct xdp_tx *tx = &ch->tx;

	tx_kick(ch);
	tx_collect(ch);
	if (++tx->idle_polls % IDLE_POLLS == 0)
		check_invalid(ch);
	if (tx->poll_us < POLL_LAST_US)
		tx->poll_us *= 2;
}

bool tx_arm(struct xdp_channel *ch, unsigned int *poll_us)
{
	struct xdp_tx *tx = &ch->tx;

	if (tx->done_head != tx->done_tail)
		return true;
	if (gw_load_relaxed(&ch->broken)) {
		gw_port_requery(ch->p->port);
		*poll_us = POLL_BROKEN_US;
		return false;
	}
	if (!ch->xsk || (!tx_out(ch) && !tx->link_down))
		return false;
	poll_again(ch);
	*poll_us = tx->poll_us;
	return tx->done_head != tx->done_tail;
}
