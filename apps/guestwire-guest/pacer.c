/* SPDX-License-Identifier: BSD-2-Clause */
#include "pacer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

#define NS_PER_S    1000000000ll
#define HELD_NAP_NS 5000000ll /* how often --start-fd is looked at */

static int64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t after(int64_t start_ns, double seconds)
{
	return seconds > 0 ? start_ns + (int64_t)(seconds * (double)NS_PER_S) : PACER_NEVER;
}

int pacer_open(struct pacer *pacer, const struct guest_options *options, struct fail *fail)
{
	sigset_t set;

	memset(pacer, 0, sizeof(*pacer));
	pacer->options = options;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (options->rewrite_given)
		sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pacer->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (pacer->signal_fd < 0)
		return fail_set(fail, -errno, "cannot make a signalfd: %s", strerror(errno));
	pacer_start(pacer);
	return 0;
}

void pacer_close(struct pacer *pacer)
{
	if (pacer->signal_fd >= 0)
		close(pacer->signal_fd);
	pacer->signal_fd = -1;
}

void pacer_start(struct pacer *pacer)
{
	const struct guest_options *o = pacer->options;

	pacer->held = o->start_fd != UINT64_MAX;
	pacer->start_ns = pacer->now_ns = clock_ns();
	pacer->rate_from_ns = pacer->start_ns;
	pacer->rate_from = 0;
	pacer->deadline_ns = after(pacer->start_ns, o->timeout_s);
	pacer->send_end_ns = after(pacer->start_ns, o->duration_s);
	pacer->warm_ns = after(pacer->start_ns, o->warm_up_s);
	pacer->next_stats_ns = after(pacer->start_ns, o->stats_interval_s);
	pacer->settle_ns = PACER_NEVER;
}

double pacer_seconds(const struct pacer *pacer)
{
	return (double)(pacer->now_ns - pacer->start_ns) / (double)NS_PER_S;
}

static uint64_t current_rate(const struct pacer *pacer)
{
	return pacer->held ? pacer->options->lead : pacer->options->rate;
}

/* The rate, and --duration, count from when sending may begin. */
static void look_for_start(struct pacer *pacer, uint64_t sent)
{
	struct pollfd start = { .fd = (int)pacer->options->start_fd, .events = POLLIN };

	if (poll(&start, 1, 0) <= 0)
		return;
	pacer->held = false;
	pacer->rate_from_ns = pacer->now_ns;
	pacer->rate_from = sent;
	pacer->send_end_ns = after(pacer->now_ns, pacer->options->duration_s);
	pacer->warm_ns = after(pacer->now_ns, pacer->options->warm_up_s);
}

/* From the end of the warm-up to that of sending: neither the first frames are in it, nor
 * the wait for the last. */
static void note_steady(struct pacer *pacer, struct guest_summary *summary)
{
	struct summary_steady *steady = &summary->steady;

	if (pacer->held || pacer->now_ns < pacer->warm_ns || steady->over)
		return;
	steady->to = (struct summary_point){ pacer->now_ns, summary->completed,
					     tally_total(summary->tally)->received };
	if (!steady->from.ns)
		steady->from = steady->to;
	steady->over = pacer_sending_over(pacer, summary->sent);
}

void pacer_tick(struct pacer *pacer, struct guest_summary *summary)
{
	pacer->now_ns = clock_ns();
	summary->seconds = pacer_seconds(pacer);
	if (pacer->held)
		look_for_start(pacer, summary->sent);
	note_steady(pacer, summary);
	if (pacer->now_ns < pacer->next_stats_ns)
		return;
	pacer->next_stats_ns = after(pacer->now_ns, pacer->options->stats_interval_s);
	summary_progress(summary);
}

/* How many frames the rate lets go now. Time that was missed is not made up for
 * beyond one batch: a burst is not what somebody who sets a rate wants. */
static uint64_t due(struct pacer *pacer, uint64_t sent)
{
	double since_s = (double)(pacer->now_ns - pacer->rate_from_ns) / (double)NS_PER_S;
	uint64_t until = pacer->rate_from + 1 + (uint64_t)(since_s * (double)current_rate(pacer));

	if (until <= sent)
		return 0;
	if (until - sent <= pacer->options->batch)
		return until - sent;
	pacer->rate_from_ns = pacer->now_ns;
	pacer->rate_from = sent + pacer->options->batch;
	return pacer->options->batch;
}

bool pacer_sending_over(const struct pacer *pacer, uint64_t sent)
{
	const struct guest_options *o = pacer->options;

	return !o->send_given || (o->send && sent >= o->send) ||
	       pacer->now_ns >= pacer->send_end_ns;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t above(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* At least one frame while there is any room at all. */
static uint64_t window_room(const struct pacer *pacer, uint64_t sent_pieces, uint64_t received)
{
	uint64_t room = above(pacer->options->window + received, sent_pieces);

	if (pacer->pieces_max > 1)
		room = (room + pacer->pieces_max - 1) / pacer->pieces_max;
	return room;
}

uint32_t pacer_allowance(struct pacer *pacer, uint64_t sent, uint64_t sent_pieces,
			 uint64_t received)
{
	const struct guest_options *o = pacer->options;
	uint64_t limit = o->batch;

	if ((pacer->held && !o->lead) || pacer_sending_over(pacer, sent))
		return 0;
	if (o->send)
		limit = smaller(limit, o->send - sent);
	if (current_rate(pacer))
		limit = smaller(limit, due(pacer, sent));
	if (o->window)
		limit = smaller(limit, window_room(pacer, sent_pieces, received));
	return (uint32_t)limit;
}

bool pacer_finished(struct pacer *pacer, struct guest_summary *s, bool idle)
{
	const struct guest_options *o = pacer->options;
	bool received = !o->receive_given || s->tally->frames >= o->receive;
	bool timed = !o->send_given && !o->receive_given && o->duration_s > 0;
	bool done = idle && received && pacer_sending_over(pacer, s->sent) &&
		    (!timed || pacer->now_ns >= pacer->send_end_ns);

	if (pacer->interrupted)
		return true;
	if (done && !o->hold) {
		if (pacer->settle_ns == PACER_NEVER)
			pacer->settle_ns =
				pacer->now_ns + (int64_t)(o->settle_s * (double)NS_PER_S);
		return pacer->now_ns >= pacer->settle_ns;
	}
	if (pacer->now_ns < pacer->deadline_ns)
		return false;
	summary_error(s, EXIT_DEADLINE,
		      "deadline of %g s passed: %" PRIu64 " frames sent, %" PRIu64
		      " completed, %" PRIu64 " received",
		      o->timeout_s, s->sent, s->completed, s->tally->frames);
	return true;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When the rate lets the next frame go. */
static int64_t rate_time_ns(const struct pacer *pacer, uint64_t sent)
{
	double wait = (double)above(sent, pacer->rate_from) / (double)pacer->options->rate;

	return pacer->rate_from_ns + (int64_t)(wait * (double)NS_PER_S) + 1;
}

int64_t pacer_sleep_ns(const struct pacer *pacer, uint64_t sent, int64_t limit_ns)
{
	const struct guest_options *o = pacer->options;
	int64_t until = sooner(pacer->deadline_ns, pacer->settle_ns);

	until = sooner(until, pacer->next_stats_ns);
	if (pacer->held)
		until = sooner(until, pacer->now_ns + HELD_NAP_NS);
	if (pacer->now_ns < pacer->send_end_ns)
		until = sooner(until, pacer->send_end_ns);
	if (o->rate && !pacer_sending_over(pacer, sent))
		until = sooner(until, rate_time_ns(pacer, sent));
	if (until <= pacer->now_ns)
		return 0;
	return sooner(until - pacer->now_ns, limit_ns);
}

void pacer_read_signal(struct pacer *pacer)
{
	struct signalfd_siginfo info;

	if (read(pacer->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		pacer->rewrite = true;
	else
		pacer->interrupted = true;
}
