/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest mode: memory, rings and negotiation up; frames until all is done; an
 * orderly stop; the rings' indexes compared.
 *
 * One thread. It sleeps on the call eventfds, and counts it an error (a missed
 * call) when a device moved its used index past the point where an interrupt was asked for
 * and no interrupt came: a driver that looked again by itself would hide that.
 */
#include "run.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "front_end.h"
#include "guest_nic.h"
#include "guest_run.h"

#define NAP_NS           200000000ll /* longest sleep before the rings are looked at anyway */
#define LATE_CALL_MS     1000        /* a call may come so much after the used index */
#define SPIN_TICK        64u         /* visits between looks at clock, signals and socket */
#define REPLY_TIMEOUT_MS 5000
#define NS_PER_S         1000000000ll

enum { WAIT_SOCKET, WAIT_SIGNAL, WAIT_RX_CALL, WAIT_TX_CALL, WAIT_RX_ERR, WAIT_TX_ERR, WAIT_COUNT };

static uint64_t feature_bit(int bit)
{
	return 1ull << bit;
}

static uint64_t chosen_features(const struct guest_options *o)
{
	return (o->ring == DRIVER_RING_PACKED ? feature_bit(VIRTIO_F_RING_PACKED) : 0) |
	       (o->in_order ? feature_bit(VIRTIO_F_IN_ORDER) : 0);
}

static struct front_end_config front_end_config(const struct guest_options *o)
{
	uint64_t wanted = 0, wanted_protocol = 0, chosen = chosen_features(o);

	for (const struct front_end_feature *f = front_end_features; f->name; f++)
		if (f->kind == FEATURE_PROTOCOL)
			wanted_protocol |= feature_bit(f->bit);
		else if (f->kind == FEATURE_VIRTIO)
			wanted |= feature_bit(f->bit);
	return (struct front_end_config){
		.path = o->socket,
		.listen = o->listen,
		.connect_timeout_ms = (int)(o->connect_timeout_s * 1000),
		.reply_timeout_ms = REPLY_TIMEOUT_MS,
		.wanted = (wanted | chosen | o->offloads) & ~o->features_off,
		.required = chosen,
		.wanted_protocol = wanted_protocol & ~o->protocol_off,
		.ack_all = o->ack == ACK_ALL,
		.enable_last = o->order == ORDER_ENABLE_LAST,
		.trace = o->trace,
	};
}

int guest_run_open(struct guest_run *run, const struct guest_options *o,
		   struct guest_summary *summary)
{
	struct guest_memory_config memory = { .size = o->memory_mib << 20,
					      .region_count = (uint32_t)o->regions,
					      .adjacent = o->adjacent,
					      .hugetlb = o->hugetlb,
					      .seal = !o->no_seal };
	struct fail fail;
	int rc;

	memset(run, 0, sizeof(*run));
	run->summary = summary;
	run->fe.sock = run->memory.fd = -1;
	run->config = front_end_config(o);
	rc = guest_memory_open(&run->memory, &memory, &fail);
	if (!rc)
		rc = guest_nic_open(&run->nic, o, &run->memory, summary->tally, &fail);
	if (rc) {
		summary_error(summary, EXIT_WRONG, "%s", fail.text);
		return rc;
	}
	rc = front_end_open(&run->fe, &run->config);
	if (rc)
		summary_error(summary, EXIT_PROTOCOL, "%s", run->fe.fail.text);
	return rc;
}

void guest_run_close(struct guest_run *run)
{
	front_end_close(&run->fe);
	guest_nic_close(&run->nic);
	guest_memory_close(&run->memory);
}

int guest_run_start(struct guest_run *run)
{
	struct front_end *fe = &run->fe;
	struct driver_ring *rx = &run->nic.rx.ring, *tx = &run->nic.tx.ring;
	struct fail fail;
	int rc = front_end_negotiate(fe, rx, tx);

	if (!rc && guest_nic_prepare(&run->nic, fe->features, &fail) < 0) {
		run->summary->features = fe->features;
		summary_error(run->summary, EXIT_WRONG, "%s", fail.text);
		return -ENOMEM;
	}
	if (!rc)
		rc = front_end_start(fe, &run->memory, rx, tx);
	if (rc) {
		summary_error(run->summary, EXIT_PROTOCOL, "%s", fe->fail.text);
		return rc;
	}
	run->summary->features = fe->features;
	run->summary->protocol = fe->protocol;
	/* The first kick starts a ring ("Ring states"); RX has buffers to show. */
	driver_ring_kick_always(rx);
	driver_ring_kick_always(tx);
	return 0;
}

static uint64_t drain(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* The socket is silent while rings run; anything there is the end. */
static bool socket_lost(struct guest_run *run, short events)
{
	char byte;
	ssize_t got;

	if (!events)
		return false;
	got = recv(run->fe.sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return false;
	if (got > 0)
		summary_error(run->summary, EXIT_PROTOCOL,
			      "the back-end sent a message that nobody asked for");
	else
		summary_error(run->summary, EXIT_PROTOCOL,
			      "the back-end closed the connection while the rings were running");
	return true;
}

static void ring_failed(struct guest_run *run, struct driver_ring *ring, const char *name)
{
	drain(ring->err_fd);
	summary_error(run->summary, EXIT_WRONG, "the back-end reported an error on the %s ring",
		      name);
}

static void fill_wait(struct guest_run *run, const struct pacer *pacer, struct pollfd *wait)
{
	int fds[WAIT_COUNT] = { run->fe.sock,
				pacer->signal_fd,
				run->nic.rx.ring.call_fd,
				run->nic.tx.ring.call_fd,
				run->nic.rx.ring.err_fd,
				run->nic.tx.ring.err_fd };

	for (int i = 0; i < WAIT_COUNT; i++)
		wait[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
}

/* After a wait: signals, errors, disconnection. False: the run is over. */
static bool handle_events(struct guest_run *run, struct pacer *pacer, const struct pollfd *wait)
{
	if (wait[WAIT_SIGNAL].revents)
		pacer_read_signal(pacer);
	if (wait[WAIT_RX_CALL].revents)
		run->nic.rx.ring.calls += drain(run->nic.rx.ring.call_fd);
	if (wait[WAIT_TX_CALL].revents)
		run->nic.tx.ring.calls += drain(run->nic.tx.ring.call_fd);
	if (wait[WAIT_RX_ERR].revents)
		ring_failed(run, &run->nic.rx.ring, "RX");
	if (wait[WAIT_TX_ERR].revents)
		ring_failed(run, &run->nic.tx.ring, "TX");
	if (!socket_lost(run, wait[WAIT_SOCKET].revents))
		return true;
	run->lost = true;
	return false;
}

/* The nap ended by itself. Did a ring move without a call? */
static void look_for_missed_call(struct guest_run *run, struct driver_ring *ring, const char *name)
{
	struct pollfd call = { .fd = ring->call_fd, .events = POLLIN };

	if (!driver_ring_has_used(ring))
		return;
	if (poll(&call, 1, LATE_CALL_MS) > 0)
		return;
	if (!run->summary->missed_calls++)
		summary_error(run->summary, EXIT_WRONG,
			      "the back-end used buffers of the %s ring and did not call", name);
}

static bool nap(struct guest_run *run, struct pacer *pacer)
{
	struct driver_ring *rx = &run->nic.rx.ring, *tx = &run->nic.tx.ring;
	int64_t ns = pacer_sleep_ns(pacer, run->nic.sent, NAP_NS);
	struct timespec ts = { ns / NS_PER_S, ns % NS_PER_S };
	struct pollfd wait[WAIT_COUNT];
	bool more, alive;
	int woken;

	more = driver_ring_want_call(rx);
	more |= driver_ring_want_call(tx);
	if (more)
		ts = (struct timespec){ 0, 0 };
	fill_wait(run, pacer, wait);
	woken = ppoll(wait, WAIT_COUNT, &ts, NULL);
	if (woken == 0 && !more) {
		look_for_missed_call(run, rx, "RX");
		look_for_missed_call(run, tx, "TX");
	}
	alive = woken <= 0 || handle_events(run, pacer, wait);
	driver_ring_refuse_call(rx);
	driver_ring_refuse_call(tx);
	return alive;
}

static bool glance(struct guest_run *run, struct pacer *pacer)
{
	struct pollfd wait[WAIT_COUNT];

	fill_wait(run, pacer, wait);
	return poll(wait, WAIT_COUNT, 0) <= 0 || handle_events(run, pacer, wait);
}

static void copy_counts(struct guest_run *run)
{
	struct guest_summary *s = run->summary;
	const struct guest_nic *nic = &run->nic;

	s->sent = nic->sent;
	s->sent_pieces = nic->sent_pieces;
	s->sent_bytes = nic->sent_bytes;
	s->completed = nic->completed;
}

/* Whoever asked waits for this line before he lets a device go on. */
static void rewrite(struct guest_nic *nic, struct pacer *pacer)
{
	pacer->rewrite = false;
	fprintf(stderr, "rewritten %u\n", guest_nic_rewrite(nic, (uint32_t)nic->options->rewrite));
}

/* One visit to both rings; true if anything moved. */
static bool visit(struct guest_run *run, struct pacer *pacer)
{
	struct guest_nic *nic = &run->nic;
	uint32_t work = guest_nic_reap(nic);

	if (pacer->rewrite)
		rewrite(nic, pacer);
	/* Receive first: what is sent may come back, and finds buffers then. */
	work += guest_nic_receive(nic);
	work += guest_nic_send(
		nic, pacer_allowance(pacer, nic->sent, nic->sent_pieces, nic->tally->frames));
	return work;
}

/* Clock, signals and socket cost system calls: not on each busy visit. */
static bool look_around(struct guest_run *run, struct pacer *pacer, uint32_t turn, bool worked)
{
	if (!worked && !run->nic.options->poll)
		return nap(run, pacer);
	return turn % SPIN_TICK || glance(run, pacer);
}

static void exchange(struct guest_run *run, struct pacer *pacer)
{
	const struct guest_nic *nic = &run->nic;
	bool spin = nic->options->poll, worked = true;

	driver_ring_refuse_call(&run->nic.rx.ring);
	driver_ring_refuse_call(&run->nic.tx.ring);
	for (uint32_t turn = 1; look_around(run, pacer, turn, worked); turn++) {
		worked = visit(run, pacer);
		if (nic->rx.ring.broken || nic->tx.ring.broken)
			return;
		if (spin && turn % SPIN_TICK)
			continue;
		copy_counts(run);
		pacer_tick(pacer, run->summary);
		if (pacer_finished(pacer, run->summary, !driver_ring_out(&nic->tx.ring)))
			return;
	}
}

static struct summary_ring ring_summary(const struct driver_ring *ring, uint32_t base)
{
	return (struct summary_ring){ driver_ring_used_idx(ring), driver_ring_avail_idx(ring),
				      (uint16_t)base };
}

/* The device would go on where used ends, and has forgotten none. Some fill only the lower
 * half of a packed ring's base. */
static bool at_rest(const struct driver_ring *ring, uint32_t base)
{
	uint16_t used = driver_ring_used_idx(ring);

	return (uint16_t)base == used && (base >> 16 == 0 || base >> 16 == used) &&
	       !driver_ring_lost(ring, base);
}

void guest_run_stop(struct guest_run *run)
{
	struct guest_summary *s = run->summary;
	struct guest_nic *nic = &run->nic;
	uint32_t rx_base, tx_base;

	if (run->lost)
		return;
	if (front_end_stop(&run->fe) < 0 ||
	    front_end_stop_ring(&run->fe, FRONT_END_RX, &rx_base) < 0 ||
	    front_end_stop_ring(&run->fe, FRONT_END_TX, &tx_base) < 0) {
		summary_error(s, EXIT_PROTOCOL, "stopping the rings: %s", run->fe.fail.text);
		return;
	}
	while (guest_nic_reap(nic) || guest_nic_receive(nic))
		;
	s->stopped = true;
	s->rx = ring_summary(&nic->rx.ring, rx_base);
	s->tx = ring_summary(&nic->tx.ring, tx_base);
	s->clean = at_rest(&nic->tx.ring, tx_base) && at_rest(&nic->rx.ring, rx_base);
	/* Nobody cut us short, so every head must be back. */
	if (!s->interrupted && s->exit == EXIT_GOOD)
		s->clean = s->clean && s->tx.used_idx == s->tx.avail_idx;
	if (!s->clean)
		summary_error(s, EXIT_WRONG,
			      "not a clean stop: tx used %u, base %u, available %u; rx used %u, "
			      "base %u",
			      s->tx.used_idx, s->tx.base, s->tx.avail_idx, s->rx.used_idx,
			      s->rx.base);
}

static void ring_errors(struct guest_summary *s, const struct driver_ring *ring, const char *name)
{
	char what[96];

	snprintf(what, sizeof(what), "%s heads completed twice", name);
	summary_count_error(s, ring->double_completions, what);
	snprintf(what, sizeof(what), "%s completions of heads that do not exist", name);
	summary_count_error(s, ring->unknown_ids, what);
	snprintf(what, sizeof(what), "%s used index ran ahead of what was available", name);
	summary_count_error(s, ring->index_jumps, what);
	s->kicks += ring->kicks;
	s->calls += ring->calls;
}

void guest_run_report(struct guest_run *run)
{
	struct guest_summary *s = run->summary;
	const struct guest_nic *nic = &run->nic;

	copy_counts(run);
	ring_errors(s, &nic->rx.ring, "RX");
	ring_errors(s, &nic->tx.ring, "TX");
	summary_count_error(s, nic->rx_overruns, "receive buffers written beyond their end");
	summary_count_error(s, nic->rx_bad_length,
			    "receive buffers with an impossible used length");
	summary_count_error(s, nic->rx_bad_header, "received virtio-net headers not as negotiated");
	s->packets = nic->packets;
	s->tx_used_len_set = nic->tx_used_len_set;
	s->rx_chains = nic->rx_chains;
	s->rx_zero_buffers = nic->rx_zero_buffers;
}

void run_guest(const struct guest_options *options, struct pacer *pacer,
	       struct guest_summary *summary)
{
	struct guest_run run;

	summary->is_guest = true;
	if (!guest_run_open(&run, options, summary) && !guest_run_start(&run)) {
		run_ready(options);
		pacer->pieces_max = guest_nic_pieces_max(&run.nic);
		pacer_start(pacer);
		exchange(&run, pacer);
		summary->interrupted = pacer->interrupted;
		guest_run_stop(&run);
		guest_run_report(&run);
	}
	guest_run_close(&run);
}
