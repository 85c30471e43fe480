/* SPDX-License-Identifier: BSD-2-Clause */
/* What the core keeps of a port and tells of it: its status, its buffers, its lines in the log. */
#include "port.h"

#include "log.h"
#include "loop.h"
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct gw_driver plain_driver = { .name = "plain" };
static const struct gw_driver *const drivers[] = { &plain_driver, NULL };

static struct gw_port *plain(const char *spec)
{
	struct gw_error err = { 0 };
	struct gw_port *port;

	if (port_parse(spec, drivers, &port, &err))
		fail_msg("%s: %s", spec, err.text);
	return port;
}

static void status_is_cut_and_copied(void **state)
{
	struct gw_port *port = plain("a=plain:");
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
	struct gw_port *port = plain("a=plain:");
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
	port = plain("a=plain:");
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
	struct gw_port *noisy = plain("a=plain:"), *other = plain("b=plain:");
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
		cmocka_unit_test(status_is_cut_and_copied),
		cmocka_unit_test(numbers_without_a_name_are_unknown),
		cmocka_unit_test(receive_buffers_are_taken_once),
		cmocka_unit_test(a_port_that_logs_without_end_is_cut_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
