/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of a run counted, into its summary. */
#include <stdio.h>
#include <string.h>

#include "guest_run.h"

void guest_run_counts(struct guest_run *run)
{
	struct guest_summary *s = run->summary;

	s->sent = s->sent_pieces = s->sent_bytes = s->completed = 0;
	for (uint32_t i = 0; i < run->pairs; i++) {
		s->sent += run->nic[i].sent;
		s->sent_pieces += run->nic[i].sent_pieces;
		s->sent_bytes += run->nic[i].sent_bytes;
		s->completed += run->nic[i].completed;
	}
}

static void ring_error(struct guest_summary *s, uint64_t count, const char *name, const char *what,
		       const struct driver_ring *ring)
{
	char text[DRIVER_RING_WHY_BYTES + 96];

	snprintf(text, sizeof(text), "%s %s; the first: %s", name, what, ring->why);
	summary_count_error(s, count, text);
}

static void ring_errors(struct guest_summary *s, const struct driver_ring *ring, const char *name)
{
	ring_error(s, ring->double_completions, name, "heads completed twice", ring);
	ring_error(s, ring->unknown_ids, name, "completions of heads that do not exist", ring);
	ring_error(s, ring->index_jumps, name, "used index ran ahead of what was available", ring);
	s->kicks += ring->kicks;
	s->calls += ring->calls;
	s->chains_given += ring->serial;
	s->chains_home += ring->home;
}

static void add_packets(struct packet_counts *to, const struct packet_counts *from)
{
	to->packets += from->packets;
	to->supers += from->supers;
	to->partial += from->partial;
	to->complete += from->complete;
	if (from->bad && !to->bad)
		memcpy(to->why, from->why, sizeof(to->why));
	to->bad += from->bad;
}

static void report_nic(struct guest_summary *s, const struct guest_nic *nic)
{
	struct summary_queue *q = &s->queues[nic->index];

	ring_errors(s, &nic->rx.ring, "RX");
	ring_errors(s, &nic->tx.ring, "TX");
	summary_count_error(s, nic->rx_overruns, "receive buffers written beyond their end");
	summary_count_error(s, nic->rx_bad_length,
			    "receive buffers with an impossible used length");
	summary_count_error(s, nic->rx_bad_header, "received virtio-net headers not as negotiated");
	add_packets(&s->packets, &nic->packets);
	s->tx_used_len_set += nic->tx_used_len_set;
	s->rx_chains += nic->rx_chains;
	s->rx_zero_buffers += nic->rx_zero_buffers;
	s->rx_cut += nic->rx_cut;
	q->stream = nic->stream;
	q->sent = nic->sent;
	q->completed = nic->completed;
	q->received = nic->rx_frames;
	q->kicks = nic->rx.ring.kicks + nic->tx.ring.kicks;
	q->calls = nic->rx.ring.calls + nic->tx.ring.calls;
}

void guest_run_report(struct guest_run *run)
{
	guest_run_counts(run);
	run->summary->pairs = run->pairs;
	for (uint32_t i = 0; i < run->pairs; i++)
		report_nic(run->summary, &run->nic[i]);
}
