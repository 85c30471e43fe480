/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of an xdp port.
 *
 * Who writes what: `control` fields are the control functions' (never two at a
 * time); tx, rx and xsk are the worker's, and control functions touch them only
 * inside gw_port_apply(). `broken` is set by the worker, cleared by control.
 */
#pragma once

#include "netdev.h"
#include "program.h"
#include "xsk.h"
#include <guestwire/driver.h>

struct packet_rx;

/*
 * Descriptors of one frame in copy mode: the fragments of a kernel buffer, and its
 * linear part, which a frame that is not copied does not have.
 */
#define XDP_FRAGMENTS     17u
#define XDP_COPY_PIECES   (XDP_FRAGMENTS + 1)
/* What a query admits to, segments before they are split. */
#define XDP_COPY_SEGS     17u
/* How long another socket may hold our queue before we give up: the kernel lets go of a closed
   one in a work queue after some RCU grace periods. */
#define XDP_BIND_LIMIT_MS 1000u

enum xdp_promiscuous { XDP_PROMISC_AUTO, XDP_PROMISC_ON, XDP_PROMISC_OFF };
enum xdp_bind { XDP_BIND_AUTO, XDP_BIND_ZEROCOPY, XDP_BIND_COPY };

/*
 * One descriptor on its way. The slot's number is in the cookie, so a completion
 * finds it without a look-up; `word` is what must come back (but see LOST_BITS).
 */
struct tx_slot {
	uint64_t word; /* as submitted; 0: the slot is free */
	struct gw_frame *frame;
	uint16_t head;       /* slot of the frame's first descriptor */
	uint16_t left;       /* in the head's slot: descriptors of the frame still out */
	uint16_t generation; /* counts uses: part of the cookie */
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
	bool split_pages; /* a descriptor must not cross a page */
	/* wake-ups */
	uint32_t poll_us;
	uint32_t idle_polls; /* without a completion */
	bool link_down;
	/* counts, read by anyone */
	uint64_t bogus;     /* completions of what was not out */
	uint64_t kicks;     /* system calls */
	uint64_t congested; /* of them met EAGAIN, ENOBUFS or EBUSY */
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
	/* counts, read by anyone */
	uint64_t partial; /* checksums completed */
	uint64_t bogus;   /* descriptors of what was not out */
};

struct xdp_port {
	struct gw_port *port;
	struct gw_queue *queue;
	struct iovec arena;

	/* control: options */
	unsigned int queue_index;
	enum xdp_bind bind;
	bool receive;
	enum xdp_promiscuous promiscuous;
	uint32_t tx_entries, rx_entries;

	/* control: the device */
	struct netdev_info netdev;
	struct program program;
	int promiscuous_fd;
	enum gw_reads reads;
	bool started;
	bool unreleased; /* a closed socket's frames: the kernel has not let go yet */
	struct gw_memmap *mapped;
	char why_packet[GW_ERROR_TEXT_BYTES]; /* no XDP program: why */
	char trouble[GW_ERROR_TEXT_BYTES];    /* why the socket is gone */

	/* worker */
	struct xsk *xsk; /* NULL: no socket now */
	struct packet_rx *packet;
	struct xdp_tx tx;
	struct xdp_rx rx;

	uint32_t broken; /* the socket has to be opened anew */
	uint32_t partial_warned;
};

/* ---- tx.c: frames out ---- */

int tx_init(struct xdp_port *p);
void tx_free(struct xdp_port *p);
/* Limits of a socket that was just bound to `memmap`'s window (NULL: the arena). In apply. */
void tx_attach(struct xdp_port *p, struct gw_memmap *memmap);
/* Takes what the completion ring has. Worker. */
void tx_collect(struct xdp_port *p);
/* All that is still out is over, not transmitted: the kernel has let go. In apply. */
void tx_abandon(struct xdp_port *p);
/* Frames in the kernel's hands. */
uint32_t tx_out(const struct xdp_port *p);
bool tx_arm(struct xdp_port *p, unsigned int wants, unsigned int *poll_us);
unsigned int xdp_tx(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count);
unsigned int xdp_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max);

/* ---- rx.c: frames in ---- */

int rx_init(struct xdp_port *p, struct gw_error *err);
void rx_free(struct xdp_port *p);
/* Buffers that a closed socket had are ours again, and the new one gets all. In apply. */
void rx_attach(struct xdp_port *p);
/* Buffers in other ports. In apply. */
uint32_t rx_lent(const struct xdp_port *p);
bool rx_arm(struct xdp_port *p);
unsigned int xdp_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max);
void xdp_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count);

/* ---- window.c: which memory the socket has ---- */

/* Opens a socket on memmap's window (NULL: the arena) and lets it take the old one's place. */
int window_set(struct xdp_port *p, struct gw_memmap *memmap, struct gw_error *err);
/*
 * Takes the socket away: drains, closes, waits until the kernel has let go, all
 * within limit_ms. Frames that it has not let go of (p->unreleased), or 0.
 */
uint32_t window_clear(struct xdp_port *p, unsigned int limit_ms);
/* True if there is no socket, or none that can be trusted: it has to be opened anew. */
bool window_troubled(struct xdp_port *p);

/* ---- device.c: the interface as a whole ---- */

int device_start(struct xdp_port *p, struct gw_error *err);
/* Frames that the kernel has not let go of by the deadline. */
uint32_t device_stop(struct xdp_port *p, unsigned int deadline_ms);
/* If the socket is in trouble: opens it anew, without guest memory; who lends maps it again. */
void device_recover(struct xdp_port *p);
/* What the user is told after each change of the socket. */
void device_tell(struct xdp_port *p);
/* The longest frame that the interface and the socket take. */
uint32_t device_max_len(const struct xdp_port *p);

/* ---- answer.c ---- */

void xdp_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer);
