/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * queue=auto on a veth pair with several queues: who gets one, who shares, and what
 * arrives on them.
 */
#include "xdp_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define GUESTS       3u
/* Little, for users who may lock 8 MiB. */
#define MEMORY_BYTES (512u << 10)
#define FLOW_BYTES   60u

struct guests {
	struct fixture f;
	struct host_memory memory[GUESTS];
};

static void guests_open(struct guests *g, const char *spec, unsigned int queues)
{
	fixture_open_queues(&g->f, spec, 1500, queues);
	for (unsigned int i = 0; i < GUESTS; i++)
		host_memory_create(&g->memory[i], MEMORY_BYTES, 0);
}

static void guests_close(struct guests *g)
{
	fixture_close(&g->f);
	for (unsigned int i = 0; i < GUESTS; i++)
		host_memory_destroy(&g->memory[i]);
}

/* One frame of a guest, lent or copied, is seen to arrive and to come back. */
static void guest_sends(struct guests *g, unsigned int guest, size_t len, bool lent)
{
	struct fixture *f = &g->f;
	size_t at = (len * 4999) % (MEMORY_BYTES - 2000);
	struct gw_done done = { 0 };
	struct gw_frame frame;
	struct iovec seg = { lent ? host_memory_at(&g->memory[guest], at)
				  : host_arena_buffer(f->port),
			     len };

	pattern_fill(seg.iov_base, len, ++f->number);
	host_frame(&frame, lent ? g->memory[guest].memmap : NULL, &seg, 1);
	frame.pair = guest + 1;
	host_send(f->port, &frame);
	assert_int_equal(far_receive(f->far, fixture_bytes, sizeof(fixture_bytes), LIMIT_MS), len);
	assert_true(pattern_holds(fixture_bytes, len, f->number));
	assert_int_equal(host_reap(f->port, &done, 1, LIMIT_MS), 1);
	assert_ptr_equal(done.frame, &frame);
	assert_int_equal(done.status, GW_DONE_OK);
}

static void third_guest_shares_until_a_queue_is_free(void **state)
{
	struct gw_answer answer;
	struct guests g;
	unsigned int requeries, doubts;

	guests_open(&g, "up=near,rxring=64", 2);
	host_lend(g.f.port, g.memory[0].memmap);
	host_lend(g.f.port, g.memory[1].memmap);
	assert_int_equal(channel_of(g.f.p, g.memory[0].memmap)->queue_index, 1);
	assert_int_equal(channel_of(g.f.p, g.memory[1].memmap)->queue_index, 0);
	assert_non_null(strstr(host_record(g.f.port)->status, "queue 0 and 1 of 2"));
	answer = host_query(g.f.port, g.memory[2].memmap);
	assert_int_equal(answer.verdict, GW_NO);
	assert_int_equal(answer.reason, GW_COPY_MEMORY_TAKEN);
	assert_non_null(strstr(answer.text, "all 2 queues of near"));
	for (size_t len = 60; len <= 1514; len += 97) {
		guest_sends(&g, 0, len, true);
		guest_sends(&g, 1, len, true);
	}
	guest_sends(&g, 2, 1000, false);
	guest_sends(&g, 1, 100, false);
	guest_sends(&g, 0, 100, false);
	/* Copies leave where loans of their source do. */
	assert_int_equal(g.f.p->source[1].channel, 1);
	assert_int_equal(g.f.p->source[2].channel, 0);
	assert_int_equal(g.f.p->source[3].channel, 0);

	requeries = host_record(g.f.port)->requeries;
	doubts = host_record(g.f.port)->doubts;
	gw_driver_xdp.unmap(g.f.port, g.memory[0].memmap);
	assert_true(host_record(g.f.port)->requeries > requeries);
	assert_int_equal(host_record(g.f.port)->doubts, doubts);
	assert_null(g.f.p->channel[1].xsk);
	guest_sends(&g, 0, 200, false);
	host_lend(g.f.port, g.memory[2].memmap);
	assert_int_equal(channel_of(g.f.p, g.memory[2].memmap)->queue_index, 1);
	guest_sends(&g, 2, 1514, true);
	guest_sends(&g, 1, 1514, true);
	/* The first queue's owner leaves: it stays, on the arena. */
	gw_driver_xdp.unmap(g.f.port, g.memory[1].memmap);
	assert_non_null(g.f.p->channel[0].xsk);
	guest_sends(&g, 1, 300, false);
	host_lend(g.f.port, g.memory[0].memmap);
	guest_sends(&g, 0, 1514, true);
	guest_sends(&g, 2, 1514, true);
	guests_close(&g);
}

/* A frame of an IPv4 flow with this number. */
static void send_flow(int far, unsigned int number, uint8_t packet[FLOW_BYTES])
{
	const uint8_t udp[FLOW_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1,
					  8,    0,    0x45, 0,    0,    46,   0, 0, 0, 0, 9, 17 };

	memcpy(packet, udp, FLOW_BYTES);
	packet[29] = 1;
	packet[33] = 2;
	packet[34] = (uint8_t)(number >> 8);
	packet[35] = (uint8_t)number;
	packet[39] = 26;
	far_send(far, packet, FLOW_BYTES);
}

/* Flows of an IPv4 sender are spread over the queues; all have to come. */
static void frames_of_all_bound_queues_are_received(void **state)
{
	uint8_t packet[FLOW_BYTES];
	struct gw_frame *frame;
	struct guests g;
	int far;

	guests_open(&g, "up=near,rxring=64", 2);
	if (g.f.p->packet) {
		guests_close(&g);
		skip();
	}
	host_lend(g.f.port, g.memory[0].memmap);
	host_lend(g.f.port, g.memory[1].memmap);
	far = far_open("far", 0, false);
	for (unsigned int i = 0; i < 200; i++) {
		send_flow(far, i, packet);
		assert_int_equal(host_receive(g.f.port, &frame, 1, LIMIT_MS), 1);
		host_frame_bytes(frame, fixture_bytes, sizeof(fixture_bytes));
		assert_memory_equal(fixture_bytes, packet, sizeof(packet));
		host_release(g.f.port, &frame, 1);
	}
	assert_true(g.f.p->channel[0].xsk->rx.mine > 0);
	assert_true(g.f.p->channel[1].xsk->rx.mine > 0);
	close(far);
	guests_close(&g);
}

/*
 * Started again where there can be no XDP program any more: buffers of any queue that
 * are still lent cannot become those of a packet socket.
 */
static void lent_buffers_of_no_queue_change_hands(void **state)
{
	struct program other = PROGRAM_NONE;
	struct gw_error err = { 0 };
	uint8_t packet[FLOW_BYTES];
	struct gw_frame *frame;
	struct guests g;
	int far;

	guests_open(&g, "up=near,rxring=64", 2);
	if (g.f.p->packet) {
		guests_close(&g);
		skip();
	}
	host_lend(g.f.port, g.memory[0].memmap);
	host_lend(g.f.port, g.memory[1].memmap);
	far = far_open("far", 0, false);
	for (unsigned int i = 0; i < 200; i++) {
		send_flow(far, i, packet);
		assert_int_equal(host_receive(g.f.port, &frame, 1, LIMIT_MS), 1);
		if (frame->tag == &g.f.p->channel[1])
			break;
		host_release(g.f.port, &frame, 1);
	}
	assert_ptr_equal(frame->tag, &g.f.p->channel[1]);
	assert_int_equal(host_stop(g.f.port, 1000), 0);
	assert_int_equal(program_attach(&other, g.f.p->netdev.ifindex, 2, &err), 0);
	assert_int_equal(host_start(g.f.port, &err), -EBUSY);
	host_release(g.f.port, &frame, 1);
	assert_int_equal(host_start(g.f.port, &err), 0);
	assert_non_null(g.f.p->packet);
	program_detach(&other);
	close(far);
	guests_close(&g);
}

static void queue_of_another_program_is_passed_over(void **state)
{
	struct xsk_config config = { .umem.iov_len = 8192, .tx_entries = 2, .rx_entries = 2 };
	struct gw_error err = { 0 };
	struct guests g;
	struct xsk *other;
	int ret;

	guests_open(&g, "up=near,rxring=64", 3);
	config.umem.iov_base = aligned_alloc(4096, 8192);
	assert_int_equal(xsk_open(&config, &other, &err), 0);
	/* The port has looked whether that queue was free, with a socket of its own. */
	while ((ret = xsk_bind(other, g.f.p->netdev.ifindex, 1, XDP_COPY)) == -EBUSY)
		bind_wait();
	assert_int_equal(ret, 0);
	host_lend(g.f.port, g.memory[0].memmap);
	assert_int_equal(channel_of(g.f.p, g.memory[0].memmap)->queue_index, 2);
	host_lend(g.f.port, g.memory[1].memmap);
	assert_int_equal(channel_of(g.f.p, g.memory[1].memmap)->queue_index, 0);
	guest_sends(&g, 0, 1000, true);
	assert_int_equal(host_query(g.f.port, g.memory[2].memmap).reason, GW_COPY_MEMORY_TAKEN);
	xsk_close(other);
	/* It is tried again when something has changed. */
	gw_driver_xdp.unmap(g.f.port, g.memory[1].memmap);
	host_lend(g.f.port, g.memory[2].memmap);
	assert_int_equal(channel_of(g.f.p, g.memory[2].memmap)->queue_index, 1);
	guests_close(&g);
	free(config.umem.iov_base);
}

static void queue_n_takes_no_other(void **state)
{
	struct gw_answer answer;
	struct guests g;

	guests_open(&g, "up=near,rxring=64,queue=1", 2);
	host_lend(g.f.port, g.memory[0].memmap);
	assert_int_equal(channel_of(g.f.p, g.memory[0].memmap)->queue_index, 1);
	guest_sends(&g, 0, 1514, true);
	answer = host_query(g.f.port, g.memory[1].memmap);
	assert_int_equal(answer.reason, GW_COPY_MEMORY_TAKEN);
	assert_non_null(strstr(answer.text, "queue=auto"));
	guests_close(&g);
}

/* One guest's invalid descriptor costs another one nothing. */
static void trouble_of_one_queue_leaves_the_other(void **state)
{
	struct xsk_ring *tx;
	struct xdp_desc *desc;
	unsigned int doubts;
	struct guests g;

	guests_open(&g, "up=near,rxring=64", 2);
	host_lend(g.f.port, g.memory[0].memmap);
	host_lend(g.f.port, g.memory[1].memmap);
	assert_ptr_equal(channel_of(g.f.p, g.memory[0].memmap), &g.f.p->channel[1]);
	tx = &g.f.p->channel[1].xsk->tx;
	desc = xsk_desc(tx, tx->mine);
	desc->addr = 1ull << 47;
	desc->len = 64;
	desc->options = 0;
	xsk_produce(tx, tx->mine + 1);
	guest_sends(&g, 0, 100, true);
	doubts = host_record(g.f.port)->doubts;
	assert_false(host_query(g.f.port, g.memory[1].memmap).needs_map);
	/* The other guest's question brought it up; the first has been told yes. */
	assert_int_equal(host_record(g.f.port)->doubts, doubts + 1);
	assert_true(host_query(g.f.port, g.memory[0].memmap).needs_map);
	guest_sends(&g, 1, 1514, true);
	host_lend(g.f.port, g.memory[0].memmap);
	guest_sends(&g, 0, 1514, true);
	guests_close(&g);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_teardown(fn, fixture_tidy)
	const struct CMUnitTest tests[] = {
		TEST(third_guest_shares_until_a_queue_is_free),
		TEST(frames_of_all_bound_queues_are_received),
		TEST(lent_buffers_of_no_queue_change_hands),
		TEST(queue_of_another_program_is_passed_over),
		TEST(queue_n_takes_no_other),
		TEST(trouble_of_one_queue_leaves_the_other),
	};

	return fixture_main(tests);
}
