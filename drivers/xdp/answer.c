/* SPDX-License-Identifier: BSD-2-Clause */
/* The answer to the query: what this queue can lend, and if not, why. */
#include "xdp.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/*
 * What one socket can have registered: the kernel keeps some 120 bytes for each
 * page in one allocation, which must stay below 2 GiB.
 */
#define UMEM_MAX_BYTES (70ull << 30)

/*
 * Copy mode without a copy is safe where completions name what is really over:
 * since Linux 6.18 (commit 30f241fcf52a).
 */
#define FRAGMENTS_KERNEL_MAJOR 6
#define FRAGMENTS_KERNEL_MINOR 18

static void say_no(struct gw_answer *answer, enum gw_reason reason, const char *text)
{
	answer->verdict = GW_NO;
	answer->reason = reason;
	snprintf(answer->text, sizeof(answer->text), "%s", text);
}

static bool fragments_are_safe(void)
{
	struct utsname name;
	int major, minor;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return false;
	return major > FRAGMENTS_KERNEL_MAJOR ||
	       (major == FRAGMENTS_KERNEL_MAJOR && minor >= FRAGMENTS_KERNEL_MINOR);
}

/* Whether this memory could be the UMEM; the reason if not. */
static bool window_fits(const struct xdp_port *p, struct gw_memmap *memmap,
			struct gw_answer *answer)
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
	if (p->reads == GW_READS_FRAGMENTS && !fragments_are_safe()) {
		say_no(answer, GW_COPY_DEVICE_CANNOT,
		       "this kernel reports frames as sent that virtio_net still reads; needs "
		       "Linux 6.18");
		return false;
	}
	return true;
}

static void say_limits(const struct xdp_port *p, struct gw_answer *answer)
{
	/* A frame of max_segs segments still has to fit when long segments are split. */
	uint32_t splits = device_max_len(p) / XSK_CHUNK_BYTES, segs = p->tx.pieces_max;

	if (segs > 1 && !p->tx.split_pages)
		segs = segs > splits + 1 ? segs - splits : 1;
	if (segs > XDP_COPY_SEGS && !p->xsk->zerocopy)
		segs = XDP_COPY_SEGS;
	answer->verdict = GW_PARTLY;
	answer->max_segs = (uint16_t)segs;
	answer->single_page_segs = p->tx.split_pages;
	snprintf(answer->text, sizeof(answer->text), "queue %u, %s, up to %u segments%s",
		 p->queue_index,
		 p->xsk->zerocopy                 ? "zero-copy: the NIC reads guest memory"
		 : p->reads == GW_READS_FRAGMENTS ? "copy mode that passes pages on"
						  : "copy mode: the kernel copies each frame once",
		 segs, p->tx.split_pages ? ", each in one page" : "");
}

void xdp_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	struct xdp_port *p = gw_port_priv(port);

	memset(answer, 0, sizeof(*answer));
	device_recover(p);
	answer->reads = p->reads;
	answer->max_segs = 1;
	if (!p->xsk) {
		say_no(answer, GW_COPY_DEVICE_DOWN,
		       p->trouble[0] ? p->trouble : "the port is not running");
		return;
	}
	if (memmap && p->mapped && p->mapped != memmap) {
		say_no(answer, GW_COPY_MEMORY_TAKEN,
		       "the queue lends from another guest already; give this guest a queue of its "
		       "own (another port with queue=N)");
		return;
	}
	if (memmap && !window_fits(p, memmap, answer))
		return;
	say_limits(p, answer);
	answer->needs_map = memmap && p->mapped != memmap;
	if (!memmap)
		answer->verdict = GW_YES;
}
