/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames with a partial header, for an egress that does not take it as it is.
 *
 * A guest leaves checksums to its device, and sends super-frames of up to 64 KiB
 * to be cut there. What the egress cannot do is done here, and only to the header:
 * each frame of the wire is a piece, `[private header | payload slices]`, whose
 * payload is lent like that of any frame. The desk decides for each piece as for
 * any frame; a piece that it does not lend is copied into one bounce buffer, header
 * and payload, so that a device of one segment gets one.
 *
 * A piece is a loan: it counts against the pair's share, and the parent goes home
 * with the last of its pieces. When there is no more room in the middle of a
 * super-frame, a source that may wait keeps the parent, marked CUT_BEGUN, and the
 * pair keeps the place; the rest of others is dropped, as a wire would.
 *
 * Checksums are computed from the guest's payload, which it may rewrite until the
 * loan is over: a guest that does sends itself a wrong checksum, and nobody else.
 */
#include "desk_inside.h"

#include "checksum.h"
#include "iov.h"
#include <string.h>

/* What the device does itself, for frames that are lent or copied. */
static uint32_t left_to_device(const struct port_queue *egress, bool copied)
{
	/* There is no room in front of a bounce buffer. */
	return copied && egress->port->offloads.header_private ? 0 : egress->port->offloads.takes;
}

/* ---- one piece ---- */

static struct piece *piece_shape(struct pair *pair)
{
	const struct super_frame *super = &pair->super;
	struct piece *piece = piece_get(&pair->pieces, (struct gw_frame *)super->frame);
	struct gw_frame *frame = &piece->frame;

	frame->own[0].iov_base = piece_header(&pair->pieces, piece);
	frame->own[0].iov_len = super->header_len;
	frame->seg_count =
		(uint16_t)(1 + super_frame_slices(super, frame->own + 1, GW_FRAME_SEGS - 1));
	frame->len = super_frame_len(super);
	return piece;
}

static enum gw_reason piece_decide(struct pair *pair, struct piece *piece)
{
	enum gw_reason reason = desk_decide(pair, &piece->frame);

	if (reason != GW_REASON_NONE)
		return reason;
	/* More slices than were named: see super_frame_slices. */
	if (piece->frame.seg_count > GW_FRAME_SEGS)
		return GW_COPY_SEGMENTS;
	return pieces_to_lend(&pair->pieces) ? GW_REASON_NONE : GW_COPY_LOANS_OUT;
}

static void count_checksum(struct pair *pair, bool made)
{
	gw_counter_add(&pair->checksums_made, made);
}

static void piece_lend(struct port_queue *egress, struct pair *pair, struct piece *piece)
{
	struct super_frame *super = &pair->super;
	struct gw_frame *frame = &piece->frame;

	super->keep_checksum = left_to_device(egress, false) & GW_OFFLOAD_CSUM;
	super_frame_header(super, frame->own[0].iov_base, &frame->header);
	super_frame_checksum(super, frame->seg, frame->seg_count);
	count_checksum(pair, !super->keep_checksum);
	gw_counter_add(&pair->headers_made, 1);
	desk_lend(egress, pair, frame);
}

/* Header and payload into one bounce frame; false: there is none. The piece is given back. */
static bool piece_copy(struct port_queue *egress, struct pair *pair, struct piece *piece,
		       enum gw_reason reason)
{
	struct super_frame *super = &pair->super;
	struct gw_frame *copy = bounce_get(pair, super_frame_len(super));

	if (copy) {
		super->keep_checksum = left_to_device(egress, true) & GW_OFFLOAD_CSUM;
		super_frame_header(super, piece->frame.own[0].iov_base, &copy->header);
		gw_iov_copy(copy->seg, 0, piece->frame.own, 0, super->header_len);
		gw_iov_copy(copy->seg, super->header_len, super->frame->seg + super->seg,
			    super->seg_off, super_frame_part(super));
		super_frame_checksum(super, copy->seg, copy->seg_count);
		count_checksum(pair, !super->keep_checksum);
		copy->found_ns = super->frame->found_ns;
		memcpy(copy->snapshot, super->frame->snapshot, sizeof(copy->snapshot));
		desk_add(egress, pair, copy, reason);
	}
	piece_put(&pair->pieces, piece);
	return copy;
}

/* Lends or copies the next piece. GW_REASON_NONE, or why it can not be offered now. */
static enum gw_reason offer_next(struct port_queue *egress, struct pair *pair)
{
	struct piece *piece;
	enum gw_reason reason;

	if (!desk_room(egress))
		return GW_DROP_EGRESS_FULL;
	piece = piece_shape(pair);
	reason = piece_decide(pair, piece);
	if (reason == GW_REASON_NONE)
		piece_lend(egress, pair, piece);
	else if (!piece_copy(egress, pair, piece, reason))
		/* What the whole share could not hold would wait for nothing. */
		return bounce_fits(pair, super_frame_len(&pair->super)) ? GW_DROP_EGRESS_FULL
									: GW_DROP_TOO_LONG;
	return GW_REASON_NONE;
}

/* ---- all of them ---- */

static bool is_begun(const struct pair *pair, const struct gw_frame *frame)
{
	return frame->cut == CUT_BEGUN && pair->super.frame == frame;
}

void desk_drop_rest(struct pair *pair, const struct gw_frame *frame, enum gw_reason reason)
{
	const struct super_frame *super = &pair->super;
	uint32_t bytes = frame->len, count = 1;

	if (is_begun(pair, frame)) {
		count = super_frame_count(super);
		bytes = super->left + count * super->header_len;
	}
	desk_count_drop(pair, reason, bytes, count);
}

/* From where the pair stands to the end, or as far as there is room. */
static enum desk_verdict offer_rest(struct port_queue *egress, struct pair *pair,
				    struct gw_frame *frame, bool may_wait)
{
	struct super_frame *super = &pair->super;
	enum desk_verdict verdict = DESK_TAKEN;
	enum gw_reason reason = GW_REASON_NONE;

	frame->cut = CUT_BEGUN;
	/* None after this is longer. */
	if (super_frame_len(super) > gw_load_relaxed(&egress->port->max_len))
		reason = GW_DROP_TOO_LONG;
	while (reason == GW_REASON_NONE && super_frame_more(super)) {
		reason = offer_next(egress, pair);
		if (reason == GW_REASON_NONE)
			super_frame_advance(super);
	}
	if (reason == GW_DROP_TOO_LONG)
		desk_drop_rest(pair, frame, reason);
	else if (reason != GW_REASON_NONE)
		verdict = desk_no_room(egress, pair, frame, may_wait, reason);
	if (verdict == DESK_TAKEN)
		frame->cut = CUT_NOT;
	return verdict;
}

/*
 * The field to complete lies deep in the frame: the frame is copied whole, and the
 * checksum made in the copy.
 */
static enum desk_verdict copy_deep(struct port_queue *egress, struct pair *pair,
				   struct gw_frame *frame, bool may_wait)
{
	enum gw_reason reason;

	if (!desk_room(egress))
		return desk_no_room(egress, pair, frame, may_wait, GW_DROP_EGRESS_FULL);
	reason = desk_decide(pair, frame);
	if (reason == GW_REASON_NONE)
		reason = GW_COPY_PRIVATE_HEADER;
	return desk_copy(egress, pair, frame, reason, may_wait);
}

void desk_complete_copy(struct pair *pair, struct gw_frame *copy)
{
	uint32_t left = left_to_device(pair->to, true);

	if (left & GW_OFFLOAD_CSUM || !(copy->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return;
	/* The field is inside the frame: super_frame_begin has seen to that. */
	(void)checksum_complete(copy->seg, copy->seg_count, copy->len, &copy->header);
	count_checksum(pair, true);
}

enum desk_verdict desk_offer_partial(struct port_queue *egress, struct pair *pair,
				     struct gw_frame *frame, bool may_wait)
{
	struct super_frame *super = &pair->super;
	uint32_t max_len = gw_load_relaxed(&egress->port->max_len);
	enum gw_reason reason;

	if (is_begun(pair, frame))
		return offer_rest(egress, pair, frame, may_wait);
	reason = super_frame_begin(super, frame);
	if (reason == GW_COPY_PRIVATE_HEADER && frame->len <= max_len)
		return copy_deep(egress, pair, frame, may_wait);
	if (reason == GW_COPY_PRIVATE_HEADER ||
	    (reason == GW_REASON_NONE && super_frame_len(super) > max_len))
		reason = GW_DROP_TOO_LONG;
	if (reason != GW_REASON_NONE) {
		desk_count_drop(pair, reason, frame->len, 1);
		return DESK_TAKEN;
	}
	if (super->kind != SUPER_FRAME_CHECKSUM)
		gw_counter_add(&pair->supers_cut, 1);
	return offer_rest(egress, pair, frame, may_wait);
}
