/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receive buffers: frames lie in their pages as they will in a guest's, one of the
 * largest size fits, and buffers come back whole, in whatever order frames do.
 */
#include "host.h"
#include "rx_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define BUFFERS 40u

static struct rx_pool *pool;

static int fake_open(struct gw_port *port, struct gw_error *err)
{
	return rx_pool_open(port, BUFFERS, &pool, err);
}

static int fake_start(struct gw_port *port, struct gw_error *err)
{
	return 0;
}

static void fake_close(struct gw_port *port)
{
	rx_pool_close(pool);
}

static const struct gw_driver fake_driver = {
	.name = "fake",
	.target = "NAME",
	.open = fake_open,
	.start = fake_start,
	.close = fake_close,
};

static struct gw_port *open_port(void)
{
	struct gw_port *port = host_run(&fake_driver, "p=fake:any");

	assert_non_null(port);
	return port;
}

static size_t page_offset(const void *address)
{
	return (uintptr_t)address % GW_ARENA_BUFFER_BYTES;
}

static struct gw_frame *take(struct gw_port *port, uint32_t len)
{
	struct iovec room[RX_POOL_SEGS_MAX];
	unsigned int need = rx_pool_buffers(len);

	assert_int_equal(rx_pool_room(pool, room, need), need);
	return rx_pool_take(pool, gw_port_queue(port, 0), len);
}

static uint32_t bytes_of(const struct gw_frame *frame)
{
	size_t bytes = 0;

	for (unsigned int i = 0; i < frame->seg_count; i++)
		bytes += frame->seg[i].iov_len;
	return (uint32_t)bytes;
}

static void a_frame_lies_as_behind_a_header(void **state)
{
	struct gw_port *port = open_port();
	struct gw_frame *frame = take(port, 9014);

	assert_int_equal(page_offset(frame->seg[0].iov_base), sizeof(struct virtio_net_hdr_v1));
	for (unsigned int i = 1; i < frame->seg_count; i++)
		assert_int_equal(page_offset(frame->seg[i].iov_base), 0);
	assert_int_equal(bytes_of(frame), 9014);
	rx_pool_put(pool, frame);
	host_close(port);
}

static void what_was_read_into_is_what_is_taken(void **state)
{
	struct gw_port *port = open_port();
	struct iovec room[RX_POOL_SEGS_MAX];
	struct gw_frame *frame;

	assert_int_equal(rx_pool_room(pool, room, 3), 3);
	frame = rx_pool_take(pool, gw_port_queue(port, 0), 9014);
	assert_int_equal(frame->seg_count, 3);
	for (unsigned int i = 0; i < 3; i++)
		assert_ptr_equal(frame->seg[i].iov_base, room[i].iov_base);
	assert_int_equal(frame->seg[0].iov_len, room[0].iov_len);
	assert_int_equal(frame->seg[1].iov_len, room[1].iov_len);
	rx_pool_put(pool, frame);
	host_close(port);
}

/* To the last byte of a buffer, and one more. */
static void lengths_take_what_they_need(void **state)
{
	static const struct {
		uint32_t len;
		unsigned int buffers;
	} cases[] = {
		{ GW_FRAME_LEN_MIN, 1 },
		{ GW_ARENA_BUFFER_BYTES - RX_POOL_HEADROOM, 1 },
		{ GW_ARENA_BUFFER_BYTES - RX_POOL_HEADROOM + 1, 2 },
		{ 2 * GW_ARENA_BUFFER_BYTES - RX_POOL_HEADROOM, 2 },
		{ GW_FRAME_LEN_MAX, RX_POOL_SEGS_MAX },
	};
	struct gw_port *port = open_port();

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct gw_frame *frame = take(port, cases[i].len);

		assert_int_equal(frame->seg_count, cases[i].buffers);
		assert_int_equal(bytes_of(frame), cases[i].len);
		rx_pool_put(pool, frame);
	}
	host_close(port);
}

static void all_buffers_come_back_whole(void **state)
{
	struct gw_port *port = open_port();
	struct iovec room[BUFFERS];
	struct gw_frame *frame[3];

	for (unsigned int turn = 0; turn < 100; turn++) {
		for (unsigned int i = 0; i < 3; i++)
			frame[i] = take(port, 5000 + 4096 * i);
		assert_int_equal(rx_pool_lent(pool), 3);
		for (unsigned int i = 0; i < 3; i++)
			rx_pool_put(pool, frame[(turn + i) % 3]);
	}
	assert_int_equal(rx_pool_lent(pool), 0);
	assert_int_equal(rx_pool_room(pool, room, BUFFERS), BUFFERS);
	for (unsigned int i = 0; i < BUFFERS; i++) {
		assert_int_equal(page_offset(room[i].iov_base), i ? 0 : RX_POOL_HEADROOM);
		for (unsigned int k = 0; k < i; k++)
			assert_ptr_not_equal(
				(uint8_t *)room[i].iov_base - page_offset(room[i].iov_base),
				(uint8_t *)room[k].iov_base - page_offset(room[k].iov_base));
	}
	host_close(port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_lies_as_behind_a_header),
		cmocka_unit_test(what_was_read_into_is_what_is_taken),
		cmocka_unit_test(lengths_take_what_they_need),
		cmocka_unit_test(all_buffers_come_back_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
