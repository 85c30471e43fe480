/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a frame to descriptors.
 *
 * The cookie. In unaligned mode the upper 16 bits of a descriptor's address are an
 * offset that the kernel adds to the lower 48, and the completion ring gives the
 * word back as it was submitted. So
 *
 *     word = (offset - cookie) | cookie << 48
 *
 * names the byte at `offset` and carries 16 bits of ours. They are a slot's number
 * and how often the slot was used (modulo); the slot remembers the whole word.
 * offset >= cookie because the first 64 KiB of the arena, which is the first
 * thing in every window, are never handed out.
 *
 * What the kernel finds invalid it may consume without a completion, and the
 * guest's buffer would be lost. So nothing is submitted that was not checked
 * here: inside the window, at most a chunk long, not across pages where the
 * device cannot do that, and no more pieces than it takes.
 */
#include "xdp.h"

#include <string.h>

#define COOKIE_SHIFT XSK_UNALIGNED_BUF_OFFSET_SHIFT
#define COOKIE_BITS  16u
#define COOKIE_MAX   ((1u << COOKIE_BITS) - 1)

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
static inline bool place_find(const struct xdp_channel *ch, const struct gw_frame *frame,
			      const void *at, size_t len, struct place *place)
{
	const struct xdp_tx *tx = &ch->tx;
	uint64_t from = (uintptr_t)at - (uintptr_t)ch->p->arena.iov_base;
	uint64_t end = ch->p->arena.iov_len;

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
static inline size_t piece_len(const struct xdp_tx *tx, const struct place *place, uintptr_t at,
			       size_t len)
{
	size_t most = tx->piece_bytes, page_left;

	if (tx->split_pages) {
		page_left = place->page_bytes - (at & (place->page_bytes - 1));
		most = page_left < most ? page_left : most;
	}
	return len < most ? len : most;
}

/* The word that is submitted. */
static inline uint64_t slot_fill(struct xdp_tx *tx, uint16_t index, uint16_t head,
				 struct gw_frame *frame, uint64_t offset)
{
	struct tx_slot *slot = &tx->slot[index];
	uint64_t cookie = (index | (uint32_t)slot->generation << tx->slot_bits) & COOKIE_MAX;
	uint64_t word = (offset - cookie) | cookie << COOKIE_SHIFT;

	slot->word = word;
	slot->frame = frame;
	slot->head = head;
	return word;
}

static void put_piece(struct xdp_channel *ch, struct gw_frame *frame, struct put_state *state,
		      uint64_t offset, uint32_t len)
{
	const uint16_t *free = ch->tx.free + ch->tx.free_count - 1;
	struct xsk_ring *ring = &ch->xsk->tx;
	uint32_t at = ring->mine + state->taken;

	*xsk_desc(ring, at) = (struct xdp_desc){
		.addr = slot_fill(&ch->tx, *(free - state->taken), *free, frame, offset),
		.len = len,
	};
	if (state->taken)
		xsk_desc(ring, at - 1)->options = XDP_PKT_CONTD;
	state->taken++;
}

static enum put put_segment(struct xdp_channel *ch, struct gw_frame *frame, const struct iovec *seg,
			    struct put_state *state)
{
	uintptr_t at = (uintptr_t)seg->iov_base;
	size_t left = seg->iov_len, len;
	struct place place;

	if (!place_find(ch, frame, seg->iov_base, left, &place))
		return PUT_BAD;
	for (; left; left -= len, at += len, place.offset += len) {
		if (state->taken == ch->tx.pieces_max)
			return PUT_BAD;
		if (state->taken == state->room)
			return PUT_FULL;
		len = piece_len(&ch->tx, &place, at, left);
		put_piece(ch, frame, state, place.offset, (uint32_t)len);
	}
	return PUT_OK;
}

/*
 * Asks the device for the checksum that the sender left: in front of the private
 * header, in room that is ours. The kernel looks for the field in the first descriptor.
 */
static bool put_request(struct xdp_channel *ch, const struct gw_frame *frame, struct xdp_desc *desc)
{
	const struct virtio_net_hdr_v1 *header = &frame->header;
	const uint8_t *at = frame->seg[0].iov_base, *arena = ch->p->arena.iov_base;
	struct xdp_request request = {
		.flags = XDP_TXMD_FLAGS_CHECKSUM,
		.csum_start = header->csum_start,
		.csum_offset = header->csum_offset,
	};
	uint32_t end = (uint32_t)header->csum_start + header->csum_offset + sizeof(uint16_t);

	if (!ch->tx.metadata || end > desc->len)
		return false;
	if ((uintptr_t)at - (uintptr_t)arena >= ch->p->arena.iov_len)
		return false;
	memcpy((uint8_t *)frame->seg[0].iov_base - sizeof(request), &request, sizeof(request));
	desc->options |= XDP_TX_METADATA;
	return true;
}

/* Takes back what a frame used before it turned out that it does not go. */
static void put_undo(struct xdp_tx *tx, const struct put_state *state)
{
	for (uint32_t i = 0; i < state->taken; i++)
		tx->slot[tx->free[tx->free_count - 1 - i]].word = 0;
}

enum put tx_put(struct xdp_channel *ch, struct gw_frame *frame)
{
	struct xdp_tx *tx = &ch->tx;
	struct xsk_ring *ring = &ch->xsk->tx;
	struct put_state state = { .room = xsk_room(ring, tx->pieces_max) };
	enum put result = PUT_OK;

	/* Segmentation is nothing that this device can be asked for. */
	if (frame->header.gso_type)
		return PUT_BAD;
	if (state.room > tx->free_count)
		state.room = tx->free_count;
	for (unsigned int i = 0; i < frame->seg_count && result == PUT_OK; i++)
		result = put_segment(ch, frame, &frame->seg[i], &state);
	if (result == PUT_OK && !state.taken)
		result = PUT_BAD;
	if (result == PUT_OK && frame->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM &&
	    !put_request(ch, frame, xsk_desc(ring, ring->mine)))
		result = PUT_BAD;
	if (result != PUT_OK) {
		put_undo(tx, &state);
		return result;
	}
	tx->slot[tx->free[tx->free_count - 1]].left = (uint16_t)state.taken;
	tx->free_count -= state.taken;
	ring->mine += state.taken; /* the kernel sees it with the batch */
	tx->held++;
	ch->p->source[frame->pair % XDP_SOURCES].out[ch->index]++;
	return PUT_OK;
}

/* ---- by runs ---- */

/* Frames that there is room for in our books, of so many. */
static unsigned int books_room(const struct xdp_tx *tx, unsigned int count)
{
	uint32_t room = tx->held > tx->done_mask ? 0 : tx->done_mask + 1 - tx->held;

	return room < count ? room : count;
}

/* Descriptors that there is room for, and slots. */
static uint32_t descriptors_room(struct xdp_channel *ch)
{
	struct xsk_ring *ring = &ch->xsk->tx;
	uint32_t room = xsk_room(ring, ring->size);

	return ch->tx.free_count < room ? ch->tx.free_count : room;
}

static inline bool is_plain(const struct gw_frame *frame, unsigned int pair)
{
	return frame->pair == pair && frame->seg_count && !frame->header.gso_type &&
	       !(frame->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
}

/* A descriptor for each segment, behind `taken` others; no trace is left if that will not do. */
static inline bool put_whole(struct xdp_channel *ch, struct gw_frame *frame, uint32_t taken)
{
	const uint16_t *free = ch->tx.free + ch->tx.free_count - 1 - taken;
	const struct xsk_ring *ring = &ch->xsk->tx;
	const struct iovec *seg = frame->seg;
	unsigned int count = frame->seg_count;
	struct place place;

	for (unsigned int i = 0; i < count; i++) {
		uintptr_t at = (uintptr_t)seg[i].iov_base;
		size_t len = seg[i].iov_len;

		if (!len || !place_find(ch, frame, seg[i].iov_base, len, &place) ||
		    piece_len(&ch->tx, &place, at, len) != len) {
			while (i--)
				ch->tx.slot[*(free - i)].word = 0;
			return false;
		}
		*xsk_desc(ring, ring->mine + taken + i) = (struct xdp_desc){
			.addr = slot_fill(&ch->tx, *(free - i), *free, frame, place.offset),
			.len = (uint32_t)len,
			.options = i + 1 < count ? XDP_PKT_CONTD : 0,
		};
	}
	ch->tx.slot[*free].left = (uint16_t)count;
	return true;
}

unsigned int tx_put_run(struct xdp_channel *ch, struct gw_frame *const *frames, unsigned int count)
{
	struct xdp_tx *tx = &ch->tx;
	uint32_t room = descriptors_room(ch), taken = 0;
	unsigned int pair = frames[0]->pair, n;

	count = books_room(tx, count);
	for (n = 0; n < count; n++) {
		uint32_t segs = frames[n]->seg_count;

		if (!is_plain(frames[n], pair) || segs > tx->pieces_max || segs > room - taken ||
		    !put_whole(ch, frames[n], taken))
			break;
		taken += segs;
	}
	tx->free_count -= taken;
	ch->xsk->tx.mine += taken; /* the kernel sees it with the batch */
	tx->held += n;
	ch->p->source[pair % XDP_SOURCES].out[ch->index] += n;
	return n;
}
