/* SPDX-License-Identifier: BSD-2-Clause */
#include "desk_rig.h"

static uint8_t bytes[70000];
int memory_a, memory_b;
unsigned int asked, drained;

static void note_ask(struct pair *pair)
{
	asked++;
}

static void note_drained(struct pair *pair)
{
	pair->watch_zero = false;
	drained++;
}

static void apply_here(struct gw_port *port, void (*fn)(void *arg), void *arg)
{
	fn(arg);
}

static const struct port_host host = {
	.apply = apply_here,
	.ask = note_ask,
	.drained = note_drained,
};

void rig_open(struct rig *rig, const char *const *specs)
{
	struct gw_error err = { 0 };

	memset(rig, 0, sizeof(*rig));
	asked = drained = 0;
	fake_template_reset();
	assert_int_equal(arena_create(16u << 20, &rig->arena, &err), 0);
	for (; specs[rig->count]; rig->count++) {
		rig->port[rig->count] = fake_port_open(specs[rig->count], &host, rig->arena);
		rig->port[rig->count]->slot = rig->count;
	}
	for (unsigned int e = 0; e < rig->count; e++) {
		rig->port[e]->network_ports = rig->count;
		for (unsigned int s = 0; s < rig->count; s++)
			if (e != s)
				assert_int_equal(
					pair_create(rig->port[s]->queue[0], rig->port[e]->queue[0],
						    &rig->port[e]->queue[0]->pair_from[s], &err),
					0);
	}
	rig->source = fake_of(rig->port[0]);
}

void rig_close(struct rig *rig)
{
	for (unsigned int e = 0; e < rig->count; e++) {
		for (unsigned int s = 0; s < rig->count; s++)
			pair_free(rig->port[e]->queue[0]->pair_from[s]);
		fake_port_close(rig->port[e]);
	}
	arena_destroy(rig->arena);
}

void answer(struct rig *rig, unsigned int egress, struct gw_answer what)
{
	pair_set_answer(pair_to(rig, egress), &what, MEMORY_A, rig->port[egress]->answer_stamp);
}

struct gw_answer yes(void)
{
	return fake_template.answer;
}

struct gw_frame *frame_of(struct rig *rig, uint32_t len, unsigned int count)
{
	static struct iovec seg[GW_FRAME_SEGS_MAX];
	struct gw_frame *frame;

	for (unsigned int i = 0; i < count; i++)
		seg[i] = (struct iovec){ bytes + (size_t)i * (len / count), len / count };
	seg[count - 1].iov_len += len % count;
	frame = fake_frame(rig->source, rig->next_id++, MEMORY_A, seg, count);
	desk_enter(rig->port[0]->queue[0], &frame, 1);
	return frame;
}

enum desk_verdict offer_frame(struct rig *rig, unsigned int egress, struct gw_frame *frame,
			      bool may_wait)
{
	enum desk_verdict verdict = desk_offer(rig->port[egress]->queue[0], frame, may_wait);

	if (verdict == DESK_TAKEN) {
		rig->offered++;
		desk_put(frame);
	}
	return verdict;
}

enum desk_verdict offer(struct rig *rig, unsigned int egress, uint32_t len)
{
	return offer_frame(rig, egress, frame_of(rig, len, 1), false);
}

void check_books(struct rig *rig, unsigned int egress)
{
	struct pair *pair = pair_to(rig, egress);
	uint64_t sum = pair->lent_frames + pair->copied_frames, copies = 0;

	for (unsigned int r = GW_COPY_FIRST; r < GW_COPY_REASON_END; r++)
		copies += pair->reasons[r];
	for (unsigned int r = GW_DROP_FIRST; r < GW_DROP_DEVICE_ERROR; r++)
		sum += pair->reasons[r];
	assert_int_equal(copies, pair->copied_frames);
	assert_int_equal(sum, rig->offered);
	assert_int_equal(pair->loans_out, 0);
	assert_int_equal(pair->bounce_out, 0);
	assert_int_equal(pair->pieces.free_count, pair->pieces.max);
	assert_int_equal(rig->port[0]->queue[0]->lent_out, 0);
	assert_int_equal(rig->port[egress]->queue[0]->held, 0);
	assert_int_equal(rig->port[egress]->queue[0]->held_loans, 0);
	desk_release(rig->port[0]->queue[0]);
	for (unsigned int i = 0; i < rig->next_id; i++)
		assert_int_equal(rig->source->came_home[i], 1);
}

void complete_all(struct rig *rig, unsigned int egress)
{
	device(rig, egress)->complete = device(rig, egress)->held_count;
	while (desk_reap(rig->port[egress]->queue[0]))
		;
}
