/* SPDX-License-Identifier: BSD-2-Clause */
/* The table, and the life of a port: open, start, stop, close, in every order. */
#include "conformance.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define CYCLES 8u

static void table_is_consistent(void)
{
	const struct gw_driver *driver = subject.driver;

	assert_true(driver->name && *driver->name && driver->help && *driver->help);
	assert_true(driver->open && driver->start && driver->stop && driver->close);
	assert_true(driver->query && driver->tx);
	assert_int_equal(!driver->map, !driver->unmap);
	assert_true(driver->map || !driver->remap);
	assert_int_equal(!driver->rx, !driver->release);
	assert_int_equal(!driver->bounce, !driver->unbounce);
	for (const struct gw_option *o = driver->options; o && o->name; o++) {
		assert_true(*o->name && o->values && o->help);
		for (const struct gw_option *other = driver->options; other != o; other++)
			assert_string_not_equal(o->name, other->name);
	}
}

static void start_something(struct gw_port *port)
{
	struct gw_error err = { 0 };

	if (host_start(port, &err))
		fail_msg("start: %s", err.text);
	assert_true(*host_record(port)->status);
	assert_true(host_record(port)->max_len >= GW_FRAME_LEN_MIN);
}

static void open_and_close(void)
{
	struct gw_error err = { 0 };
	struct gw_port *port;

	for (unsigned int i = 0; i < CYCLES; i++) {
		if (host_open(subject.driver, subject.host_spec, &port, &err))
			fail_msg("open: %s", err.text);
		host_close(port);
	}
}

static void starts_again_after_stop(void)
{
	struct gw_error err = { 0 };
	struct gw_port *port;

	if (host_open(subject.driver, subject.host_spec, &port, &err))
		fail_msg("open: %s", err.text);
	for (unsigned int i = 0; i < CYCLES / 2; i++) {
		start_something(port);
		assert_int_equal(host_stop(port, DEADLINE_MS), 0);
	}
	host_close(port);
}

static void second_stop_is_harmless(void)
{
	struct gw_port *port = host_run(subject.driver, subject.host_spec);

	assert_int_equal(host_stop(port, DEADLINE_MS), 0);
	assert_int_equal(host_stop(port, DEADLINE_MS), 0);
	start_something(port);
	assert_int_equal(host_stop(port, 0), 0);
	host_close(port);
}

/* The second port cannot have what the first holds, or can; either way both end well. */
static void two_ports_on_one_target(void)
{
	struct gw_port *first = host_run(subject.driver, subject.host_spec), *second;
	struct gw_error err = { 0 };

	if (host_open(subject.driver, subject.host_spec, &second, &err) == 0) {
		int ret = host_start(second, &err);

		if (ret)
			assert_true(ret < 0 && err.code == ret && *err.text);
		else
			assert_int_equal(host_stop(second, DEADLINE_MS), 0);
		host_close(second);
	} else {
		assert_true(err.code < 0 && *err.text);
	}
	assert_int_equal(host_stop(first, DEADLINE_MS), 0);
	host_close(first);
}

static void leaves_no_descriptor_open(void)
{
	unsigned int before;

	host_close(host_run(subject.driver, subject.host_spec));
	before = open_fds();
	for (unsigned int i = 0; i < CYCLES; i++) {
		struct gw_port *port = host_run(subject.driver, subject.host_spec);

		assert_int_equal(host_stop(port, DEADLINE_MS), 0);
		host_close(port);
	}
	assert_int_equal(open_fds(), before);
}

/* Opens and starts; if that fails, checks the error and returns it. */
static int try_target(const char *target)
{
	struct gw_error err = { 0 };
	struct gw_port *port;
	char spec[128];
	int ret;

	snprintf(spec, sizeof(spec), "dev=%s", target);
	ret = host_open(subject.driver, spec, &port, &err);
	if (!ret) {
		ret = host_start(port, &err);
		if (!ret)
			assert_int_equal(host_stop(port, DEADLINE_MS), 0);
		host_close(port);
	}
	if (!ret)
		return 0;
	assert_true(ret < 0);
	assert_int_equal(err.code, ret);
	if (!strstr(err.text, target))
		fail_msg("the error does not name the target %s: %s", target, err.text);
	return ret;
}

static bool has_target(void)
{
	return subject.driver->target;
}

/* An error, or a driver that makes it (tap). */
static void error_names_a_missing_target(void)
{
	unsigned int before = open_fds();
	int ret = try_target("gwmissing0");

	if (ret)
		assert_true(ret == -ENODEV || ret == -ENOENT);
	assert_int_equal(open_fds(), before);
}

static void error_names_an_impossible_target(void)
{
	unsigned int before = open_fds();

	assert_true(try_target("no/such-interface-name-can-be-so-long") < 0);
	assert_true(try_target("") < 0);
	assert_int_equal(open_fds(), before);
}

const struct conformance_case cases_life[] = {
	{ "table_is_consistent", table_is_consistent, NULL },
	{ "open_and_close", open_and_close, NULL },
	{ "starts_again_after_stop", starts_again_after_stop, NULL },
	{ "second_stop_is_harmless", second_stop_is_harmless, NULL },
	{ "two_ports_on_one_target", two_ports_on_one_target, NULL },
	{ "leaves_no_descriptor_open", leaves_no_descriptor_open, NULL },
	{ "error_names_a_missing_target", error_names_a_missing_target, has_target },
	{ "error_names_an_impossible_target", error_names_an_impossible_target, has_target },
	{ NULL, NULL, NULL },
};
