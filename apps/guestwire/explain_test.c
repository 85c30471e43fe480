/* SPDX-License-Identifier: BSD-2-Clause */
#include "explain.h"
#include "control_json.h"
#include "explain_text.h"
#include "fake_guestwire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The fake's snapshot, for a test to change: pairs 0: a -> up, 1: a -> raw. */
struct scene {
	struct gw_context context;
	struct gw_port_info ports[3];
	struct gw_pair_info pairs[3];
	json_t *json;
	struct explain_part part;
};

static void scene_open(struct scene *scene)
{
	fake_context_fill(&scene->context);
	memcpy(scene->ports, scene->context.snapshot.ports, sizeof(scene->ports));
	memcpy(scene->pairs, scene->context.snapshot.pairs, sizeof(scene->pairs));
	scene->context.snapshot.ports = scene->ports;
	scene->context.snapshot.pairs = scene->pairs;
	scene->json = NULL;
}

/* What is said of a pair. */
static const struct explain_part *explain(struct scene *scene, unsigned int pair)
{
	json_decref(scene->json);
	scene->json = control_json_snapshot(&scene->context.snapshot, NULL);
	explain_pair(scene->json, json_array_get(json_object_get(scene->json, "pairs"), pair),
		     &scene->part);
	return &scene->part;
}

static const struct explain_line *line_of(const struct explain_part *part, const char *subject)
{
	for (unsigned int i = 0; i < part->count; i++)
		if (strcmp(part->line[i].subject, subject) == 0)
			return &part->line[i];
	return NULL;
}

static void expect_advice(struct scene *scene, unsigned int pair, const char *subject,
			  const char *words)
{
	const struct explain_line *line = line_of(explain(scene, pair), subject);

	assert_non_null(line);
	if (!strstr(line->text, words))
		fail_msg("%s: '%s' is not in '%s'", subject, words, line->text);
}

static char *picture(const json_t *json, const char *port)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	explain_text(out, json, port);
	fclose(out);
	return text;
}

static void the_heaviest_comes_first(void **state)
{
	static const char *const order[] = { ADVICE_KERNEL, "loans_out", "copybreak",
					     "egress_full" };
	struct scene scene;
	const struct explain_part *part;

	scene_open(&scene);
	part = explain(&scene, 0);
	assert_int_equal(part->count, 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_string_equal(part->line[i].subject, order[i]);
	assert_int_equal(part->bytes, 1500000);
	assert_int_equal(part->lent_bytes, 1498000);
	assert_int_equal(part->copied_bytes, 2000);
	assert_int_equal(part->kernel_bytes, 1498000);
	assert_string_equal(part->line[1].counter, "copied_bytes_by_reason.loans_out");
	assert_int_equal(part->line[1].value, 1200);
	assert_string_equal(part->line[3].counter, "drops_by_reason.egress_full");
	assert_int_equal(part->line[3].value, 5);
	scene.pairs[0].reason_bytes[GW_DROP_EGRESS_FULL] = 7000;
	part = explain(&scene, 0);
	assert_string_equal(part->line[3].counter, "drops_by_reason.egress_full");
	assert_int_equal(part->line[3].value, 5);
	assert_int_equal(part->line[3].bytes, 7000);
	json_decref(scene.json);
}

static void advice_depends_on_what_is_so(void **state)
{
	struct scene scene;

	scene_open(&scene);
	/* 64 of 128 loans were out: loans= was not the limit, the ring was. */
	expect_advice(&scene, 0, "loans_out", "tx_queue_size=1024");
	scene.pairs[0].loans_peak = 128;
	expect_advice(&scene, 0, "loans_out", "a higher loans=N");
	expect_advice(&scene, 0, "copybreak", "above its default of 0: lower it");
	expect_advice(&scene, 0, ADVICE_KERNEL, "a NIC whose driver has AF_XDP zero-copy");
	scene.ports[1].driver = "tap";
	expect_advice(&scene, 0, ADVICE_KERNEL, "a tap always copies");
	scene.ports[1].driver = "other";
	expect_advice(&scene, 0, ADVICE_KERNEL, "another driver or device");
	expect_advice(&scene, 1, "device_cannot_read", "xdp on the same interface");
	scene.ports[2].driver = "other";
	expect_advice(&scene, 1, "device_cannot_read", "as the driver's answer says");
	scene.pairs[0].reasons[GW_COPY_MAPPING_FAILED] = 1;
	expect_advice(&scene, 0, "mapping_failed", "as the driver's answer");
	scene.pairs[0].answer = (struct gw_answer){ .text = "limit (RLIMIT_MEMLOCK) is 8 MiB" };
	expect_advice(&scene, 0, "mapping_failed", "ulimit -l");
	json_decref(scene.json);
}

static void the_device_is_named_in_the_advice(void **state)
{
	struct scene scene;

	scene_open(&scene);
	scene.pairs[0].reasons[GW_DROP_DEVICE_ERROR] = 1;
	expect_advice(&scene, 0, "device_error", "ip -s link show eth1, ethtool -S eth1");
	json_decref(scene.json);
}

/* A loan to a guest ends in a copy, which is ours: nothing was lent in the end. */
static void a_delivery_is_a_copy(void **state)
{
	struct scene scene;
	const struct explain_part *part;

	scene_open(&scene);
	scene.ports[1].reads = GW_READS_DELIVERY;
	scene.pairs[0].kernel_copied_frames = scene.pairs[0].kernel_copied_bytes = 0;
	part = explain(&scene, 0);
	assert_int_equal(part->lent_bytes, 0);
	assert_int_equal(part->copied_bytes, 1500000);
	assert_string_equal(part->line[0].counter, "lent_bytes");
	assert_non_null(strstr(part->line[0].text, "one copy into the receiver's buffers"));
	json_decref(scene.json);
}

static void headers_are_named_apart(void **state)
{
	struct scene scene;
	const struct explain_line *line;

	scene_open(&scene);
	scene.pairs[0].headers_made = 40;
	scene.pairs[0].header_bytes_copied = 54 * 40;
	line = line_of(explain(&scene, 0), ADVICE_HEADERS);
	assert_non_null(line);
	assert_int_equal(line->value, 54 * 40);
	assert_int_equal(line->frames, 40);
	json_decref(scene.json);
}

static void nothing_was_copied(void **state)
{
	struct scene scene;
	char *text;

	scene_open(&scene);
	scene.pairs[0] = (struct gw_pair_info){
		.source = "a", .egress = "up", .lent_frames = 7, .lent_bytes = 7000
	};
	scene.context.snapshot.pair_count = 1;
	explain(&scene, 0);
	text = picture(scene.json, "up");
	assert_string_equal(text, "a -> up (xdp eth1): 6.84 KiB in 7 frames\n"
				  "   100.0 %  lent\n"
				  "     0.0 %  copied by guestwire\n"
				  "     0.0 %  copied by the kernel\n"
				  "  nothing was copied\n");
	free(text);
	json_decref(scene.json);
}

static void the_whole_picture_of_a_port(void **state)
{
	static const char golden[] =
		"a -> raw (packet eth2): 9.77 KiB in 100 frames\n"
		"     0.0 %  lent\n"
		"   100.0 %  copied by guestwire\n"
		"     0.0 %  copied by the kernel\n"
		"   100.0 %  copied by guestwire, 100 frames, 9.77 KiB: "
		"copied_bytes_by_reason.device_cannot_read = 10000\n"
		"      why: the device has no way to read memory that is not its own\n"
		"      now: query.text eth2: the device reads its own ring\n"
		"      do: the driver xdp on the same interface, in place of packet\n";
	struct scene scene;
	char *text;

	scene_open(&scene);
	explain(&scene, 0);
	text = picture(scene.json, "raw");
	assert_string_equal(text, golden);
	free(text);
	json_decref(scene.json);
}

static void what_a_port_dropped_is_said(void **state)
{
	struct scene scene;
	json_t *said;
	char *text;

	scene_open(&scene);
	scene.ports[0].quarantined = 9;
	explain(&scene, 0);
	text = picture(scene.json, "a");
	assert_non_null(strstr(text, "a: before it was known where frames go\n"));
	assert_non_null(strstr(text, "            dropped, 3 frames: drops.bad_header = 3\n"));
	assert_non_null(strstr(text, "never given back, 9 frames: quarantined = 9"));
	free(text);
	said = explain_json(scene.json, "a");
	assert_int_equal(json_array_size(json_object_get(said, "ports")), 1);
	assert_int_equal(json_array_size(json_object_get(said, "pairs")), 2);
	json_decref(said);
	json_decref(scene.json);
}

static void each_reason_has_advice_that_always_holds(void **state)
{
	size_t count;
	const struct advice *table = advice_table(&count);

	for (unsigned int r = GW_COPY_FIRST; r < GW_REASON_COUNT; r++) {
		const char *last = "";

		for (size_t i = 0; i < count; i++)
			if (strcmp(table[i].subject, gw_reason_name(r)) == 0)
				last = table[i].when ? "conditional" : table[i].text;
		assert_true(strlen(last) > 0);
		assert_string_not_equal(last, "conditional");
	}
}

static void a_snapshot_of_another_shape(void **state)
{
	static const char *const snapshots[] = {
		"{}",
		"[]",
		"{\"ports\":5,\"pairs\":[1,null,{}]}",
		"{\"ports\":[{\"name\":7,\"drops\":[]}],\"pairs\":{\"a\":1}}",
		"{\"pairs\":[{\"lent_frames\":-1,\"query\":7}]}",
		"{\"pairs\":[{\"copied_by_reason\":{\"copybreak\":\"x\",\"loans_out\":3}}]}",
	};

	for (size_t i = 0; i < sizeof(snapshots) / sizeof(snapshots[0]); i++) {
		json_t *json = json_loads(snapshots[i], 0, NULL);

		free(picture(json, NULL));
		json_decref(explain_json(json, NULL));
		assert_false(explain_has_port(json, "a"));
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_heaviest_comes_first),
		cmocka_unit_test(advice_depends_on_what_is_so),
		cmocka_unit_test(the_device_is_named_in_the_advice),
		cmocka_unit_test(a_delivery_is_a_copy),
		cmocka_unit_test(headers_are_named_apart),
		cmocka_unit_test(nothing_was_copied),
		cmocka_unit_test(the_whole_picture_of_a_port),
		cmocka_unit_test(what_a_port_dropped_is_said),
		cmocka_unit_test(each_reason_has_advice_that_always_holds),
		cmocka_unit_test(a_snapshot_of_another_shape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
