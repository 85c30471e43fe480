/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer to the query: what this queue can lend, and if not, why. */
#include "xdp.h"

#include "contiguity.h"
#include "xdp_rules.h"
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/*
 * What one socket can have registered: the kernel keeps some 120 bytes for each
 * page in one allocation, which must stay below 2 GiB.
 */
#define UMEM_MAX_BYTES (70ull << 30)

static void say_no(struct gw_answer *answer, enum gw_reason reason, const char *text)
{
	answer->verdict = GW_NO;
	answer->reason = reason;
	snprintf(answer->text, sizeof(answer->text), "%s", text);
}

static bool fragments_are_safe(void)
{
	struct utsname name;
	unsigned int major, minor;

	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return false;
	return rules_fragments_are_safe(major, minor);
}

/* Whether this memory could be the UMEM; the reason if not. */
static bool window_fits(enum gw_reads reads, struct gw_memmap *memmap, struct gw_answer *answer)
{
	struct gw_window window;

	gw_memmap_window(memmap, &window);
	if (window.file_backed) {
		say_no(answer, GW_COPY_MEMORY_FILE,
		       "guest memory lies in a file, which cannot be pinned for long; use "
		       "memory-backend-memfd");
		return false;
	}
	if (window.len > UMEM_MAX_BYTES) {
		say_no(answer, GW_COPY_MEMORY_LIMIT,
		       "more than 70 GiB: the kernel cannot register that for one queue");
		return false;
	}
	if (reads == GW_READS_FRAGMENTS && !fragments_are_safe()) {
		say_no(answer, GW_COPY_DEVICE_CANNOT,
		       "this kernel reports frames as sent that virtio_net still reads; needs "
		       "Linux 6.18");
		return false;
	}
	return true;
}

/*
 * Segments before they are split: a frame that has so many must still fit when long
 * ones are cut into pieces, and, on huge pages, when the desk does not count those.
 */
static uint32_t segs_max(const struct xdp_channel *ch, uint32_t page_bytes)
{
	const struct xdp_tx *tx = &ch->tx;
	uint32_t splits = device_max_len(ch->p) / tx->piece_bytes, segs = tx->pieces_max;

	if (segs > 1 && (!tx->split_pages || page_bytes > tx->piece_bytes))
		segs = segs > splits + 1 ? segs - splits : 1;
	return segs > XDP_COPY_SEGS && !ch->xsk->zerocopy ? XDP_COPY_SEGS : segs;
}

/* Before it is pinned, memory is what it is made of; after that, what was found. */
static uint32_t page_bytes_of(const struct xdp_channel *mine, const struct xdp_port *p,
			      struct gw_memmap *memmap)
{
	struct gw_window window;

	if (mine)
		return mine->page_bytes;
	if (p->pages_apart || p->channel[0].reads != GW_READS_DMA)
		return CONTIGUOUS_BYTES_LEAST;
	gw_memmap_window(memmap, &window);
	return (uint32_t)window.page_bytes;
}

static void say_limits(const struct xdp_channel *ch, struct gw_answer *answer)
{
	answer->single_page_segs = ch->tx.split_pages;
	answer->max_segs = (uint16_t)segs_max(ch, answer->page_bytes);
}

static void say_yes(const struct xdp_channel *ch, struct gw_answer *answer)
{
	const bool huge = answer->page_bytes > XSK_CHUNK_BYTES;

	snprintf(answer->text, sizeof(answer->text), "queue %u, %s, up to %u segment%s%s%s",
		 ch->queue_index,
		 ch->xsk && ch->xsk->zerocopy      ? "zero-copy: the NIC reads guest memory"
		 : ch->reads == GW_READS_FRAGMENTS ? "copy mode that passes pages on"
						   : "copy mode: the kernel copies each frame once",
		 answer->max_segs, answer->max_segs == 1 ? "" : "s",
		 !answer->single_page_segs ? ""
		 : answer->max_segs == 1   ? ", in one page"
					   : ", each in one page",
		 answer->single_page_segs && huge ? " (huge pages: known to be contiguous)" : "");
}

static void say_taken(const struct xdp_port *p, struct gw_answer *answer)
{
	const unsigned int queues = p->netdev.queues;

	answer->verdict = GW_NO;
	answer->reason = GW_COPY_MEMORY_TAKEN;
	if (!p->queue_auto)
		snprintf(answer->text, sizeof(answer->text),
			 "queue %u lends from another guest already; let the port take more "
			 "queues (queue=auto), or give this guest a port with a queue of its own",
			 p->queue_first);
	else if (queues > p->channel_count)
		snprintf(answer->text, sizeof(answer->text),
			 "the %u queues that a port uses lend from other guests already; give "
			 "this guest another port, with queue=%u",
			 p->channel_count, p->channel_count);
	else if (queues > 1)
		snprintf(answer->text, sizeof(answer->text),
			 "all %u queues of %s lend from other guests already; more may be had with "
			 "ethtool -L",
			 queues, gw_port_target(p->port));
	else
		snprintf(answer->text, sizeof(answer->text),
			 "%s has one queue, which lends from another guest already; more may be "
			 "had with ethtool -L",
			 gw_port_target(p->port));
}

void xdp_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	struct xdp_port *p = gw_port_priv(port);
	struct xdp_channel *mine;

	memset(answer, 0, sizeof(*answer));
	answer->max_segs = 1;
	device_recover(p);
	if (!p->channel[0].xsk) {
		say_no(answer, GW_COPY_DEVICE_DOWN,
		       p->trouble[0] ? p->trouble : "the port is not running");
		return;
	}
	mine = memmap ? channel_of(p, memmap) : &p->channel[0];
	answer->reads = mine ? mine->reads : p->channel[0].reads;
	if (!mine && !channel_vacant(p)) {
		say_taken(p, answer);
		return;
	}
	if (memmap && !window_fits(answer->reads, memmap, answer))
		return;
	answer->needs_map = !mine;
	/* All queues of an interface are alike: the first speaks for one not bound yet. */
	answer->verdict = memmap ? GW_PARTLY : GW_YES;
	answer->page_bytes = page_bytes_of(mine, p, memmap);
	say_limits(mine ? mine : &p->channel[0], answer);
	say_yes(mine ? mine : channel_vacant(p), answer);
}
