/* SPDX-License-Identifier: BSD-2-Clause */
/* NAME=DRIVER:TARGET[,OPTION=VALUE...]: what is taken, and what people are told otherwise. */
#include "port_queue.h"

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
static const struct gw_driver card = {
	.name = "card",
	.target = "IFNAME",
	.target_is_interface = true,
};
static const struct gw_needs makes_socket = { .target_is_socket = true };
static const struct gw_driver plug = { .name = "plug", .target = "SOCKET", .needs = &makes_socket };
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
static const struct gw_driver *const drivers[] = { &with, &without, &even, &card, &plug, NULL };

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
		{ "a=w:", "no driver named 'w'; there are with, without, even, card, plug" },
		{ "a=:", "no driver named ''" },
		{ "a=without:eth0", "takes no target" },
		{ "a=with:", "IFNAME is missing" },
		{ "a=with:,mode=slow", "IFNAME is missing" },
		{ "a=card:eth0123456789012",
		  "IFNAME has 16 bytes, 15 are the most: 'eth0123456789012'" },
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

/* What bind(2) has no room for is no socket's path, and what fits is one. */
static void a_path_is_as_long_as_an_address_takes(void **state)
{
	char spec[7 + 108 + 1] = "a=plug:";
	struct gw_error err = { 0 };
	struct gw_port *port;

	memset(spec + 7, 'x', 108);
	assert_int_equal(port_parse(spec, drivers, &port, &err), -EINVAL);
	assert_non_null(strstr(err.text, "has 108 bytes, 107 are the most"));
	spec[7 + 107] = 0;
	port_free(parse(spec));
	port_free(parse("a=card:eth012345678901"));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_parts_are_taken),
		cmocka_unit_test(what_is_not_given_has_its_fallback),
		cmocka_unit_test(words_and_a_number_can_be_values_of_one_option),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(a_path_is_as_long_as_an_address_takes),
		cmocka_unit_test(a_long_specification_is_refused_in_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
