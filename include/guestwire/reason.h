/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reasons: why a frame was copied, or dropped.
 *
 * Each frame that is not lent has exactly one reason, and each reason is
 * counted per port pair. The names below are the ones in `guestwire show`, in
 * logs and in the documentation; all three are made from this table.
 *
 * Columns: enumerator, name, text.
 */
#ifndef GUESTWIRE_REASON_H
#define GUESTWIRE_REASON_H

/* clang-format off */
#define GW_COPY_REASONS(X) \
	X(GW_COPY_COPYBREAK,        "copybreak",          "shorter than the port's copybreak: the guest has its buffer back at once") \
	X(GW_COPY_LOAN_NEVER,       "loan_never",         "the port is configured with loan=never") \
	X(GW_COPY_QUERY_PENDING,    "query_pending",      "the egress driver has not answered the query for this memory yet") \
	X(GW_COPY_MAPPING_PENDING,  "mapping_pending",    "the guest's memory is being pinned for the device in the background") \
	X(GW_COPY_MAPPING_FAILED,   "mapping_failed",     "the guest's memory could not be pinned for the device") \
	X(GW_COPY_DEVICE_CANNOT,    "device_cannot_read", "the device has no way to read memory that is not its own") \
	X(GW_COPY_MEMORY_TAKEN,     "memory_taken",       "the device queue lends from another guest's memory already") \
	X(GW_COPY_MEMORY_FILE,      "memory_file_backed", "guest memory lies in a file that cannot be pinned for long") \
	X(GW_COPY_MEMORY_LIMIT,     "memory_too_large",   "more guest memory than the kernel can register for one device") \
	X(GW_COPY_MEMORY_DISCARDED, "memory_discarded",   "the guest gave pages back (balloon), so pinned pages are stale") \
	X(GW_COPY_LOANS_OUT,        "loans_out",          "the pair's share of loans is in the device already") \
	X(GW_COPY_DEVICE_STALLED,   "device_stalled",     "the device holds loans and has returned none for a while") \
	X(GW_COPY_DEVICE_DOWN,      "device_down",        "the device is being stopped, reopened or has failed recently") \
	X(GW_COPY_QUARANTINE,       "quarantine",         "the device never gave loans back and is not trusted with new ones") \
	X(GW_COPY_SEGMENTS,         "segments",           "more segments than the device takes for one frame") \
	X(GW_COPY_PAGES,            "pages",              "the frame crosses pages in a way the device cannot fetch") \
	X(GW_COPY_PRIVATE_HEADER,   "private_header",     "the header has to be private and the device takes one segment only") \
	X(GW_COPY_IN_ORDER,         "in_order",           "the guest wants its buffers back in order, and loans here end in any order")

#define GW_DROP_REASONS(X) \
	X(GW_DROP_EGRESS_FULL,      "egress_full",        "the egress device takes no more and the pair's loans and bounce buffers are used up") \
	X(GW_DROP_EGRESS_DOWN,      "egress_down",        "the egress port is not running") \
	X(GW_DROP_EGRESS_PAUSED,    "egress_paused",      "the egress device is given other memory to send from, and no more frames can wait for it") \
	X(GW_DROP_NO_RX_BUFFERS,    "no_rx_buffers",      "the receiving guest has no receive buffer ready") \
	X(GW_DROP_RX_TOO_SMALL,     "rx_buffer_too_small","the receiving guest's buffers cannot hold the frame") \
	X(GW_DROP_TOO_SHORT,        "too_short",          "shorter than an Ethernet header") \
	X(GW_DROP_TOO_LONG,         "too_long",           "longer than the egress device or the daemon takes") \
	X(GW_DROP_BAD_HEADER,       "bad_header",         "the virtio-net header asks for what was not negotiated or cannot be") \
	X(GW_DROP_RING_DISABLED,    "ring_disabled",      "the guest's transmit ring is disabled: drained and discarded") \
	X(GW_DROP_RING_BROKEN,      "ring_broken",        "the receiving guest's ring broke a rule of the specification") \
	X(GW_DROP_NO_EGRESS,        "no_egress",          "no other port in this network") \
	X(GW_DROP_SAME_PORT,        "same_port",          "the destination is behind the port the frame came from") \
	X(GW_DROP_DEVICE_ERROR,     "device_error",       "the device reported an error for the frame")

/*
 * What the kernel counts at the device of a port. What it lost on the way in has never been
 * a frame of ours, and is in no other counter; of tx_dropped it does not say which
 * frames they were: pairs count them as sent. Not all drivers have all of them. The
 * names are the kernel's own where it has one (XDP_STATISTICS).
 */
#define GW_DEVICE_COUNTS(X) \
	X(GW_DEVICE_RX_DROPPED,     "rx_dropped",         "frames received that the kernel dropped: no receive buffer was free, or none long enough") \
	X(GW_DEVICE_RX_RING_FULL,   "rx_ring_full",       "frames received that the kernel dropped: the receive ring was full") \
	X(GW_DEVICE_RX_FILL_EMPTY,  "rx_fill_ring_empty_descs", "times that the kernel wanted a receive buffer and none was free") \
	X(GW_DEVICE_RX_INVALID,     "rx_invalid_descs",   "receive buffers that the kernel did not accept") \
	X(GW_DEVICE_RX_PASSED,      "rx_passed",          "frames that passed to the host while their queue changed its memory") \
	X(GW_DEVICE_RX_UNREAD,      "rx_unread",          "frames received that nobody had read when their socket was closed") \
	X(GW_DEVICE_TX_DROPPED,     "tx_dropped",         "frames that the kernel threw away when they were to be sent: the interface had no carrier, or its queue was full") \
	X(GW_DEVICE_TX_INVALID,     "tx_invalid_descs",   "descriptors of frames to send that the kernel did not accept") \
	X(GW_DEVICE_TX_RING_EMPTY,  "tx_ring_empty_descs","times that the kernel had sent all that it was given")
/* clang-format on */

#define GW_REASON_ENUM(id, name, text) id,
enum gw_reason {
	GW_REASON_NONE = 0, /* lent, or delivered */
	GW_COPY_REASONS(GW_REASON_ENUM) GW_COPY_REASON_END,
	GW_DROP_FIRST = GW_COPY_REASON_END,
	GW_DROP_BEFORE_FIRST = GW_DROP_FIRST - 1,
	GW_DROP_REASONS(GW_REASON_ENUM) GW_REASON_COUNT,
};
enum gw_device_count { GW_DEVICE_COUNTS(GW_REASON_ENUM) GW_DEVICE_COUNT };
#undef GW_REASON_ENUM

#define GW_COPY_FIRST (GW_REASON_NONE + 1)

/* The name and the text of a reason; "unknown" for a number outside the table. Threads: any. */
const char *gw_reason_name(enum gw_reason reason);
const char *gw_reason_text(enum gw_reason reason);
const char *gw_device_count_name(enum gw_device_count count);
const char *gw_device_count_text(enum gw_device_count count);

static inline int gw_reason_is_drop(enum gw_reason reason)
{
	return reason >= GW_DROP_FIRST;
}

#endif
