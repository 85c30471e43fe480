/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a frame goes: learning, flooding, and who has to wait. */
#include "network.h"

#include "fake_device.h"
#include <errno.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LEN 600u

struct rig {
	struct network network;
	struct gw_arena *arena;
	unsigned int next_id[4];
	uint8_t bytes[4][32][LEN];
};

static struct rig *rig_open(unsigned int count)
{
	static const char *const specs[] = { "a=fake:,bounce=8", "b=fake:,bounce=8",
					     "c=fake:,bounce=8", "d=fake:,bounce=8" };
	static struct rig rig;
	struct gw_error err = { 0 };

	memset(&rig, 0, sizeof(rig));
	fake_template_reset();
	assert_int_equal(arena_create(4u << 20, &rig.arena, &err), 0);
	for (unsigned int i = 0; i < count; i++) {
		struct gw_port *port = fake_port_open(specs[i], &fake_host, rig.arena);

		assert_int_equal(network_add(&rig.network, port, &err), 0);
	}
	assert_int_equal(network_connect(&rig.network, &err), 0);
	return &rig;
}

static struct fake *fake_at(struct rig *rig, unsigned int i)
{
	return fake_of(rig->network.port[i]);
}

static void settle(struct rig *rig)
{
	for (unsigned int i = 0; i < rig->network.port_count; i++)
		desk_flush(rig->network.port[i]->queue[0]);
	for (unsigned int i = 0; i < rig->network.port_count; i++)
		fake_at(rig, i)->complete = FAKE_FRAMES;
	for (unsigned int i = 0; i < rig->network.port_count; i++)
		desk_reap(rig->network.port[i]->queue[0]);
	for (unsigned int i = 0; i < rig->network.port_count; i++)
		desk_release(rig->network.port[i]->queue[0]);
}

static void rig_close(struct rig *rig)
{
	settle(rig);
	for (unsigned int i = 0; i < rig->network.port_count; i++)
		for (unsigned int id = 0; id < rig->next_id[i]; id++)
			assert_int_equal(fake_at(rig, i)->came_home[id], 1);
	network_disconnect(&rig->network);
	for (unsigned int i = 0; i < rig->network.port_count; i++)
		fake_port_close(rig->network.port[i]);
	arena_destroy(rig->arena);
}

/* A frame from station `from` behind port i, to station `to` (0xff: all). Not offered yet. */
static struct gw_frame *make(struct rig *rig, unsigned int i, uint8_t to, uint8_t from)
{
	unsigned int id = rig->next_id[i]++;
	uint8_t *bytes = rig->bytes[i][id];
	struct iovec seg = { bytes, LEN };
	struct gw_frame *frame;

	memset(bytes, to == 0xff ? 0xff : 0, 6);
	if (to != 0xff)
		memcpy(bytes, (uint8_t[]){ 2, 0, 0, 0, 0, to }, 6);
	memcpy(bytes + 6, (uint8_t[]){ 2, 0, 0, 0, 0, from }, 6);
	frame = fake_frame(fake_at(rig, i), id, NULL, &seg, 1);
	desk_enter(rig->network.port[i]->queue[0], &frame, 1);
	return frame;
}

static unsigned int forward(struct rig *rig, unsigned int i, uint8_t to, uint8_t from)
{
	struct gw_frame *frame = make(rig, i, to, from);
	struct lane *lane = rig->network.lane[0];
	unsigned int taken = lane_forward(lane, lane->queue[i], &frame, 1);

	settle(rig);
	return taken;
}

static void check_taken(struct rig *rig, const unsigned int *taken)
{
	for (unsigned int i = 0; i < rig->network.port_count; i++)
		assert_int_equal(fake_at(rig, i)->taken, taken[i]);
}

static void unknown_and_broadcast_go_to_all_others(void **state)
{
	struct rig *rig = rig_open(4);

	assert_int_equal(forward(rig, 0, 0xbb, 0xa0), 1);
	check_taken(rig, (unsigned int[]){ 0, 1, 1, 1 });
	assert_int_equal(forward(rig, 1, 0xff, 0xb0), 1);
	check_taken(rig, (unsigned int[]){ 1, 1, 2, 2 });
	assert_int_equal(rig->network.port[0]->queue[0]->rx_frames, 1);
	assert_int_equal(rig->network.port[0]->queue[0]->rx_bytes, LEN);
	rig_close(rig);
}

static void a_station_that_was_seen_gets_its_frames_alone(void **state)
{
	struct rig *rig = rig_open(4);

	forward(rig, 1, 0xff, 0xb0);
	forward(rig, 0, 0xb0, 0xa0);
	check_taken(rig, (unsigned int[]){ 1, 1, 1, 1 });
	/* It moves. */
	forward(rig, 2, 0xff, 0xb0);
	forward(rig, 0, 0xb0, 0xa0);
	check_taken(rig, (unsigned int[]){ 2, 2, 2, 2 });
	/* It is not heard of for long. */
	rig->network.lane[0]->now_s += MAC_AGE_S + 1;
	forward(rig, 0, 0xb0, 0xa0);
	check_taken(rig, (unsigned int[]){ 2, 3, 3, 3 });
	rig_close(rig);
}

static void a_frame_for_its_own_side_is_dropped(void **state)
{
	struct rig *rig = rig_open(3);

	forward(rig, 0, 0xff, 0xa1);
	forward(rig, 0, 0xa1, 0xa0);
	check_taken(rig, (unsigned int[]){ 0, 1, 1 });
	assert_int_equal(rig->network.port[0]->queue[0]->rx_drops[GW_DROP_SAME_PORT], 1);
	rig_close(rig);
}

static void a_port_alone_has_no_egress(void **state)
{
	struct rig *rig = rig_open(1);

	assert_int_equal(forward(rig, 0, 0xff, 0xa0), 1);
	assert_int_equal(rig->network.port[0]->queue[0]->rx_drops[GW_DROP_NO_EGRESS], 1);
	rig_close(rig);
}

static void only_with_two_ports_does_the_source_wait(void **state)
{
	struct gw_frame *frames[12];
	struct rig *rig = rig_open(2);

	/* Nobody answers the query: eight copies, and the ninth frame has to wait. */
	for (unsigned int i = 0; i < 12; i++)
		frames[i] = make(rig, 0, 0xff, 0xa0);
	assert_int_equal(
		lane_forward(rig->network.lane[0], rig->network.lane[0]->queue[0], frames, 12), 8);
	settle(rig);
	assert_int_equal(
		lane_forward(rig->network.lane[0], rig->network.lane[0]->queue[0], frames + 8, 4),
		4);
	rig_close(rig);

	rig = rig_open(3);
	for (unsigned int i = 0; i < 12; i++)
		frames[i] = make(rig, 0, 0xff, 0xa0);
	assert_int_equal(
		lane_forward(rig->network.lane[0], rig->network.lane[0]->queue[0], frames, 12), 12);
	assert_int_equal(rig->network.port[1]->queue[0]->pair_from[0]->reasons[GW_DROP_EGRESS_FULL],
			 4);
	rig_close(rig);
}

/* One slow port costs the others nothing. */
static void flooding_goes_on_beside_a_port_that_takes_nothing(void **state)
{
	struct rig *rig = rig_open(3);

	fake_at(rig, 1)->budget = 0;
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(forward(rig, 0, 0xff, 0xa0), 1);
	check_taken(rig, (unsigned int[]){ 0, 0, 20 });
	assert_int_equal(rig->network.port[1]->queue[0]->pair_from[0]->reasons[GW_DROP_EGRESS_FULL],
			 20);
	rig_close(rig);
}

/* ---- frames that are found together ---- */

struct arrivals {
	uint32_t id[16];
	unsigned int count;
};

static void note_arrival(void *arg, const struct gw_frame *frame)
{
	struct arrivals *arrivals = arg;

	arrivals->id[arrivals->count++] = frame->id;
}

/* Port i lends from the first one's memory; what reaches it is noted. */
static void lends(struct rig *rig, unsigned int i, struct arrivals *arrivals)
{
	struct gw_port *port = rig->network.port[i];

	pair_set_answer(port->queue[0]->pair_from[0], &fake_template.answer, NULL,
			port->answer_stamp);
	fake_at(rig, i)->in_tx = note_arrival;
	fake_at(rig, i)->in_arg = arrivals;
}

static void check_arrivals(const struct arrivals *arrivals, const uint32_t *ids, unsigned int count)
{
	assert_int_equal(arrivals->count, count);
	assert_memory_equal(arrivals->id, ids, count * sizeof(*ids));
}

static void each_flow_goes_its_own_way_and_keeps_its_order(void **state)
{
	static const uint8_t to[] = { 0xb0, 0xb0, 0xc0, 0xff, 0xc0, 0xc0, 0xa1, 0xb0, 0xb0 };
	struct rig *rig = rig_open(3);
	struct arrivals at_b = { .count = 0 }, at_c = { .count = 0 };
	struct gw_frame *frames[9];
	struct lane *lane = rig->network.lane[0];

	forward(rig, 1, 0xff, 0xb0);
	forward(rig, 2, 0xff, 0xc0);
	forward(rig, 0, 0xff, 0xa1);
	lends(rig, 1, &at_b);
	lends(rig, 2, &at_c);
	for (unsigned int i = 0; i < 9; i++)
		frames[i] = make(rig, 0, to[i], i == 8 ? 0xa2 : 0xa0);
	assert_int_equal(lane_forward(lane, lane->queue[0], frames, 9), 9);
	settle(rig);
	check_arrivals(&at_b, (uint32_t[]){ 1, 2, 4, 8, 9 }, 5);
	check_arrivals(&at_c, (uint32_t[]){ 3, 4, 5, 6 }, 4);
	assert_int_equal(lane->queue[1]->pair_from[0]->lent_frames, 5);
	assert_int_equal(lane->queue[0]->rx_drops[GW_DROP_SAME_PORT], 1);
	assert_int_equal(lane->queue[0]->rx_frames, 10);
	assert_int_equal(lane->queue[0]->rx_bytes, 10 * LEN);
	/* Of each flow the sender was learned. */
	at_b.count = 0;
	forward(rig, 2, 0xa2, 0xc0);
	assert_int_equal(fake_at(rig, 0)->taken, 3);
	assert_int_equal(at_b.count, 0);
	rig_close(rig);
}

/* One batch of the egress, and each source's books. */
static void frames_of_two_sources_are_counted_by_source(void **state)
{
	struct rig *rig = rig_open(3);
	struct arrivals arrivals = { .count = 0 };
	struct lane *lane = rig->network.lane[0];
	const struct port_queue *egress = lane->queue[2];

	forward(rig, 2, 0xff, 0xc0);
	lends(rig, 2, &arrivals);
	pair_set_answer(egress->pair_from[1], &fake_template.answer, NULL,
			egress->port->answer_stamp);
	for (unsigned int i = 0; i < 2; i++) {
		struct gw_frame *frames[3];

		for (unsigned int k = 0; k < 1 + 2 * i; k++)
			frames[k] = make(rig, i, 0xc0, (uint8_t)(0xa0 + 0x10 * i));
		lane_forward(lane, lane->queue[i], frames, 1 + 2 * i);
	}
	assert_int_equal(egress->pair_from[0]->loans_out, 1);
	settle(rig);
	assert_int_equal(arrivals.count, 4);
	assert_int_equal(egress->pair_from[0]->lent_frames, 1);
	assert_int_equal(egress->pair_from[1]->lent_frames, 3);
	assert_int_equal(egress->pair_from[1]->lent_bytes, 3 * LEN);
	rig_close(rig);
}

/* Lent as far as there are loans, copied as far as there are buffers; the next one waits. */
static void a_flow_is_taken_as_far_as_there_is_room(void **state)
{
	struct rig *rig = rig_open(2);
	struct arrivals arrivals = { .count = 0 };
	struct gw_frame *frames[14];
	struct lane *lane = rig->network.lane[0];
	struct pair *pair = lane->queue[1]->pair_from[0];

	lends(rig, 1, &arrivals);
	pair->loans_max = 3;
	for (unsigned int i = 0; i < 14; i++)
		frames[i] = make(rig, 0, 0xff, 0xa0);
	assert_int_equal(lane_forward(lane, lane->queue[0], frames, 14), 11);
	assert_int_equal(lane->queue[0]->rx_frames, 11);
	settle(rig);
	assert_int_equal(pair->lent_frames, 3);
	assert_int_equal(pair->reasons[GW_COPY_LOANS_OUT], 8);
	assert_int_equal(lane_forward(lane, lane->queue[0], frames + 11, 3), 3);
	settle(rig);
	assert_int_equal(pair->lent_frames, 6);
	assert_int_equal(arrivals.count, 14);
	rig_close(rig);
}

static void a_network_has_room_for_so_many_ports(void **state)
{
	static struct network network;
	static struct gw_port port[PORT_NETWORK_MAX + 1];
	struct gw_error err = { 0 };

	for (unsigned int i = 0; i < PORT_NETWORK_MAX; i++)
		assert_int_equal(network_add(&network, &port[i], &err), 0);
	assert_int_equal(port[PORT_NETWORK_MAX - 1].slot, PORT_NETWORK_MAX - 1);
	assert_int_equal(network_add(&network, &port[PORT_NETWORK_MAX], &err), -ENOSPC);
}

/* Too little bounce memory: what was made is freed, nothing points to it. */
static void connecting_fails_as_a_whole(void **state)
{
	static struct network network;
	struct gw_error err = { 0 };
	struct gw_arena *arena;
	struct gw_port *port[2];

	fake_template_reset();
	assert_int_equal(arena_create(2u << 20, &arena, &err), 0);
	assert_int_equal(port_parse("a=fake:,bounce=256", fake_drivers, &port[0], &err), 0);
	assert_int_equal(port_parse("b=fake:,bounce=256", fake_drivers, &port[1], &err), 0);
	for (unsigned int i = 0; i < 2; i++) {
		port[i]->arena = arena;
		network_add(&network, port[i], &err);
	}
	assert_int_equal(network_connect(&network, &err), -ENOMEM);
	assert_non_null(strstr(err.text, "bounce"));
	assert_null(port[0]->queue[0]->pair_from[1]);
	assert_null(port[1]->queue[0]->pair_from[0]);
	port_free(port[0]);
	port_free(port[1]);
	arena_destroy(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_and_broadcast_go_to_all_others),
		cmocka_unit_test(a_station_that_was_seen_gets_its_frames_alone),
		cmocka_unit_test(a_frame_for_its_own_side_is_dropped),
		cmocka_unit_test(a_port_alone_has_no_egress),
		cmocka_unit_test(only_with_two_ports_does_the_source_wait),
		cmocka_unit_test(flooding_goes_on_beside_a_port_that_takes_nothing),
		cmocka_unit_test(each_flow_goes_its_own_way_and_keeps_its_order),
		cmocka_unit_test(frames_of_two_sources_are_counted_by_source),
		cmocka_unit_test(a_flow_is_taken_as_far_as_there_is_room),
		cmocka_unit_test(a_network_has_room_for_so_many_ports),
		cmocka_unit_test(connecting_fails_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
