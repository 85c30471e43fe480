/* SPDX-License-Identifier: BSD-2-Clause */
#include "tally.h"

#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64u

void tally_open(struct tally *tally, uint16_t ethertype, bool deep)
{
	memset(tally, 0, sizeof(*tally));
	tally->ethertype = ethertype;
	tally->deep = deep;
}

void tally_close(struct tally *tally)
{
	for (uint32_t i = 0; i < tally->stream_count; i++)
		free(tally->streams[i].seen);
	tally->stream_count = 0;
}

static struct tally_stream *add_stream(struct tally *tally, uint32_t id, bool expected)
{
	struct tally_stream *s;

	if (tally->stream_count == TALLY_MAX_STREAMS)
		return NULL;
	s = &tally->streams[tally->stream_count++];
	memset(s, 0, sizeof(*s));
	s->id = id;
	s->expected = expected;
	return s;
}

bool tally_expect(struct tally *tally, uint32_t stream)
{
	tally->selective = true;
	return add_stream(tally, stream, true) != NULL;
}

/* Frames of 14 and 15 bytes may not know their stream: the first one takes them. */
static struct tally_stream *find_stream(struct tally *tally, const struct pattern_found *found)
{
	uint32_t mask = found->stream_low_only ? 0xffu : UINT32_MAX;
	uint32_t from;

	if (!found->has_stream && tally->stream_count)
		return &tally->streams[0];
	if (tally->stream_count && !found->stream_low_only &&
	    tally->streams[tally->last].id == found->stream)
		return &tally->streams[tally->last];
	from = found->stream_low_only ? 0 : tally->last;
	for (uint32_t i = 0; i < tally->stream_count; i++) {
		uint32_t at = (from + i) % tally->stream_count;

		if ((tally->streams[at].id & mask) != (found->stream & mask))
			continue;
		tally->last = at;
		return &tally->streams[at];
	}
	return add_stream(tally, found->stream, !tally->selective);
}

static bool grow(struct tally_stream *s, uint64_t sequence)
{
	uint64_t limit = s->seen_limit ? s->seen_limit : TALLY_FIRST_SEQUENCE;
	uint64_t *bigger;

	if (sequence >= TALLY_MAX_SEQUENCE)
		return false;
	while (limit <= sequence)
		limit *= 2;
	bigger = realloc(s->seen, limit / 8);
	if (!bigger)
		return false;
	memset((char *)bigger + s->seen_limit / 8, 0, (limit - s->seen_limit) / 8);
	s->seen = bigger;
	s->seen_limit = limit;
	return true;
}

/* Short frames know 32 bits only: take the number nearest to what came last. */
static uint64_t whole_sequence(const struct tally_stream *s, const struct pattern_found *found)
{
	int32_t ahead;

	if (!found->sequence_low_only)
		return found->sequence;
	ahead = (int32_t)((uint32_t)found->sequence - (uint32_t)s->next);
	if (ahead < 0 && (uint64_t) - (int64_t)ahead > s->next)
		return found->sequence;
	return s->next + (uint64_t)(int64_t)ahead;
}

static void note_sequence(struct tally_stream *s, uint64_t sequence)
{
	uint64_t bit;

	if (sequence & PATTERN_FIXED || (sequence >= s->seen_limit && !grow(s, sequence))) {
		s->untracked++;
		return;
	}
	bit = 1ull << sequence % WORD_BITS;
	if (s->seen[sequence / WORD_BITS] & bit) {
		s->duplicated++;
		return;
	}
	s->seen[sequence / WORD_BITS] |= bit;
	s->distinct++;
	if (sequence < s->next)
		s->out_of_order++;
	else
		s->next = sequence + 1;
}

void tally_frame(struct tally *tally, const uint8_t *frame, size_t len)
{
	struct pattern_found found;
	enum pattern_verdict verdict;

	verdict = pattern_check(frame, len, tally->ethertype, tally->deep, &found);
	if (verdict == PATTERN_UNRELATED)
		tally->unrelated++;
	else
		tally_piece(tally, verdict, &found, len);
}

void tally_piece(struct tally *tally, enum pattern_verdict verdict,
		 const struct pattern_found *found, size_t len)
{
	struct tally_stream *s;

	if (verdict == PATTERN_CORRUPT && !found->has_stream) {
		tally->frames++;
		tally->corrupted_unknown++;
		tally->corrupted_unknown_bytes += len;
		return;
	}
	s = find_stream(tally, found);
	if (s) {
		s->queue_moves += s->received && s->queue != tally->queue;
		s->queue = tally->queue;
		s->received++;
		s->received_bytes += len;
	}
	if (!s || !s->expected) {
		tally->foreign++;
		return;
	}
	tally->frames++;
	if (verdict == PATTERN_CORRUPT) {
		s->corrupted++;
		return;
	}
	s->verified += tally->deep;
	if (found->has_sequence)
		note_sequence(s, whole_sequence(s, found));
	else
		s->anonymous++;
}

const struct tally_stream *tally_total(struct tally *tally)
{
	struct tally_stream *t = &tally->total;

	memset(t, 0, sizeof(*t));
	for (uint32_t i = 0; i < tally->stream_count; i++) {
		const struct tally_stream *s = &tally->streams[i];

		if (!s->expected)
			continue;
		t->received += s->received;
		t->received_bytes += s->received_bytes;
		t->verified += s->verified;
		t->corrupted += s->corrupted;
		t->duplicated += s->duplicated;
		t->out_of_order += s->out_of_order;
		t->queue_moves += s->queue_moves;
		t->anonymous += s->anonymous;
		t->untracked += s->untracked;
		t->distinct += s->distinct;
		t->next += s->next;
	}
	t->received += tally->corrupted_unknown;
	t->received_bytes += tally->corrupted_unknown_bytes;
	t->corrupted += tally->corrupted_unknown;
	return t;
}

uint64_t tally_missing(struct tally *tally, uint64_t of)
{
	const struct tally_stream *t = tally_total(tally);
	uint64_t have = t->distinct + t->anonymous + t->untracked;
	uint64_t want = of ? of : t->next;

	return want > have ? want - have : 0;
}
