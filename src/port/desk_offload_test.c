/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames with a partial header at the desk: what a device takes as it is, what is done
 * for it, and what no device gets.
 */
#include "partial_rig.h"

#include "checksum.h"

/* ---- what the device takes ---- */

static void a_device_that_takes_it_all_gets_it_whole(void **state)
{
	struct pair *pair;
	struct rig rig;

	partial_open(&rig, two);
	pair = pair_to(&rig, 1);
	take(&rig, 1, (struct gw_offloads){ .takes = GW_OFFLOAD_ALL });
	gw_port_set_max_len(rig.port[1], 1514);
	desk_offer(rig.port[1]->queue[0], super_of(&rig, &ten, 0), false);
	desk_put(&rig.source->frame[0]);
	offer_super(&rig, 1, super_of(&rig, &one, 0), false);
	rig.offered++;
	desk_flush(rig.port[1]->queue[0]);
	assert_int_equal(got.whole, 1);
	assert_int_equal(got.partial, 2);
	assert_int_equal(pair->lent_frames, 2);
	assert_int_equal(pair->supers_cut + pair->headers_made + pair->checksums_made, 0);
	assert_int_equal(pair->header_bytes_copied, 0);
	partial_end(&rig);
}

/* What it could not hold, or a copy could not, is cut; one byte less is not. */
static void super_frames_that_do_not_fit_are_cut(void **state)
{
	static const struct {
		const char *spec;
		uint32_t takes, len_max;
		unsigned int whole;
	} table[] = {
		{ "d=fake:", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 0, 1 },
		{ "d=fake:", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 10054, 1 },
		{ "d=fake:", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 10053, 0 },
		{ "d=fake:,bounce=3", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 0, 1 },
		{ "d=fake:,bounce=2", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO4, 0, 0 },
		{ "d=fake:", GW_OFFLOAD_CSUM | GW_OFFLOAD_TSO6, 0, 0 },
		{ "d=fake:", GW_OFFLOAD_CSUM, 0, 0 },
		{ "d=fake:", GW_OFFLOAD_TSO4, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *const specs[] = { "a=fake:", table[i].spec, NULL };
		uint32_t takes = table[i].takes;
		struct rig rig;

		partial_open(&rig, specs);
		take(&rig, 1, (struct gw_offloads){ .takes = takes, .len_max = table[i].len_max });
		desk_offer(rig.port[1]->queue[0], super_of(&rig, &ten, 0), false);
		desk_put(&rig.source->frame[0]);
		rig.offered = table[i].whole ? 1 : 10;
		desk_flush(rig.port[1]->queue[0]);
		assert_int_equal(got.whole, table[i].whole);
		/* Cut frames keep their checksum partial where the device completes it. */
		assert_int_equal(got.partial, takes & GW_OFFLOAD_CSUM ? rig.offered : 0);
		partial_end(&rig);
	}
}

/* Such a device wants room before the header, which a bounce buffer has not. */
static void private_headers_only_of_what_is_lent(void **state)
{
	struct rig rig;

	for (unsigned int i = 0; i < 2; i++) {
		partial_open(&rig, two_of_four);
		take(&rig, 1,
		     (struct gw_offloads){ .takes = GW_OFFLOAD_ALL, .header_private = true });
		if (i)
			answer(&rig, 1, (struct gw_answer){ .reason = GW_COPY_DEVICE_CANNOT });
		for (unsigned int n = 0; n < 4; n++)
			offer_super(&rig, 1, super_of(&rig, &one, 0), false);
		desk_flush(rig.port[1]->queue[0]);
		assert_int_equal(got.lent, i ? 0 : 4);
		assert_int_equal(got.partial, got.lent);
		assert_int_equal(pair_to(&rig, 1)->checksums_made, got.copied);
		assert_int_equal(pair_to(&rig, 1)->headers_made, got.lent);
		assert_int_equal(pair_to(&rig, 1)->supers_cut, 0);
		partial_end(&rig);
	}
}

/* A frame of which nothing is asked has nothing made, whatever the device wants. */
static void whole_frames_stay_as_they_are(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	partial_open(&rig, two);
	device(&rig, 1)->in_tx = NULL;
	take(&rig, 1, (struct gw_offloads){ .takes = GW_OFFLOAD_ALL, .header_private = true });
	frame = frame_of(&rig, LEN, 1);
	assert_int_equal(offer_frame(&rig, 1, frame, false), DESK_TAKEN);
	assert_true(rig.port[1]->queue[0]->offer.frame[0] == frame);
	partial_end(&rig);
}

static void a_flood_to_devices_of_all_kinds(void **state)
{
	static const char *const four[] = { "a=fake:", "d=fake:", "e=fake:", "f=fake:,loans=3",
					    NULL };
	struct gw_frame *frame;
	struct rig rig;

	partial_open(&rig, four);
	take(&rig, 2, (struct gw_offloads){ .takes = GW_OFFLOAD_ALL });
	take(&rig, 3, (struct gw_offloads){ .takes = GW_OFFLOAD_CSUM });
	frame = super_of(&rig, &ten, 0);
	for (unsigned int e = 1; e < 4; e++)
		assert_int_equal(desk_offer(rig.port[e]->queue[0], frame, false), DESK_TAKEN);
	desk_put(frame);
	/* Ten pieces, the whole, and three pieces; one chain of the ring. */
	assert_int_equal(frame->holders, 14);
	assert_int_equal(frame->loans, 14);
	assert_int_equal(rig.port[0]->queue[0]->lent_out, 1);
	for (unsigned int e = 1; e < 4; e++)
		desk_flush(rig.port[e]->queue[0]);
	assert_int_equal(got.whole, 1);
	assert_int_equal(got.partial, 11);
	for (unsigned int e = 1; e < 4; e++) {
		desk_release(rig.port[0]->queue[0]);
		assert_int_equal(rig.source->came_home[0], 0);
		complete_all(&rig, e);
	}
	for (unsigned int e = 1; e < 4; e++) {
		rig.offered = e == 2 ? 1 : 10;
		check_books(&rig, e);
	}
	partial_close(&rig);
}

/* ---- checksums only ---- */

/* The field lies beyond what may be private: the frame is copied, and completed there. */
static void a_deep_field_is_completed_in_a_copy(void **state)
{
	struct gw_frame *frame;
	uint16_t check;
	struct rig rig;

	partial_open(&rig, two);
	device(&rig, 1)->in_tx = NULL;
	for (unsigned int i = 0; i < 3; i++) {
		struct iovec from;

		if (i == 1)
			answer(&rig, 1, (struct gw_answer){ .reason = GW_COPY_MEMORY_FILE });
		if (i == 2)
			take(&rig, 1,
			     (struct gw_offloads){ .takes = GW_OFFLOAD_CSUM,
						   .header_private = true });
		frame = super_of(&rig, &one, 100);
		frame->header.csum_start = 800;
		assert_int_equal(offer_super(&rig, 1, frame, false), DESK_TAKEN);
		frame = rig.port[1]->queue[0]->offer.frame[0];
		assert_int_equal(frame->bounce, 1);
		assert_int_equal(frame->header.flags, 0);
		from = frame->seg[0];
		check = checksum_sum(&from, 1, 800, UINT32_MAX, 0);
		/* The field was in the sum before it was overwritten. */
		memcpy(&check, (uint8_t *)from.iov_base + 816, 2);
		memcpy((uint8_t *)from.iov_base + 816, sent[i]->bytes + 816, 2);
		assert_int_equal((uint16_t)~checksum_sum(&from, 1, 800, UINT32_MAX, 0), check);
		desk_flush(rig.port[1]->queue[0]);
	}
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_PRIVATE_HEADER], 1);
	assert_int_equal(pair_to(&rig, 1)->reasons[GW_COPY_MEMORY_FILE], 2);
	assert_int_equal(pair_to(&rig, 1)->checksums_made, 3);
	partial_end(&rig);
}

/* The desk's batch has an end for these, too. */
static void deep_fields_beyond_a_batch_wait(void **state)
{
	static const char *const specs[] = { "a=fake:", "d=fake:,bounce=200", NULL };
	struct gw_frame *frame;
	struct rig rig;

	partial_open(&rig, specs);
	device(&rig, 1)->in_tx = NULL;
	device(&rig, 1)->budget = 0;
	for (unsigned int i = 0; i < GW_BATCH + 1; i++) {
		frame = super_of(&rig, &one, 0);
		frame->header.csum_start = 800;
		assert_int_equal(offer_super(&rig, 1, frame, true),
				 i < GW_BATCH ? DESK_TAKEN : DESK_WAIT);
	}
	assert_int_equal(rig.port[1]->queue[0]->offer.count, GW_BATCH);
	device(&rig, 1)->budget = 200;
	assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
	partial_end(&rig);
}

/* ---- what no device gets ---- */

static void frames_too_long_for_the_port(void **state)
{
	static const struct {
		struct mock_super_shape shape;
		uint16_t csum_start;
		bool too_long;
		uint32_t takes;
	} table[] = {
		{ { .payload = 10000, .gso_size = 1460 }, 0, false, 0 },
		{ { .payload = 10000, .gso_size = 1461 }, 0, true, 0 },
		{ { .payload = 10000, .gso_size = 1460 }, 0, false, GW_OFFLOAD_ALL },
		{ { .payload = 10000, .gso_size = 1461 }, 0, true, GW_OFFLOAD_ALL },
		{ { .payload = 1460, .whole = true }, 0, false, 0 },
		{ { .payload = 1461, .whole = true }, 0, true, 0 },
		{ { .payload = 1461, .whole = true }, 900, true, 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct gw_frame *frame;
		struct rig rig;

		partial_open(&rig, two);
		gw_port_set_max_len(rig.port[1], 1514);
		take(&rig, 1, (struct gw_offloads){ .takes = table[i].takes });
		frame = super_of(&rig, &table[i].shape, 0);
		if (table[i].csum_start)
			frame->header.csum_start = table[i].csum_start;
		assert_int_equal(offer_super(&rig, 1, frame, true), DESK_TAKEN);
		desk_flush(rig.port[1]->queue[0]);
		if (table[i].takes)
			rig.offered = 1;
		if (table[i].too_long) {
			check_dropped(&rig, GW_DROP_TOO_LONG, 1, frame->len);
			assert_int_equal(pair_to(&rig, 1)->supers_cut, 0);
			assert_int_equal(device(&rig, 1)->taken, 0);
			rig.offered = 1;
		}
		partial_end(&rig);
	}
}

static void bad_headers_are_dropped_and_counted(void **state)
{
	struct gw_frame *frame;
	struct rig rig;

	partial_open(&rig, two);
	frame = super_of(&rig, &ten, 0);
	frame->header.gso_size = 0;
	offer_super(&rig, 1, frame, true);
	rig.offered = 1;
	check_dropped(&rig, GW_DROP_BAD_HEADER, 1, frame->len);
	assert_int_equal(pair_to(&rig, 1)->supers_cut, 0);
	/* The next one is not the worse for it. */
	offer_super(&rig, 1, super_of(&rig, &ten, 0), true);
	partial_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_that_takes_it_all_gets_it_whole),
		cmocka_unit_test(super_frames_that_do_not_fit_are_cut),
		cmocka_unit_test(private_headers_only_of_what_is_lent),
		cmocka_unit_test(whole_frames_stay_as_they_are),
		cmocka_unit_test(a_flood_to_devices_of_all_kinds),
		cmocka_unit_test(a_deep_field_is_completed_in_a_copy),
		cmocka_unit_test(deep_fields_beyond_a_batch_wait),
		cmocka_unit_test(frames_too_long_for_the_port),
		cmocka_unit_test(bad_headers_are_dropped_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
