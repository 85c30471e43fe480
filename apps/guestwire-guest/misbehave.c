/* SPDX-License-Identifier: BSD-2-Clause */
#include "misbehave.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run.h"
#include "vhost_user_spec.h"

#define DEFAULT_WATCH_S 0.3
#define WATCH_STEP_MS   5
#define BEHAVE_STEP_MS  1
#define TINY_RX_BYTES   4u
#define SPLIT_RX_PIECES 17u
#define SPLIT_RX_BYTES  17u

static const struct misdeed *const tables[] = { misdeeds_ring,   misdeeds_header, misdeeds_packed,
						misdeeds_shared, misdeeds_wire,   misdeeds_state };

#define TABLE_COUNT (sizeof(tables) / sizeof(tables[0]))

static const struct misdeed *find(const char *name)
{
	for (size_t t = 0; t < TABLE_COUNT; t++)
		for (const struct misdeed *m = tables[t]; m->name; m++)
			if (!strcmp(m->name, name))
				return m;
	return NULL;
}

/* It writes a split ring's descriptors itself. */
static bool writes_split(const struct misdeed *misdeed)
{
	for (size_t t = 0; t < 2; t++)
		for (const struct misdeed *m = tables[t]; m->name; m++)
			if (m == misdeed)
				return true;
	return false;
}

bool misbehave_known(const char *name)
{
	return find(name) != NULL;
}

void misbehave_list(void)
{
	for (size_t t = 0; t < TABLE_COUNT; t++)
		for (const struct misdeed *m = tables[t]; m->name; m++)
			printf("%-26s %s\n", m->name, m->help);
}

static void adapt(struct guest_options *o, uint32_t needs)
{
	if (needs & (NEEDS_ADJACENT | NEEDS_TWO))
		o->regions = o->regions < 2 ? 2 : o->regions;
	if (needs & NEEDS_ADJACENT)
		o->adjacent = true;
	if (needs & NEEDS_NO_SEAL)
		o->no_seal = true;
	if (needs & NEEDS_TINY_RX)
		o->rx_buffer = TINY_RX_BYTES;
	if (needs & NEEDS_OFFLOADS)
		o->offloads = options_all_offloads();
	if (needs & NEEDS_PACKED)
		o->ring = DRIVER_RING_PACKED;
	if (needs & NEEDS_LOG)
		o->log = true;
	if (needs & NEEDS_INFLIGHT)
		o->inflight = o->inflight_own = true;
	if (needs & NEEDS_SLOTS)
		o->slots = true;
	if (needs & NEEDS_SPLIT_RX) {
		o->rx_buffer = SPLIT_RX_BYTES;
		o->rx_descriptors = (struct guest_range){ SPLIT_RX_PIECES, SPLIT_RX_PIECES };
		o->rx_header = LAYOUT_SPLIT;
	}
}

/* What lies on the socket: the end, an acknowledgement, or something else. */
static const char *read_answer(struct guest_run *run)
{
	uint32_t header[3];
	uint64_t value = 0;
	ssize_t got = recv(run->fe.sock, header, sizeof(header), MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return NULL;
	if (got <= 0)
		return "closed";
	if (got != sizeof(header) || header[2] != sizeof(value) ||
	    recv(run->fe.sock, &value, sizeof(value), MSG_DONTWAIT) != sizeof(value))
		return "answered";
	if (header[0] == VHOST_USER_GET_FEATURES || header[0] == VHOST_USER_GET_PROTOCOL_FEATURES ||
	    header[0] == VHOST_USER_GET_QUEUE_NUM || header[0] == VHOST_USER_GET_VRING_BASE)
		return "answered";
	return value ? "refused" : "accepted";
}

/* All chains that the misdeed made available came back. What it did to a split ring is in
 * no book of ours, but the index says it; in a packed ring, whether one came back. */
static bool all_back(struct guest_run *run, const struct misdeed *misdeed)
{
	const struct driver_ring *tx = &run->nic->tx.ring;

	if (tx->kind == DRIVER_RING_SPLIT)
		return tx->published && driver_ring_used_idx(tx) == tx->published;
	if (misdeed->needs & NEEDS_PACKED)
		return driver_ring_has_used(tx);
	guest_nic_reap(run->nic);
	return tx->published && !driver_ring_out(tx);
}

static const char *watch(struct guest_run *run, struct pacer *pacer, const struct misdeed *misdeed)
{
	struct driver_ring *rx = &run->nic->rx.ring, *tx = &run->nic->tx.ring;
	struct pollfd wait[] = { { .fd = run->fe.sock, .events = POLLIN },
				 { .fd = rx->err_fd, .events = POLLIN },
				 { .fd = tx->err_fd, .events = POLLIN },
				 { .fd = pacer->signal_fd, .events = POLLIN } };
	double limit_s =
		run->nic->options->duration_s > 0 ? run->nic->options->duration_s : DEFAULT_WATCH_S;
	const char *outcome;

	if (run->fe.sock < 0)
		return "left";
	for (;;) {
		poll(wait, 4, WATCH_STEP_MS);
		outcome = wait[0].revents ? read_answer(run) : NULL;
		if (outcome)
			return outcome;
		if (wait[1].revents || wait[2].revents)
			return "ring-error";
		if (!(misdeed->needs & WAITS_FOR_END) && all_back(run, misdeed))
			return "completed";
		pacer_tick(pacer, run->summary);
		if (wait[3].revents || pacer_seconds(pacer) >= limit_s)
			return "silence";
	}
}

static int bring_up(struct guest_run *run, const struct misdeed *m)
{
	int rc = 0;

	if (m->stage == STAGE_NEGOTIATED) {
		rc = front_end_negotiate(&run->fe, &run->rings);
		if (rc)
			summary_error(run->summary, EXIT_PROTOCOL, "%s", run->fe.fail.text);
	} else if (m->stage == STAGE_RUNNING) {
		rc = guest_run_start(run);
	}
	return rc;
}

/* Sends as --lead says until --start-fd says go: what the misdeed finds is a guest that has
 * been asked about and is lent from. False if it shall end before. */
static bool behave(struct guest_run *run, struct pacer *pacer)
{
	struct guest_summary *s = run->summary;
	struct pollfd signal = { .fd = pacer->signal_fd, .events = POLLIN };

	pacer_start(pacer);
	while (pacer->held && !pacer->interrupted) {
		guest_nic_reap(run->nic);
		guest_run_counts(run);
		guest_nic_send(run->nic,
			       pacer_allowance(pacer, s->sent, s->sent_pieces, s->tally->frames));
		if (poll(&signal, 1, BEHAVE_STEP_MS) > 0)
			pacer_read_signal(pacer);
		pacer_tick(pacer, s);
	}
	return !pacer->interrupted;
}

void run_misbehave(const struct guest_options *options, struct pacer *pacer,
		   struct guest_summary *summary)
{
	const struct misdeed *m = find(options->misbehave);
	struct guest_options adapted = *options;
	struct guest_run run;

	summary->is_guest = true;
	summary->misbehaviour = m->name;
	summary->outcome = "not done";
	adapt(&adapted, m->needs);
	if (writes_split(m))
		adapted.ring = DRIVER_RING_SPLIT;
	if (!guest_run_open(&run, &adapted, summary) && !bring_up(&run, m)) {
		run_ready(options);
		if (m->stage != STAGE_RUNNING || behave(&run, pacer)) {
			m->act(&run, m->arg);
			pacer_start(pacer);
			summary->outcome = watch(&run, pacer, m);
		}
	}
	guest_run_close(&run);
}
