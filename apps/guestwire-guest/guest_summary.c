/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_summary.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <jansson.h>

#include "front_end.h"

void summary_error(struct guest_summary *summary, enum guest_exit exit, const char *format, ...)
{
	va_list args;

	if (summary->exit == EXIT_GOOD || summary->exit == EXIT_DEADLINE)
		summary->exit = exit;
	if (summary->error_count == SUMMARY_MAX_ERRORS)
		return;
	va_start(args, format);
	vsnprintf(summary->errors[summary->error_count++], SUMMARY_TEXT_BYTES, format, args);
	va_end(args);
}

void summary_count_error(struct guest_summary *summary, uint64_t count, const char *what)
{
	if (count)
		summary_error(summary, EXIT_WRONG, "%" PRIu64 " %s", count, what);
}

void summary_judge(struct guest_summary *s)
{
	const struct guest_options *o = s->options;
	const struct tally_stream *total = tally_total(s->tally);

	summary_count_error(s, total->corrupted, "frames corrupted");
	if (!s->restarts && !o->duplicates_allowed)
		summary_count_error(s, total->duplicated, "frames received more than once");
	if (o->ordered)
		summary_count_error(s, total->out_of_order, "frames out of order");
	if (s->packets.bad)
		summary_error(s, EXIT_WRONG,
			      "%" PRIu64 " packets with wrong headers; the first: %s",
			      s->packets.bad, s->packets.why);
	if (s->tally->selective)
		summary_count_error(s, s->tally->foreign, "frames of foreign streams");
	if (o->receive_given && (s->exit == EXIT_GOOD || s->exit == EXIT_WRONG))
		summary_count_error(s, tally_missing(s->tally, o->receive), "frames missing");
	if (s->interrupted && o->send_given && o->send && s->sent < o->send)
		summary_error(s, EXIT_WRONG, "interrupted after %" PRIu64 " of %" PRIu64 " frames",
			      s->sent, o->send);
}

static double rate(double amount, double seconds)
{
	return seconds > 0 ? amount / seconds : 0;
}

static json_t *integer(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static bool has_feature(const struct guest_summary *s, const struct front_end_feature *f)
{
	return (front_end_is_protocol(f->kind) ? s->protocol : s->features) >> f->bit & 1;
}

static json_t *features_json(const struct guest_summary *s)
{
	json_t *names = json_array();

	for (const struct front_end_feature *f = front_end_features; f->name; f++)
		if (has_feature(s, f))
			json_array_append_new(names, json_string(f->name));
	return names;
}

static json_t *stop_json(const struct summary_queue *q)
{
	json_t *stop = json_object();

	json_object_set_new(stop, "tx_used_idx", integer(q->tx.used_idx));
	json_object_set_new(stop, "tx_avail_idx", integer(q->tx.avail_idx));
	json_object_set_new(stop, "tx_base", integer(q->tx.base));
	json_object_set_new(stop, "rx_used_idx", integer(q->rx.used_idx));
	json_object_set_new(stop, "rx_avail_idx", integer(q->rx.avail_idx));
	json_object_set_new(stop, "rx_base", integer(q->rx.base));
	json_object_set_new(stop, "lost", integer(q->rx.lost + q->tx.lost));
	json_object_set_new(stop, "clean", json_boolean(q->clean));
	return stop;
}

static json_t *log_json(const struct guest_log_result *log)
{
	json_t *o = json_object();

	json_object_set_new(o, "pages_written", integer(log->written));
	json_object_set_new(o, "pages_missing", integer(log->missing));
	json_object_set_new(o, "pages_superfluous", integer(log->superfluous));
	return o;
}

/* That of the first pair, and whether all were clean. */
static json_t *all_stop_json(const struct guest_summary *s)
{
	json_t *stop = stop_json(&s->queues[0]);

	json_object_set_new(stop, "clean", json_boolean(s->clean));
	return stop;
}

static json_t *queues_json(const struct guest_summary *s)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < s->pairs; i++) {
		const struct summary_queue *q = &s->queues[i];
		json_t *o = json_object();

		json_object_set_new(o, "pair", integer(i));
		json_object_set_new(o, "stream", integer(q->stream));
		json_object_set_new(o, "sent", integer(q->sent));
		json_object_set_new(o, "completed", integer(q->completed));
		json_object_set_new(o, "received", integer(q->received));
		json_object_set_new(o, "log", s->logged ? log_json(&s->log) : json_null());
		json_object_set_new(o, "kicks", integer(q->kicks));
		json_object_set_new(o, "calls", integer(q->calls));
		json_object_set_new(o, "stop", s->stopped ? stop_json(q) : json_null());
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *streams_json(const struct guest_summary *s)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < s->tally->stream_count; i++) {
		const struct tally_stream *t = &s->tally->streams[i];
		json_t *o = json_object();

		json_object_set_new(o, "stream", integer(t->id));
		json_object_set_new(o, "expected", json_boolean(t->expected));
		json_object_set_new(o, "received", integer(t->received));
		json_object_set_new(o, "received_bytes", integer(t->received_bytes));
		json_object_set_new(o, "verified", integer(t->verified));
		json_object_set_new(o, "corrupted", integer(t->corrupted));
		json_object_set_new(o, "duplicated", integer(t->duplicated));
		json_object_set_new(o, "out_of_order", integer(t->out_of_order));
		json_object_set_new(o, "anonymous", integer(t->anonymous));
		json_object_set_new(o, "distinct", integer(t->distinct));
		json_object_set_new(o, "queue_moves", integer(t->queue_moves));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *packets_json(const struct packet_counts *p)
{
	json_t *o = json_object();

	json_object_set_new(o, "received", integer(p->packets));
	json_object_set_new(o, "super_frames", integer(p->supers));
	json_object_set_new(o, "partial_checksums", integer(p->partial));
	json_object_set_new(o, "complete_checksums", integer(p->complete));
	json_object_set_new(o, "bad", integer(p->bad));
	return o;
}

/* Null if it was not asked for, or did not last. */
static json_t *steady_json(const struct summary_steady *steady)
{
	uint64_t completed = steady->to.completed - steady->from.completed;
	uint64_t received = steady->to.received - steady->from.received;
	double seconds = (double)(steady->to.ns - steady->from.ns) * 1e-9;
	json_t *o;

	if (!steady->over || seconds <= 0)
		return json_null();
	o = json_object();
	json_object_set_new(o, "seconds", json_real(seconds));
	json_object_set_new(o, "completed", integer(completed));
	json_object_set_new(o, "received", integer(received));
	json_object_set_new(o, "completed_per_second", json_real(rate((double)completed, seconds)));
	json_object_set_new(o, "received_per_second", json_real(rate((double)received, seconds)));
	return o;
}

static void counts_json(struct guest_summary *s, json_t *o)
{
	const struct tally_stream *t = tally_total(s->tally);

	json_object_set_new(o, "sent", integer(s->sent));
	json_object_set_new(o, "sent_bytes", integer(s->sent_bytes));
	json_object_set_new(o, "sent_pieces", integer(s->sent_pieces));
	json_object_set_new(o, "packets", packets_json(&s->packets));
	json_object_set_new(o, "completed", integer(s->completed));
	json_object_set_new(o, "received", integer(t->received));
	json_object_set_new(o, "received_bytes", integer(t->received_bytes));
	json_object_set_new(o, "verified", integer(t->verified));
	json_object_set_new(o, "corrupted", integer(t->corrupted));
	json_object_set_new(o, "duplicated", integer(t->duplicated));
	json_object_set_new(o, "out_of_order", integer(t->out_of_order));
	json_object_set_new(o, "anonymous", integer(t->anonymous));
	json_object_set_new(o, "missing", integer(tally_missing(s->tally, s->options->receive)));
	json_object_set_new(o, "foreign", integer(s->tally->foreign));
	json_object_set_new(o, "unrelated", integer(s->tally->unrelated));
	json_object_set_new(o, "streams", streams_json(s));
	json_object_set_new(o, "seconds", json_real(s->seconds));
	json_object_set_new(o, "sent_per_second", json_real(rate((double)s->sent, s->seconds)));
	json_object_set_new(o, "received_per_second",
			    json_real(rate((double)t->received, s->seconds)));
	json_object_set_new(o, "steady", steady_json(&s->steady));
	json_object_set_new(o, "interrupted", json_boolean(s->interrupted));
}

static void print_json(struct guest_summary *s)
{
	json_t *o = json_object(), *errors = json_array();

	for (uint32_t i = 0; i < s->error_count; i++)
		json_array_append_new(errors, json_string(s->errors[i]));
	json_object_set_new(o, "mode", json_string(s->is_guest ? "guest" : "interface"));
	json_object_set_new(o, "exit", integer(s->exit));
	json_object_set_new(o, "errors", errors);
	counts_json(s, o);
	if (s->is_guest) {
		json_object_set_new(o, "features", features_json(s));
		json_object_set_new(o, "stop", s->stopped ? all_stop_json(s) : json_null());
		json_object_set_new(o, "queues", queues_json(s));
		json_object_set_new(o, "toggles", integer(s->toggles));
		json_object_set_new(o, "plugs", integer(s->plugs));
		json_object_set_new(o, "suspends", integer(s->suspends));
		json_object_set_new(o, "left_in_flight", integer(s->left_in_flight));
		json_object_set_new(o, "resets", integer(s->resets));
		json_object_set_new(o, "taken_back", integer(s->taken_back));
		json_object_set_new(o, "misses", integer(s->misses));
		json_object_set_new(o, "invalidations", integer(s->invalidations));
		json_object_set_new(o, "restarts", integer(s->restarts));
		json_object_set_new(o, "restart_ms_max", integer(s->restart_ms_max));
		json_object_set_new(o, "out_at_restarts", integer(s->out_at_restarts));
		json_object_set_new(o, "chains_given", integer(s->chains_given));
		json_object_set_new(o, "chains_home", integer(s->chains_home));
		json_object_set_new(o, "rx_cut", integer(s->rx_cut));
		json_object_set_new(o, "log", s->logged ? log_json(&s->log) : json_null());
		json_object_set_new(o, "kicks", integer(s->kicks));
		json_object_set_new(o, "calls", integer(s->calls));
		json_object_set_new(o, "missed_calls", integer(s->missed_calls));
		json_object_set_new(o, "tx_used_len_set", integer(s->tx_used_len_set));
		json_object_set_new(o, "rx_buffers", integer(s->rx_chains));
		json_object_set_new(o, "rx_num_buffers_not_1", integer(s->rx_zero_buffers));
	} else {
		json_object_set_new(o, "kernel_drops", integer(s->kernel_drops));
	}
	if (s->misbehaviour) {
		json_t *m = json_object();

		json_object_set_new(m, "name", json_string(s->misbehaviour));
		json_object_set_new(m, "outcome", json_string(s->outcome));
		json_object_set_new(o, "misbehave", m);
	}
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static void print_guest_text(const struct guest_summary *s)
{
	const struct summary_queue *q = &s->queues[0];

	printf("features ");
	for (const struct front_end_feature *f = front_end_features; f->name; f++)
		if (has_feature(s, f))
			printf(" %s", f->name);
	printf("\nsignals   %" PRIu64 " kicks, %" PRIu64 " calls\n", s->kicks, s->calls);
	if (s->stopped)
		printf("stop      tx used %u, available %u, base %u; rx used %u, base %u: %s\n",
		       q->tx.used_idx, q->tx.avail_idx, q->tx.base, q->rx.used_idx, q->rx.base,
		       s->clean ? "clean" : "NOT clean");
	if (s->pairs > 1)
		printf("queues    %u pairs, %" PRIu64 " times disabled or enabled\n", s->pairs,
		       s->toggles);
	if (s->suspends)
		printf("suspended %" PRIu64 " times; %" PRIu64 " chains were in flight then\n",
		       s->suspends, s->left_in_flight);
	if (s->resets)
		printf("reset     %" PRIu64 " times; %" PRIu64 " frames were taken back\n",
		       s->resets, s->taken_back);
	if (s->misses)
		printf("iommu     %" PRIu64 " I/O addresses missed, %" PRIu64 " times taken away\n",
		       s->misses, s->invalidations);
	if (s->logged)
		printf("log       %" PRIu64 " pages written, %" PRIu64 " of them missing; %" PRIu64
		       " superfluous\n",
		       s->log.written, s->log.missing, s->log.superfluous);
	if (s->restarts)
		printf("restarts  %" PRIu64 ", the longest took %" PRIu64 " ms; %" PRIu64
		       " chains were out; %" PRIu64 " given, %" PRIu64 " home\n",
		       s->restarts, s->restart_ms_max, s->out_at_restarts, s->chains_given,
		       s->chains_home);
}

static void print_text(struct guest_summary *s)
{
	const struct tally_stream *t = tally_total(s->tally);

	printf("sent      %" PRIu64 " frames, %" PRIu64 " bytes, %" PRIu64
	       " completed; %.0f frames/s, %.3f Gbit/s\n",
	       s->sent, s->sent_bytes, s->completed, rate((double)s->sent, s->seconds),
	       rate((double)s->sent_bytes * 8e-9, s->seconds));
	printf("received  %" PRIu64 " frames, %" PRIu64 " bytes; %.0f frames/s, %.3f Gbit/s\n",
	       t->received, t->received_bytes, rate((double)t->received, s->seconds),
	       rate((double)t->received_bytes * 8e-9, s->seconds));
	printf("verified  %" PRIu64 "; corrupted %" PRIu64 ", duplicated %" PRIu64
	       ", missing %" PRIu64 ", out of order %" PRIu64 ", foreign %" PRIu64
	       ", unrelated %" PRIu64 "\n",
	       t->verified, t->corrupted, t->duplicated,
	       tally_missing(s->tally, s->options->receive), t->out_of_order, s->tally->foreign,
	       s->tally->unrelated);
	if (s->packets.packets)
		printf("packets   %" PRIu64 ", %" PRIu64 " super-frames; checksums: %" PRIu64
		       " partial, %" PRIu64 " complete; bad: %" PRIu64 "\n",
		       s->packets.packets, s->packets.supers, s->packets.partial,
		       s->packets.complete, s->packets.bad);
	if (s->is_guest)
		print_guest_text(s);
	else if (s->kernel_drops)
		printf("kernel    %" PRIu64 " frames dropped for want of socket buffer\n",
		       s->kernel_drops);
	if (s->misbehaviour)
		printf("misbehave %s: %s\n", s->misbehaviour, s->outcome);
	printf("seconds   %.3f%s\n", s->seconds, s->interrupted ? ", interrupted" : "");
}

void summary_print(struct guest_summary *s)
{
	if (s->options->json)
		print_json(s);
	else if (s->seconds > 0 || !s->error_count)
		print_text(s);
	/* Else it did not begin, and there is nothing to tell but why. */
	fflush(stdout);
	for (uint32_t i = 0; i < s->error_count; i++)
		fprintf(stderr, "guestwire-guest: %s\n", s->errors[i]);
}

void summary_progress(struct guest_summary *s)
{
	const struct tally_stream *t = tally_total(s->tally);

	fprintf(stderr,
		"guestwire-guest: %.1f s: sent %" PRIu64 ", completed %" PRIu64
		", received %" PRIu64 ", corrupted %" PRIu64 "\n",
		s->seconds, s->sent, s->completed, t->received, t->corrupted);
}
