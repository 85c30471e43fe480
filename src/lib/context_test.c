/* SPDX-License-Identifier: BSD-2-Clause */
/* The embedding API as a program sees it: options, order of calls, snapshots, what is left. */
#include <guestwire/guestwire.h>

#include "loop_test_api.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct gw_error err;

static unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static unsigned int arena_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "guestwire-bounce") != NULL;
	fclose(maps);
	return count;
}

static struct gw_context *open_with(const char *const *specs)
{
	struct gw_options options = { .size = sizeof(options), .stop_ms = 200 };
	struct gw_context *context;

	assert_int_equal(gw_open(&options, &context, &err), 0);
	for (; *specs; specs++)
		if (gw_port_add(context, *specs, &err))
			fail_msg("%s", err.text);
	return context;
}

/* ---- options ---- */

static void defaults_will_do(void **state)
{
	struct gw_context *context;
	struct gw_snapshot *snapshot;

	assert_int_equal(gw_open(NULL, &context, &err), 0);
	assert_int_equal(gw_snapshot_take(context, &snapshot), 0);
	assert_int_equal(snapshot->workers, 1);
	assert_int_equal(snapshot->port_count, 0);
	assert_int_equal(snapshot->arena_bytes, 0);
	gw_snapshot_free(snapshot);
	gw_close(context);
	gw_close(NULL);
	gw_snapshot_free(NULL);
}

/* A program that was built with an older header has a shorter struct: the rest is not read. */
static void an_older_struct_is_read_as_far_as_it_goes(void **state)
{
	struct gw_options options = { .size = offsetof(struct gw_options, bounce_mib),
				      .workers = 3,
				      .bounce_mib = UINT32_MAX,
				      .stop_ms = 1 };
	struct gw_context *context;
	struct gw_snapshot *snapshot;

	assert_int_equal(gw_open(&options, &context, &err), 0);
	assert_int_equal(gw_snapshot_take(context, &snapshot), 0);
	assert_int_equal(snapshot->workers, 3);
	gw_snapshot_free(snapshot);
	gw_close(context);
}

static void refused(struct gw_options options, const char *says)
{
	struct gw_context *context = NULL;

	assert_int_equal(gw_open(&options, &context, &err), -EINVAL);
	if (!strstr(err.text, says))
		fail_msg("'%s' does not say '%s'", err.text, says);
	assert_null(context);
}

static void options_beyond_their_limits_are_refused(void **state)
{
	const size_t size = sizeof(struct gw_options);

	refused((struct gw_options){ .size = 0 }, "gw_options.size is 0");
	refused((struct gw_options){ .size = size + 8 }, "gw_options.size");
	refused((struct gw_options){ .size = size, .workers = 65 }, "65 workers");
	refused((struct gw_options){ .size = size, .stop_ms = 99 }, "99 ms");
	refused((struct gw_options){ .size = size, .stop_ms = 2001 }, "2001 ms");
	refused((struct gw_options){ .size = size, .bounce_mib = 4097 }, "4097 MiB");
}

/* ---- order of calls ---- */

static const char *const two[] = { "a=loop:", "n=null:", NULL };

static void ports_are_added_once_and_before_the_start(void **state)
{
	struct gw_context *context = open_with(two);

	assert_int_equal(gw_port_add(context, "a=null:", &err), -EEXIST);
	assert_int_equal(gw_port_add(context, "x", &err), -EINVAL);
	assert_int_equal(gw_start(context, &err), 0);
	assert_int_equal(gw_start(context, &err), -EBUSY);
	assert_int_equal(gw_port_add(context, "b=null:", &err), -EBUSY);
	assert_int_equal(gw_stop(context, 500), 0);
	assert_int_equal(gw_stop(context, 500), 0);
	assert_int_equal(gw_port_add(context, "b=null:,network=other", &err), 0);
	assert_int_equal(gw_start(context, &err), 0);
	assert_int_equal(gw_stop(context, UINT32_MAX), 0);
	assert_int_equal(gw_start(context, &err), 0);
	gw_close(context); /* stops */
}

static void a_start_that_fails_leaves_nothing(void **state)
{
	static const char *const specs[] = { "a=loop:", "n=null:", "x=tap:no/such/if", NULL };
	struct gw_context *context = open_with(specs);
	struct gw_snapshot *snapshot;
	unsigned int fds;

	/* The first failure may leave what is made once in a process (the SIGBUS handler). */
	assert_true(gw_start(context, &err) < 0);
	assert_non_null(strstr(err.text, "no/such/if"));
	fds = open_fds();
	assert_true(gw_start(context, &err) < 0);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(arena_mappings(), 0);
	assert_null(loop_test_find("a"));
	assert_int_equal(gw_snapshot_take(context, &snapshot), 0);
	assert_int_equal(snapshot->pair_count, 0);
	for (unsigned int i = 0; i < snapshot->port_count; i++)
		assert_int_equal(snapshot->ports[i].state, GW_PORT_CLOSED);
	gw_snapshot_free(snapshot);
	gw_close(context);
	assert_true(open_fds() < fds);
}

/* ---- snapshots ---- */

static const uint8_t frame[60] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5 };

static const struct gw_pair_info *find_pair(const struct gw_snapshot *snapshot, const char *source,
					    const char *egress)
{
	for (unsigned int i = 0; i < snapshot->pair_count; i++)
		if (!strcmp(snapshot->pairs[i].source, source) &&
		    !strcmp(snapshot->pairs[i].egress, egress))
			return &snapshot->pairs[i];
	fail_msg("no pair from %s to %s", source, egress);
	return NULL;
}

/* Which port and pair each number belongs to, in a network of three and one beside it. */
static void a_snapshot_names_who_is_who(void **state)
{
	static const char *const specs[] = { "a=loop:,loans=11", "b=loop:,loans=12,bounce=5",
					     "c=null:,loans=13", "z=null:,network=other", NULL };
	struct gw_context *context = open_with(specs);
	struct gw_snapshot *snapshot;
	const struct gw_pair_info *pair;

	assert_int_equal(gw_start(context, &err), 0);
	assert_true(loop_test_receive(loop_test_find("a"), frame, sizeof(frame), NULL));
	do {
		assert_int_equal(gw_snapshot_take(context, &snapshot), 0);
		pair = find_pair(snapshot, "a", "c");
		/* Ports are copied before pairs: the frame may have come in between. */
		if (pair->asked && pair->lent_frames + pair->copied_frames &&
		    snapshot->ports[0].rx_frames)
			break;
		gw_snapshot_free(snapshot);
	} while (true);
	assert_int_equal(snapshot->port_count, 4);
	assert_int_equal(snapshot->pair_count, 6);
	assert_true(snapshot->arena_bytes > 0);
	assert_string_equal(snapshot->ports[3].network, "other");
	assert_int_equal(snapshot->ports[0].rx_frames, 1);
	assert_int_equal(snapshot->ports[0].rx_bytes, sizeof(frame));
	assert_int_equal(snapshot->ports[2].reads, GW_READS_NOTHING);
	assert_string_equal(snapshot->ports[2].status, "discarding");
	assert_true(pair->answer.ends_in_tx);
	assert_int_equal(pair->loans_max, 11);
	assert_int_equal(find_pair(snapshot, "a", "b")->bounce_max, 5);
	assert_int_equal(find_pair(snapshot, "b", "c")->loans_max, 12);
	assert_false(find_pair(snapshot, "b", "c")->asked);
	assert_int_equal(find_pair(snapshot, "c", "a")->lent_frames, 0);
	gw_snapshot_free(snapshot);
	gw_close(context);
}

static void *keep_looking(void *arg)
{
	struct gw_context *context = arg;

	for (unsigned int i = 0; i < 200; i++) {
		struct gw_snapshot *snapshot;

		assert_int_equal(gw_snapshot_take(context, &snapshot), 0);
		/* All or nothing: either it runs, or it has no pairs. */
		assert_true(snapshot->pair_count == 0 || snapshot->pair_count == 2);
		gw_snapshot_free(snapshot);
	}
	return NULL;
}

static void snapshots_are_taken_while_it_starts_and_stops(void **state)
{
	struct gw_context *context = open_with(two);
	pthread_t looker;

	pthread_create(&looker, NULL, keep_looking, context);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(gw_start(context, &err), 0);
		assert_true(loop_test_receive(loop_test_find("a"), frame, sizeof(frame), NULL));
		assert_int_equal(gw_stop(context, 500), 0);
	}
	pthread_join(looker, NULL);
	gw_close(context);
}

/* ---- two at a time ---- */

static void two_contexts_run_side_by_side(void **state)
{
	static const char *const other[] = { "b=loop:", "m=null:", NULL };
	struct gw_context *one = open_with(two), *two_more = open_with(other);

	assert_int_equal(gw_start(one, &err), 0);
	assert_int_equal(gw_start(two_more, &err), 0);
	assert_int_equal(gw_stop(one, 500), 0);
	assert_true(loop_test_receive(loop_test_find("b"), frame, sizeof(frame), NULL));
	gw_close(one);
	gw_close(two_more);
	assert_int_equal(arena_mappings(), 0);
}

static void the_words_are_there(void **state)
{
	bool has_null = false;

	assert_true(gw_version()[0] >= '0' && gw_version()[0] <= '9');
	for (const struct gw_driver *const *d = gw_drivers(); *d; d++)
		has_null |= !strcmp((*d)->name, "null");
	assert_true(has_null);
	assert_string_equal(gw_port_options()[0].name, "network");
	assert_false(gw_sigbus(&has_null));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_will_do),
		cmocka_unit_test(an_older_struct_is_read_as_far_as_it_goes),
		cmocka_unit_test(options_beyond_their_limits_are_refused),
		cmocka_unit_test(ports_are_added_once_and_before_the_start),
		cmocka_unit_test(a_start_that_fails_leaves_nothing),
		cmocka_unit_test(a_snapshot_names_who_is_who),
		cmocka_unit_test(snapshots_are_taken_while_it_starts_and_stops),
		cmocka_unit_test(two_contexts_run_side_by_side),
		cmocka_unit_test(the_words_are_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
