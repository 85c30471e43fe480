/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A channel: one of the interface's queues that the port uses, with the socket that
 * is bound to it and the worker's books about what that socket holds.
 *
 * A queue has one registered memory, so a channel lends from one guest, or from
 * none. Channel 0 is there while the port runs; the others are opened when a guest
 * comes that the ones before have no room for, and closed when it leaves. The struct
 * outlives its sockets: buffers that are lent and frames that a closed socket has
 * not let go of stay in its books.
 *
 * Who writes what: fields under "control" are the control functions' (never two at a
 * time), the rest is the worker's, and control functions touch it only inside
 * gw_port_apply(). `broken` is set by the worker, cleared by control.
 */
#pragma once

#include "xsk.h"
#include <guestwire/driver.h>

struct xdp_port;

/*
 * One descriptor on its way. The slot's number is in the cookie, so a completion
 * finds it without a look-up; `word` is what must come back (but see LOST_BITS).
 */
struct tx_slot {
	uint64_t word; /* as submitted; 0: it is not out */
	struct gw_frame *frame;
	uint16_t head;       /* slot of the frame's first descriptor */
	uint16_t left;       /* in the head's slot: descriptors of the frame still out */
	uint16_t generation; /* counts uses: part of the cookie */
	bool untaken;        /* in the head's slot, only within tx_settle */
};

struct xdp_tx {
	struct tx_slot *slot;
	uint16_t *free; /* stack of free slots */
	uint32_t free_count, slot_count, slot_bits;
	struct gw_done *done; /* ring: over, not reported yet */
	uint32_t done_head, done_tail, done_mask;
	uint32_t held; /* frames accepted and not reported */
	/* of the socket of now */
	struct gw_memmap *memmap; /* that can be lent from; NULL: none */
	struct gw_window window;
	uint32_t pieces_max;
	uint32_t piece_bytes;      /* the longest */
	bool metadata;             /* it fills in checksums */
	bool split_pages;          /* a descriptor must not cross a page */
	struct xdp_source *behind; /* not to be sent before what this source has elsewhere */
	/* wake-ups */
	uint32_t poll_us;
	uint32_t idle_polls;  /* without a completion */
	uint32_t since_check; /* completions, of the count of invalid descriptors */
	bool link_down;
	/* counts, read by anyone */
	uint64_t bogus;     /* completions of what was not out */
	uint64_t kicks;     /* system calls */
	uint64_t congested; /* of them met EAGAIN, ENOBUFS or EBUSY */
	uint64_t dropped;   /* frames that the kernel completed and did not send */
	uint64_t abandoned; /* frames ended by closing the socket */
};

enum rx_state { RX_FREE = 0, RX_KERNEL, RX_LENT };

struct xdp_rx {
	uint8_t *pool; /* count buffers of XSK_CHUNK_BYTES in the arena */
	uint32_t count;
	struct gw_frame *frame; /* one for each buffer; a frame uses that of its first */
	uint32_t *free;         /* stack of free buffers */
	uint32_t free_count;
	uint8_t *state; /* enum rx_state */
	uint8_t *pass;  /* RULES_PASS_BUFFERS for what the host receives; NULL: never needed */
	/* counts, read by anyone */
	uint64_t partial; /* frames with an open checksum */
	uint64_t super;   /* frames longer than the MTU */
	uint64_t bogus;   /* descriptors of what was not out */
};

struct xdp_channel {
	struct xdp_port *p;
	unsigned int index;

	/* control */
	unsigned int queue_index; /* of the interface */
	unsigned int ifindex;     /* that its socket is bound to, or the last one was */
	enum gw_reads reads;
	struct gw_memmap *mapped;
	uint32_t page_bytes; /* of the guest's memory: what lies side by side for the device */
	bool unreleased;     /* a closed socket's frames: the kernel has not let go yet */
	bool elsewhere;      /* somebody else has the queue, as far as we know */
	bool passes;         /* frames for it pass to the host, until it has a socket again */
	uint64_t passed;     /* of this queue, by the program's count, when that began */

	/* worker */
	struct xsk *xsk; /* NULL: no socket now */
	bool changing;   /* the socket is about to go: it takes no more frames */
	struct xdp_tx tx;
	struct xdp_rx rx;
	uint64_t counts[GW_DEVICE_COUNT]; /* of sockets that are closed, and what passed */

	uint32_t broken; /* the socket has to be opened anew */
};

/* ---- channel.c: the channels of a port ---- */

/* Allocates what they need for the port's life. */
int channels_init(struct xdp_port *p, struct gw_error *err);
/* Sockets too, if there are any. */
void channels_free(struct xdp_port *p);
/* The one that lends from this memory; NULL: none does. Control. */
struct xdp_channel *channel_of(struct xdp_port *p, const struct gw_memmap *memmap);
/* One that could; NULL: all are taken. Control. */
struct xdp_channel *channel_vacant(struct xdp_port *p);
/* Makes one lend from this memory. */
int channel_map(struct xdp_port *p, struct gw_memmap *memmap, struct gw_error *err);
/* A socket with the same memory takes the place of its socket: pages of it are others now. */
int channel_remap(struct xdp_channel *ch, struct gw_memmap *memmap, struct gw_error *err);
/* It lends no more: the first goes back to the arena, others are closed. */
void channel_unmap(struct xdp_channel *ch);

/* ---- tx.c: descriptors, completions and wake-ups ---- */

int tx_init(struct xdp_channel *ch, uint32_t entries);
void tx_free(struct xdp_channel *ch);
/*
 * Limits of a socket that was just bound to `memmap`'s window (NULL: the arena), by
 * ch->reads and ch->page_bytes. In apply.
 */
void tx_attach(struct xdp_channel *ch, struct gw_memmap *memmap);
/* A frame is over. */
void tx_done(struct xdp_channel *ch, struct gw_frame *frame, enum gw_done_status status);
/* Takes what the completion ring has. Worker. */
void tx_collect(struct xdp_channel *ch);
/* Shows the kernel what was put into the ring, and wakes it if it asks for that. */
void tx_publish(struct xdp_channel *ch);
void tx_kick(struct xdp_channel *ch);
/* All that is still out is over, not transmitted: the kernel has let go. In apply. */
void tx_abandon(struct xdp_channel *ch);
/*
 * The same before a socket is closed whose kernel copies: what that has taken is a copy in
 * the device's queue, which nobody takes away. In apply.
 */
void tx_settle(struct xdp_channel *ch);
/* Frames in the kernel's hands. */
uint32_t tx_out(const struct xdp_channel *ch);
/* Before sleep: true if there is something to report. *poll_us as in arm, or 0. */
bool tx_arm(struct xdp_channel *ch, unsigned int *poll_us);

/* ---- describe.c: from a frame to descriptors ---- */

enum put { PUT_OK, PUT_FULL, PUT_BAD };

/* Puts a frame into the ring; the kernel does not see it before tx_publish. */
enum put tx_put(struct xdp_channel *ch, struct gw_frame *frame);
/*
 * The same for frames of one source that ask for nothing, with a descriptor for each segment.
 * Ends before whatever is otherwise, or finds no room: how many are in.
 */
unsigned int tx_put_run(struct xdp_channel *ch, struct gw_frame *const *frames, unsigned int count);

/* ---- rx.c: frames in ---- */

/* With count buffers at pool. */
int rx_init(struct xdp_channel *ch, uint8_t *pool, uint32_t count);
void rx_free(struct xdp_channel *ch);
/* Buffers that a closed socket had are ours again, and the new one gets all. In apply. */
void rx_attach(struct xdp_channel *ch);
/* Descriptors that have come and were not read. Worker. */
uint32_t rx_unread(const struct xdp_channel *ch);
/* Buffers in other ports. In apply. */
uint32_t rx_lent(const struct xdp_channel *ch);
/* Lends frames that have come, up to max. Worker, as the next two. */
unsigned int rx_read(struct xdp_channel *ch, struct gw_frame **frames, unsigned int max);
/* A frame is home. */
void rx_home(struct xdp_channel *ch, const struct gw_frame *frame);
/* Gives the kernel free buffers, if there are enough to make it worth while. */
void rx_refill(struct xdp_channel *ch);
/* Before sleep: true if there is a frame. */
bool rx_arm(struct xdp_channel *ch);

/* ---- bind_queue.c ---- */

/* Whether binds in zero-copy mode are tried. */
bool bind_zerocopy_wanted(const struct xdp_port *p);
/* Binds to the channel's queue, waiting for who is on his way out until the deadline. */
int bind_queue(struct xdp_channel *ch, struct xsk *xsk, uint64_t deadline_ns, struct gw_error *err);
/*
 * True when the channel's queue of that interface can be bound, or there is none any more:
 * nothing of a closed socket is in use then.
 */
bool bind_released(const struct xdp_channel *ch, unsigned int ifindex, uint64_t deadline_ns);
/* Sleeps a little, between two looks at the kernel. */
void bind_wait(void);

/* Worker: frames can leave through it. */
static inline bool channel_takes(const struct xdp_channel *ch)
{
	return ch->xsk && !ch->changing;
}

/* ---- window.c: which memory the socket has ---- */

/* Opens a socket on memmap's window (NULL: the arena) and lets it take the old one's place. */
int window_set(struct xdp_channel *ch, struct gw_memmap *memmap, struct gw_error *err);
/*
 * Takes the socket away: drains, closes, waits until the kernel has let go, all
 * within limit_ms. Frames that it has not let go of (ch->unreleased), or 0.
 */
uint32_t window_clear(struct xdp_channel *ch, unsigned int limit_ms);
/* True if what the channel has cannot be trusted: it has to be opened anew, or cleared. */
bool window_troubled(struct xdp_channel *ch);
