/* SPDX-License-Identifier: BSD-2-Clause */
#include "steering.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define FRAME_BYTES 128u

/* One frame, in one segment or in segments of one byte each. */
struct bench {
	struct gw_frame frame;
	uint8_t bytes[FRAME_BYTES];
	struct iovec seg[FRAME_BYTES];
};

static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 1 }, mac_b[6] = { 2, 0, 0, 0, 0, 2 };

static void cut(struct bench *bench, unsigned int pieces)
{
	size_t part = FRAME_BYTES / pieces;

	for (unsigned int i = 0; i < pieces; i++)
		bench->seg[i] = (struct iovec){ bench->bytes + i * part, part };
	bench->frame.seg = bench->seg;
	bench->frame.seg_count = (uint16_t)pieces;
	bench->frame.len = FRAME_BYTES;
}

static uint8_t *begin(struct bench *bench, const uint8_t *from, const uint8_t *to, bool tagged,
		      uint16_t type)
{
	uint8_t *at = bench->bytes + 12;

	memset(bench, 0, sizeof(*bench));
	memcpy(bench->bytes, to, 6);
	memcpy(bench->bytes + 6, from, 6);
	if (tagged) {
		memcpy(at, "\x81\x00\x00\x05", 4);
		at += 4;
	}
	at[0] = (uint8_t)(type >> 8);
	at[1] = (uint8_t)type;
	cut(bench, 1);
	return at + 2;
}

static void put_ports(uint8_t *at, uint16_t from, uint16_t to)
{
	const uint8_t bytes[] = { from >> 8, from & 0xff, to >> 8, to & 0xff };

	memcpy(at, bytes, sizeof(bytes));
}

static uint32_t hash4(bool back, uint16_t port, bool tagged, bool fragment, uint8_t words)
{
	struct bench bench;
	uint8_t *ip = begin(&bench, back ? mac_b : mac_a, back ? mac_a : mac_b, tagged, 0x0800);

	ip[0] = 0x40 | words;
	ip[6] = fragment ? 0x20 : 0;
	ip[9] = 6;
	memcpy(ip + (back ? 16 : 12), "\x0a\x00\x00\x01", 4);
	memcpy(ip + (back ? 12 : 16), "\x0a\x00\x00\x02", 4);
	put_ports(ip + 4 * words, back ? 80 : port, back ? port : 80);
	return steering_hash(&bench.frame);
}

static void both_directions_are_one_flow(void **state)
{
	assert_int_equal(hash4(false, 1000, false, false, 5), hash4(true, 1000, false, false, 5));
	assert_int_equal(hash4(false, 1000, true, false, 5), hash4(true, 1000, true, false, 5));
	assert_int_equal(hash4(false, 1000, false, false, 15), hash4(true, 1000, false, false, 15));
	assert_int_equal(hash4(false, 1000, true, false, 5), hash4(false, 1000, false, false, 5));
}

static void ports_tell_flows_apart_but_not_of_fragments(void **state)
{
	assert_int_not_equal(hash4(false, 1000, false, false, 5),
			     hash4(false, 1001, false, false, 5));
	assert_int_not_equal(hash4(false, 1000, false, false, 15),
			     hash4(false, 1001, false, false, 15));
	assert_int_equal(hash4(false, 1000, false, true, 5), hash4(false, 1001, false, true, 5));
}

static uint32_t hash6(bool back, uint16_t port, unsigned int pieces)
{
	struct bench bench;
	uint8_t *ip = begin(&bench, mac_a, mac_b, false, 0x86dd);

	ip[0] = 0x60;
	ip[6] = 17;
	ip[back ? 39 : 23] = 1;
	ip[back ? 23 : 39] = 2;
	put_ports(ip + 40, back ? 53 : port, back ? port : 53);
	cut(&bench, pieces);
	return steering_hash(&bench.frame);
}

static void ipv6_and_any_cut_into_segments(void **state)
{
	assert_int_equal(hash6(false, 7, 1), hash6(true, 7, 1));
	assert_int_not_equal(hash6(false, 7, 1), hash6(false, 8, 1));
	assert_int_equal(hash6(false, 7, FRAME_BYTES), hash6(true, 7, 2));
}

static void what_is_no_ip_goes_by_its_addresses(void **state)
{
	struct bench bench;
	uint32_t there, back;

	begin(&bench, mac_a, mac_b, false, 0x0806);
	there = steering_hash(&bench.frame);
	begin(&bench, mac_b, mac_a, false, 0x0806);
	back = steering_hash(&bench.frame);
	assert_int_equal(there, back);
	begin(&bench, mac_a, (const uint8_t *)"\xff\xff\xff\xff\xff\xff", false, 0x0806);
	assert_int_not_equal(there, steering_hash(&bench.frame));
}

/* Headers that end too early, or claim to be longer than the frame: read only what is there. */
static void short_frames_are_read_no_further(void **state)
{
	for (size_t len = 1; len <= 60; len++) {
		struct bench bench;
		uint8_t *ip = begin(&bench, mac_a, mac_b, false, 0x0800);

		ip[0] = 0x4f;
		ip[9] = 6;
		bench.seg[0].iov_len = len;
		bench.frame.len = (uint32_t)len;
		steering_hash(&bench.frame);
	}
}

static void flows_are_spread(void **state)
{
	unsigned int hit[8] = { 0 };

	for (uint16_t port = 1024; port < 1024 + 800; port++)
		hit[(uint64_t)hash4(false, port, false, false, 5) * 8 >> 32]++;
	for (unsigned int i = 0; i < 8; i++) {
		assert_true(hit[i] > 40);
		assert_true(hit[i] < 250);
	}
}

/* Addresses of which only the last byte differs, as machines of one network have them. */
static void neighbours_are_spread(void **state)
{
	unsigned int hit[4] = { 0 };

	for (uint8_t i = 1; i <= 32; i++) {
		const uint8_t mac[6] = { 2, 0, 0, 0, 0, i };
		struct bench bench;

		begin(&bench, mac, mac_b, false, 0x88b5);
		hit[(uint64_t)steering_hash(&bench.frame) * 4 >> 32]++;
	}
	for (unsigned int i = 0; i < 4; i++)
		assert_true(hit[i] > 0);
}

static void an_answer_goes_where_the_request_came_from(void **state)
{
	static struct steering steering;
	uint32_t there = hash4(false, 1000, false, false, 5);

	assert_int_equal(steering_pair(&steering, there), -1);
	steering_sent(&steering, there, 127);
	assert_int_equal(steering_pair(&steering, hash4(true, 1000, false, false, 5)), 127);
	steering_sent(&steering, there, 0);
	assert_int_equal(steering_pair(&steering, hash4(true, 1000, false, false, 5)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions_are_one_flow),
		cmocka_unit_test(ports_tell_flows_apart_but_not_of_fragments),
		cmocka_unit_test(ipv6_and_any_cut_into_segments),
		cmocka_unit_test(what_is_no_ip_goes_by_its_addresses),
		cmocka_unit_test(short_frames_are_read_no_further),
		cmocka_unit_test(flows_are_spread),
		cmocka_unit_test(neighbours_are_spread),
		cmocka_unit_test(an_answer_goes_where_the_request_came_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
