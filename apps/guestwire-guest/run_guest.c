/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest mode: memory, rings and negotiation up; frames until all is done; an
 * orderly stop; the rings' indexes compared.
 *
 * One thread for all pairs of queues. It sleeps on the call eventfds, and counts it an
 * error (a missed call) when a device used buffers after an interrupt was asked for
 * and no interrupt came: a driver that looked again by itself would hide that.
 */
#include "run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "guest_run.h"

#define NAP_NS       200000000ll /* longest sleep before the rings are looked at anyway */
#define LATE_CALL_MS 1000        /* a call may come so much after the used index */
#define SPIN_TICK    64u         /* visits between looks at clock, signals and socket */
#define NS_PER_S     1000000000ll
#define NS_PER_MS    1000000ll
#define STOP_TRIES   8u /* back-ends that may die while the rings stop */

/* Places in the array to wait for; from WAIT_RINGS on two for each ring. */
enum { WAIT_SOCKET, WAIT_SIGNAL, WAIT_CHANNEL, WAIT_RINGS };
enum { WAIT_CALL, WAIT_ERR, WAIT_PER_RING };

static uint64_t drain(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* The socket is silent while rings run; anything there is the end, which may be no error. */
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
	return true;
}

static uint32_t wait_count(const struct guest_run *run)
{
	return WAIT_RINGS + WAIT_PER_RING * run->rings.count;
}

static void fill_wait(struct guest_run *run, const struct pacer *pacer)
{
	struct pollfd *wait = run->wait;

	wait[WAIT_SOCKET] = (struct pollfd){ .fd = run->fe.sock, .events = POLLIN };
	wait[WAIT_SIGNAL] = (struct pollfd){ .fd = pacer->signal_fd, .events = POLLIN };
	wait[WAIT_CHANNEL] = (struct pollfd){ .fd = run->iommu.fd, .events = POLLIN };
	for (uint32_t i = 0; i < run->rings.count; i++) {
		struct pollfd *of = &wait[WAIT_RINGS + WAIT_PER_RING * i];
		const struct driver_ring *ring = run->rings.ring[i];

		of[WAIT_CALL] = (struct pollfd){ .fd = ring->call_fd, .events = POLLIN };
		of[WAIT_ERR] = (struct pollfd){ .fd = ring->err_fd, .events = POLLIN };
	}
}

/* After a wait: signals, errors, disconnection. False: the connection is gone. */
static bool handle_events(struct guest_run *run, struct pacer *pacer)
{
	const struct pollfd *wait = run->wait;

	if (wait[WAIT_SIGNAL].revents)
		pacer_read_signal(pacer);
	for (uint32_t i = 0; i < run->rings.count; i++) {
		const struct pollfd *of = &wait[WAIT_RINGS + WAIT_PER_RING * i];
		struct driver_ring *ring = run->rings.ring[i];

		if (of[WAIT_CALL].revents)
			ring->calls += drain(ring->call_fd);
		if (!of[WAIT_ERR].revents)
			continue;
		drain(ring->err_fd);
		summary_error(run->summary, EXIT_WRONG,
			      "the back-end reported an error on ring %u (%s)", i,
			      i % 2 == FRONT_END_RX ? "RX" : "TX");
	}
	run->lost = socket_lost(run, wait[WAIT_SOCKET].revents);
	return !run->lost && (!wait[WAIT_CHANNEL].revents || guest_iommu_serve(run));
}

/* The nap ended by itself. Did a ring move without a call? The dead do not call. */
static void look_for_missed_call(struct guest_run *run, uint32_t index)
{
	struct driver_ring *ring = run->rings.ring[index];
	struct pollfd call[] = { { .fd = ring->call_fd, .events = POLLIN },
				 { .fd = run->fe.sock, .events = POLLIN } };

	if (!driver_ring_has_used(ring))
		return;
	if (poll(call, 2, LATE_CALL_MS) > 0)
		return;
	if (!run->summary->missed_calls++)
		summary_error(run->summary, EXIT_WRONG,
			      "the back-end used buffers of ring %u (%s) and did not call", index,
			      index % 2 == FRONT_END_RX ? "RX" : "TX");
}

static int64_t longest_nap_ns(const struct guest_run *run)
{
	const struct guest_options *o = run->nic->options;
	const uint64_t periods_ms[] = { o->toggle_ms, o->plug_ms, o->suspend_ms, o->reset_ms,
					o->invalidate_ms };
	int64_t ns = NAP_NS;

	for (size_t i = 0; i < sizeof(periods_ms) / sizeof(periods_ms[0]); i++)
		if (periods_ms[i] && (int64_t)periods_ms[i] * NS_PER_MS < ns)
			ns = (int64_t)periods_ms[i] * NS_PER_MS;
	return ns;
}

static bool nap(struct guest_run *run, struct pacer *pacer)
{
	int64_t ns = pacer_sleep_ns(pacer, run->summary->sent, longest_nap_ns(run));
	struct timespec ts = { ns / NS_PER_S, ns % NS_PER_S };
	bool more = false, alive;
	int woken;

	for (uint32_t i = 0; i < run->rings.count; i++)
		more |= driver_ring_want_call(run->rings.ring[i]);
	if (more)
		ts = (struct timespec){ 0, 0 };
	fill_wait(run, pacer);
	woken = ppoll(run->wait, wait_count(run), &ts, NULL);
	for (uint32_t i = 0; woken == 0 && !more && i < run->rings.count; i++)
		look_for_missed_call(run, i);
	alive = woken <= 0 || handle_events(run, pacer);
	for (uint32_t i = 0; i < run->rings.count; i++)
		driver_ring_refuse_call(run->rings.ring[i]);
	return alive;
}

static bool glance(struct guest_run *run, struct pacer *pacer)
{
	fill_wait(run, pacer);
	return poll(run->wait, wait_count(run), 0) <= 0 || handle_events(run, pacer);
}

/* Whoever asked waits for this line before he lets a device go on. */
static void rewrite(struct guest_run *run, struct pacer *pacer)
{
	uint32_t done = 0;

	pacer->rewrite = false;
	for (uint32_t i = 0; i < run->pairs; i++)
		done += guest_nic_rewrite(&run->nic[i], (uint32_t)run->nic->options->rewrite);
	fprintf(stderr, "rewritten %u\n", done);
}

/* Each pair has its share of what may go, and another one begins each time. */
static uint32_t send_some(struct guest_run *run, struct pacer *pacer, uint32_t turn)
{
	struct guest_summary *s = run->summary;
	uint32_t allowed, share, done = 0;

	guest_run_counts(run);
	allowed = pacer_allowance(pacer, s->sent, s->sent_pieces, s->tally->frames);
	share = allowed / run->pairs + !!(allowed % run->pairs);
	for (uint32_t i = 0; i < run->pairs && done < allowed; i++) {
		struct guest_nic *nic = &run->nic[(turn + i) % run->pairs];

		if (nic->state == NIC_ON)
			done += guest_nic_send(nic,
					       share < allowed - done ? share : allowed - done);
	}
	return done;
}

/* One visit to all rings; true if anything moved. */
static bool visit(struct guest_run *run, struct pacer *pacer, uint32_t turn)
{
	uint32_t work = 0;

	for (uint32_t i = 0; i < run->pairs; i++)
		work += guest_nic_reap(&run->nic[i]);
	if (pacer->rewrite)
		rewrite(run, pacer);
	/* Receive first: what is sent may come back, and finds buffers then. */
	for (uint32_t i = 0; i < run->pairs; i++)
		work += guest_nic_receive(&run->nic[i]);
	return work + send_some(run, pacer, turn);
}

/* Clock, signals and socket cost system calls: not on each busy visit. */
static bool look_around(struct guest_run *run, struct pacer *pacer, uint32_t turn, bool worked)
{
	if (!worked && !run->nic->options->poll)
		return nap(run, pacer);
	return turn % SPIN_TICK || glance(run, pacer);
}

static bool any_broken(const struct guest_run *run)
{
	for (uint32_t i = 0; i < run->rings.count; i++)
		if (run->rings.ring[i]->broken)
			return true;
	return false;
}

/* Until all is done, or the connection is lost. */
static void exchange(struct guest_run *run, struct pacer *pacer)
{
	bool spin = run->nic->options->poll, worked = true;

	for (uint32_t i = 0; i < run->rings.count; i++)
		driver_ring_refuse_call(run->rings.ring[i]);
	if (!guest_migration_begin(run))
		return;
	for (uint32_t turn = 1; look_around(run, pacer, turn, worked); turn++) {
		worked = visit(run, pacer, turn);
		if (any_broken(run))
			return;
		if (spin && turn % SPIN_TICK)
			continue;
		guest_run_counts(run);
		pacer_tick(pacer, run->summary);
		guest_migration_tick(run, pacer->now_ns);
		if (!guest_queues_tick(run, pacer->now_ns) ||
		    !guest_plug_tick(run, pacer->now_ns) || !guest_stops_tick(run, pacer->now_ns) ||
		    !guest_iommu_tick(run, pacer->now_ns) ||
		    pacer_finished(pacer, run->summary, !guest_run_sending(run)))
			return;
	}
}

/* Over as many back-ends as it takes. */
static void exchange_and_stop(struct guest_run *run, struct pacer *pacer)
{
	bool again = run->nic->options->reconnect_given;
	uint32_t stops = 0;

	do {
		exchange(run, pacer);
		run->summary->interrupted = pacer->interrupted;
		if (!run->lost) {
			stops++;
			guest_run_stop(run);
		}
	} while (run->lost && again && stops < STOP_TRIES && guest_restart(run, pacer));
	if (run->lost && !again)
		summary_error(run->summary, EXIT_PROTOCOL,
			      "the back-end closed the connection while the rings were running");
}

void run_guest(const struct guest_options *options, struct pacer *pacer,
	       struct guest_summary *summary)
{
	struct guest_run run;

	summary->is_guest = true;
	if (!guest_run_open(&run, options, summary) && !guest_run_start(&run)) {
		run_ready(options);
		pacer->pieces_max = guest_nic_pieces_max(run.nic);
		pacer_start(pacer);
		exchange_and_stop(&run, pacer);
		guest_run_report(&run);
	}
	guest_run_close(&run);
}
