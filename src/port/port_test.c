/* SPDX-License-Identifier: BSD-2-Clause */
/* NAME=DRIVER:TARGET[,OPTION=VALUE...]: what is taken, and what people are told otherwise. */
#include "port.h"

#include "log.h"
#include "loop.h"
#include "pair.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct gw_option options[] = {
	{ "mode", "fast|slow", "fast", "how" },
	{ "depth", "N", "8", "how deep" },
	{ "label", "TEXT", NULL, "what it says" },
	{ "lane", "auto|N", "auto", "which" },
	{ 0 },
};

static const struct gw_driver with = { .name = "with", .target = "IFNAME", .options = options };
static const struct gw_driver without = { .name = "without" };

/* An even depth, and in the slow mode at most 4. */
static int even_check(struct gw_port *port, struct gw_error *err)
{
	bool slow = !strcmp(gw_port_option(port, "mode"), "slow");
	uint64_t depth;
	int ret = gw_port_option_u64(port, "depth", 0, slow ? 4 : 8, &depth, err);

	if (!ret && depth & 1)
		ret = gw_error_set(err, -EINVAL, "port %s: depth: not even", gw_port_name(port));
	return ret;
}

static const struct gw_driver even = { .name = "even", .options = options, .check = even_check };
static const struct gw_driver *const drivers[] = { &with, &without, &even, NULL };

static struct gw_port *parse(const char *spec)
{
	struct gw_error err = { 0 };
	struct gw_port *port;

	if (port_parse(spec, drivers, &port, &err))
		fail_msg("%s: %s", spec, err.text);
	return port;
}

static void all_parts_are_taken(void **state)
{
	struct gw_error err = { 0 };
	struct gw_port *port =
		parse("up.1=with:eth0:1=x,mode=slow,network=red,copybreak=0,depth=9");
	const char *const modes[] = { "fast", "slow", NULL };
	unsigned int word;
	uint64_t number;

	assert_string_equal(gw_port_name(port), "up.1");
	assert_string_equal(gw_port_target(port), "eth0:1=x");
	assert_string_equal(port->network, "red");
	assert_ptr_equal(port->driver, &with);
	assert_int_equal(port->copybreak, 0);
	assert_int_equal(port->loans, -1);
	assert_int_equal(port->bounce, -1);
	assert_false(port->loan_never);
	assert_int_equal(gw_port_option_word(port, "mode", modes, &word, &err), 0);
	assert_int_equal(word, 1);
	assert_int_equal(gw_port_option_u64(port, "depth", 1, 9, &number, &err), 0);
	assert_int_equal(number, 9);
	assert_int_equal(gw_port_option_u64(port, "depth", 1, 8, &number, &err), -EINVAL);
	assert_null(gw_port_option(port, "label"));
	assert_int_equal(gw_port_option_u64(port, "label", 0, 1, &number, &err), -EINVAL);
	port_free(port);
}

static void what_is_not_given_has_its_fallback(void **state)
{
	struct gw_port *port = parse("a=without:");

	assert_string_equal(gw_port_target(port), "");
	assert_string_equal(port->network, "default");
	assert_string_equal(gw_port_option(port, "loan"), "auto");
	assert_int_equal(port->queue[0]->queue.fd[0].fd, -1);
	assert_int_equal(port->max_len, GW_FRAME_LEN_MAX);
	assert_null(gw_port_queue(port, 1));
	port_free(port);
	port_free(parse("a=even:"));
	port_free(NULL);
}

static void words_and_a_number_can_be_values_of_one_option(void **state)
{
	static const char *const values[] = { "auto", "0", "17" };
	char spec[64];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct gw_port *port;

		snprintf(spec, sizeof(spec), "a=with:e,lane=%s", values[i]);
		port = parse(spec);
		assert_string_equal(gw_port_option(port, "lane"), values[i]);
		port_free(port);
	}
}

struct refusal {
	const char *spec, *says;
};

static void what_is_wrong_is_named(void **state)
{
	static const struct refusal table[] = {
		{ "", "expected NAME=DRIVER:TARGET" },
		{ "a", "expected NAME=DRIVER:TARGET" },
		{ "a=without", "expected NAME=DRIVER:TARGET" },
		{ "a:without", "expected NAME=DRIVER:TARGET" },
		{ "=without:", "the name has to be" },
		{ "a b=without:", "the name has to be" },
		{ "a23456789012345678901234567890123=without:", "the name has to be" },
		{ "a=w:", "no driver named 'w'; there are with, without, even" },
		{ "a=:", "no driver named ''" },
		{ "a=without:eth0", "takes no target" },
		{ "a=with:", "IFNAME is missing" },
		{ "a=with:,mode=slow", "IFNAME is missing" },
		{ "a=without:,", "'' is no OPTION=VALUE" },
		{ "a=without:,loan", "'loan' is no OPTION=VALUE" },
		{ "a=without:,loan=", "'loan=' is no OPTION=VALUE" },
		{ "a=without:,mode=fast", "no option 'mode'; there are network, copybreak" },
		{ "a=with:e,mod=fast", "no option 'mod'; there are mode, depth" },
		{ "a=with:e,=fast", "no option ''" },
		{ "a=with:e,mode=fas", "mode has to be fast|slow, not 'fas'" },
		{ "a=with:e,mode=fast|slow", "mode has to be fast|slow" },
		{ "a=with:e,mode=fast,mode=slow", "option 'mode' is given twice" },
		{ "a=without:,loan=sometimes", "loan has to be auto|never" },
		{ "a=without:,copybreak=70000", "copybreak" },
		{ "a=without:,copybreak=-1", "copybreak" },
		{ "a=without:,loans=1x", "loans" },
		{ "a=without:,bounce=0", "bounce" },
		{ "a=without:,bounce=4097", "bounce" },
		{ "a=without:,bounce=99999999999999999999", "bounce" },
		{ "a=without:,network=a/b", "network=a/b is no name" },
		{ "a=even:,depth=deep", "port a: option depth" },
		{ "a=even:,depth=9", "port a: option depth" },
		{ "a=even:,depth=3", "port a: depth: not even" },
		{ "a=even:,mode=slow", "port a: option depth" },
		{ "a=even:,depth=6,mode=slow", "port a: option depth" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct gw_error err = { 0 };
		struct gw_port *port;

		assert_int_equal(port_parse(table[i].spec, drivers, &port, &err), -EINVAL);
		if (!strstr(err.text, table[i].says))
			fail_msg("%s: '%s' does not say '%s'", table[i].spec, err.text,
				 table[i].says);
	}
}

/* Whatever is in it, the text about it has an end. */
static void a_long_specification_is_refused_in_short(void **state)
{
	char spec[5000];
	struct gw_error err = { 0 };
	struct gw_port *port;

	memset(spec, 'x', sizeof(spec));
	spec[sizeof(spec) - 1] = 0;
	assert_int_equal(port_parse(spec, drivers, &port, &err), -EINVAL);
	memcpy(spec, "a=without:,", 11);
	assert_int_equal(port_parse(spec, drivers, &port, &err), -EINVAL);
	assert_true(strlen(err.text) < sizeof(err.text));
}

static void status_is_cut_and_copied(void **state)
{
	struct gw_port *port = parse("a=without:");
	char long_text[400], text[PORT_STATUS_BYTES];

	memset(long_text, 'y', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = 0;
	gw_port_set_status(port, "%s", long_text);
	port_status(port, text, sizeof(text));
	assert_int_equal(strlen(text), PORT_STATUS_BYTES - 1);
	gw_port_set_status(port, "link %d", 3);
	port_status(port, text, 5);
	assert_string_equal(text, "link");
	port_free(port);
}

static void numbers_without_a_name_are_unknown(void **state)
{
	assert_string_equal(gw_port_state_name(GW_PORT_FAILED), "failed");
	assert_string_equal(gw_port_state_name((enum gw_port_state)99), "unknown");
	assert_string_equal(gw_reads_name(GW_READS_NOTHING), "nothing");
	assert_string_equal(gw_reads_name((enum gw_reads)99), "unknown");
	assert_string_equal(gw_verdict_name(GW_PARTLY), "partly");
	assert_string_equal(gw_verdict_name((enum gw_verdict)99), "unknown");
}

static void receive_buffers_are_taken_once(void **state)
{
	struct gw_error err = { 0 };
	struct gw_port *port = parse("a=without:");
	struct gw_arena *arena;

	assert_int_equal(arena_create(2u << 20, &arena, &err), 0);
	port->arena = arena;
	assert_null(gw_port_arena_take(port, 100000, &err));
	assert_non_null(strstr(err.text, "raise the bounce memory"));
	assert_null(gw_port_arena_take(port, 0, &err));
	assert_non_null(gw_port_arena_take(port, 16, &err));
	assert_null(gw_port_arena_take(port, 16, &err));
	port_free(port);
	/* All of it is free again. */
	port = parse("a=without:");
	port->arena = arena;
	assert_non_null(gw_port_arena_take(port, ((2u << 20) - ARENA_PAD_BYTES) / 4096, &err));
	port_free(port);
	arena_destroy(arena);
}

struct lines {
	unsigned int count, told;
};

static void count_line(void *arg, int level, const char *line)
{
	struct lines *lines = arg;

	lines->count++;
	lines->told += strstr(line, "suppressed") != NULL;
}

/* What a peer can cause as often as it likes; and lines that are not shown cost nobody his. */
static void a_port_that_logs_without_end_is_cut_short(void **state)
{
	struct gw_port *noisy = parse("a=without:"), *other = parse("b=without:");
	struct lines lines = { 0 };

	gw_log_set_sink(count_line, &lines);
	for (unsigned int i = 0; i < 1000 * LOG_LIMIT_BURST; i++)
		gw_port_log(noisy, LOG_DEBUG, "turned away");
	lines = (struct lines){ 0 };
	for (unsigned int i = 0; i < 1000 * LOG_LIMIT_BURST; i++)
		gw_port_log(noisy, LOG_WARNING, "turned away");
	assert_in_range(lines.count, LOG_LIMIT_BURST, 2 * LOG_LIMIT_BURST);
	lines = (struct lines){ 0 };
	gw_port_log(other, LOG_WARNING, "something else");
	assert_int_equal(lines.count, 1);
	port_log_rest(other, gw_now_ns() + LOG_LIMIT_REFILL_NS);
	assert_int_equal(lines.told, 0);
	port_log_rest(noisy, gw_now_ns() + LOG_LIMIT_REFILL_NS);
	assert_int_equal(lines.told, 2);
	gw_log_set_sink(NULL, NULL);
	port_free(noisy);
	port_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_parts_are_taken),
		cmocka_unit_test(what_is_not_given_has_its_fallback),
		cmocka_unit_test(words_and_a_number_can_be_values_of_one_option),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(a_long_specification_is_refused_in_short),
		cmocka_unit_test(status_is_cut_and_copied),
		cmocka_unit_test(numbers_without_a_name_are_unknown),
		cmocka_unit_test(receive_buffers_are_taken_once),
		cmocka_unit_test(a_port_that_logs_without_end_is_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
