/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines and files, good and bad. Drivers are those of fake_guestwire.c: tube, sink. */
#include "daemon_config.h"
#include "daemon_list.h"

#include <guestwire/guestwire.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>
#include <cmocka.h>

#define ARGS_MAX 16

static char dir[] = "/tmp/daemon_config_test.XXXXXX";
static char path[sizeof(dir) + 32];

/* Parses the words (ended by NULL) behind the program's name. */
static int parse(struct daemon_config *config, const char *const *words, struct gw_error *err)
{
	char *argv[ARGS_MAX + 1] = { (char *)"guestwired" };
	int argc = 1;

	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)words[argc - 1];
	*err = (struct gw_error){ 0 };
	return daemon_config_parse(config, argc, argv, err);
}

static void write_file(const char *bytes, size_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static int parse_file(struct daemon_config *config, const char *text, struct gw_error *err)
{
	const char *const words[] = { "--config", path, "--control", "/tmp/c", NULL };

	write_file(text, strlen(text));
	return parse(config, words, err);
}

static void expect_text(const struct gw_error *err, const char *text)
{
	if (!strstr(err->text, text))
		fail_msg("no '%s' in: %s", text, err->text);
}

/* ---- the command line ---- */

static void settings_and_ports_from_the_command_line(void **state)
{
	const char *const words[] = { "--port",          "a=tube:/run/a,mode=client",
				      "--workers",       "3",
				      "--port=b=sink:",  "--control=/tmp/x.sock",
				      "--bounce-memory", "16",
				      "--stop-timeout",  "200",
				      "--log-level",     "debug",
				      "--log-time",      NULL };
	struct daemon_config config;
	struct gw_error err;

	assert_int_equal(parse(&config, words, &err), 0);
	assert_int_equal(config.action, DAEMON_RUN);
	assert_int_equal(config.port_count, 2);
	assert_string_equal(config.ports[0].spec, "a=tube:/run/a,mode=client");
	assert_string_equal(config.ports[0].origin, "--port a=tube:/run/a,mode=client");
	assert_string_equal(config.ports[1].spec, "b=sink:");
	assert_string_equal(config.control, "/tmp/x.sock");
	assert_int_equal(config.workers, 3);
	assert_int_equal(config.bounce_mib, 16);
	assert_int_equal(config.stop_ms, 200);
	assert_int_equal(config.log_level, LOG_DEBUG);
	assert_true(config.log_time);
	daemon_config_free(&config);
}

static void what_to_take_over(void **state)
{
	static const struct {
		const char *words[3];
		enum daemon_takeover takeover;
	} cases[] = { { { "--port=a=sink:" }, DAEMON_TAKEOVER_NO },
		      { { "--port=a=sink:", "--takeover" }, DAEMON_TAKEOVER },
		      { { "--port=a=sink:", "--takeover=if-running" },
			DAEMON_TAKEOVER_IF_RUNNING } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const words[] = { cases[i].words[0], cases[i].words[1], NULL };
		struct daemon_config config;
		struct gw_error err;

		assert_int_equal(parse(&config, words, &err), 0);
		assert_int_equal(config.takeover, cases[i].takeover);
		assert_false(config.background);
		daemon_config_free(&config);
	}
}

static void help_and_version_need_no_ports(void **state)
{
	static const struct {
		const char *word;
		enum daemon_action action;
	} cases[] = { { "--help", DAEMON_HELP },
		      { "-h", DAEMON_HELP },
		      { "--version", DAEMON_VERSION },
		      { "-V", DAEMON_VERSION },
		      { "--list-drivers", DAEMON_LIST_DRIVERS } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const words[] = { cases[i].word, NULL };
		struct daemon_config config;
		struct gw_error err;

		assert_int_equal(parse(&config, words, &err), 0);
		assert_int_equal(config.action, cases[i].action);
		daemon_config_free(&config);
	}
}

static void bad_command_lines(void **state)
{
	static const struct {
		const char *words[5];
		const char *text;
	} cases[] = {
		{ { NULL }, "no ports: give --port" },
		{ { "--port" }, "--port: needs a value, NAME=DRIVER:TARGET" },
		{ { "--prot", "a=sink:" }, "--prot: no such option" },
		{ { "-x" }, "-x: no such option" },
		{ { "--check=1" }, "--check=1: takes no value" },
		{ { "--takeover=maybe" }, "takeover: 'maybe' is not if-running" },
		{ { "a=sink:" }, "'a=sink:': only options are expected" },
		{ { "--port", "a=sink:", "--port", "a=tube:/x" },
		  "--port a=tube:/x: there is a port 'a' already (--port a=sink:)" },
		{ { "--workers", "0" }, "workers: 0 is out of range; 1 to 64" },
		{ { "--workers", "two" }, "workers: 'two' is not a whole number" },
		{ { "--workers", "-1" }, "workers: '-1' is not" },
		{ { "--bounce-memory", "99999999999999999999" }, "bounce-memory" },
		{ { "--stop-timeout", "5" }, "stop-timeout (ms): 5 is out of range" },
		{ { "--log-level", "loud" }, "no level 'loud'; there are error" },
		{ { "--control", "" }, "the path is empty" },
		{ { "--config", "/a", "--config", "/b" }, "--config: can be given once only" },
		{ { "--config", "/nonexistent/f" }, "--config /nonexistent/f: open: No such" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct daemon_config config;
		struct gw_error err;

		assert_true(parse(&config, cases[i].words, &err) < 0);
		expect_text(&err, cases[i].text);
		daemon_config_free(&config);
	}
}

static void a_control_path_that_is_too_long(void **state)
{
	char text[200];
	const char *const words[] = { "--port", "a=sink:", "--control", text, NULL };
	struct daemon_config config;
	struct gw_error err;

	memset(text, 'x', sizeof(text));
	text[0] = '/';
	text[sizeof(text) - 1] = 0;
	assert_int_equal(parse(&config, words, &err), -ENAMETOOLONG);
	expect_text(&err, "at most 107 bytes, this one has 199");
	daemon_config_free(&config);
}

static void more_ports_than_there_can_be(void **state)
{
	struct daemon_config config = { 0 };
	struct gw_error err = { 0 };
	char spec[32];

	for (unsigned int i = 0; i < DAEMON_PORTS_MAX; i++) {
		snprintf(spec, sizeof(spec), "p%u=sink:", i);
		assert_int_equal(daemon_config_add_port(&config, spec, spec, &err), 0);
	}
	assert_int_equal(daemon_config_add_port(&config, "q=sink:", "q", &err), -E2BIG);
	expect_text(&err, "more than 1024 ports");
	daemon_config_free(&config);
}

/* ---- the file ---- */

static void a_whole_file(void **state)
{
	static const char text[] = "\xef\xbb\xbf# a comment\n"
				   "[daemon]\n"
				   "workers = 2   ; two\n"
				   "  bounce_memory=8\n"
				   "control=/tmp/file.sock\r\n"
				   "log_time = yes\n"
				   "\n"
				   "[port a]\n"
				   "    mode = client\n"
				   "    driver = tube\n"
				   "    target = /run/a:b.sock\n"
				   "    network = red\n"
				   "[port b] # the end\n"
				   "driver=sink";
	const char *const words[] = {
		"--config", path, "--workers", "5", "--port", "c=sink:", NULL
	};
	struct daemon_config config;
	struct gw_error err;

	write_file(text, strlen(text));
	assert_int_equal(parse(&config, words, &err), 0);
	assert_int_equal(config.workers, 5);
	assert_int_equal(config.bounce_mib, 8);
	assert_true(config.log_time);
	assert_string_equal(config.control, "/tmp/file.sock");
	assert_int_equal(config.port_count, 3);
	assert_string_equal(config.ports[0].spec, "c=sink:");
	assert_string_equal(config.ports[1].spec, "a=tube:/run/a:b.sock,mode=client,network=red");
	assert_non_null(strstr(config.ports[1].origin, ":8: [port a]"));
	assert_string_equal(config.ports[2].spec, "b=sink:");
	daemon_config_free(&config);
}

static void bad_files(void **state)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "", "no ports" },
		{ "[demon]\n", ":1: no section [demon]; there are [daemon] and [port NAME]" },
		{ "[port]\n", ":1: no section [port]" },
		{ "\n[port ]\n", ":2: '' is no name for a port" },
		{ "[port a b]\n", ":1: 'a b' is no name for a port" },
		{ "[port abcdefghijklmnopqrstuvwxyz0123456789]\n", "is no name for a port" },
		{ "[port a\ndriver=sink\n", ":1: the section's ']' is missing" },
		{ "[port a] b\n", ":1: 'b" },
		{ "workers=1\n", ":1: 'workers' stands before any section" },
		{ "[daemon]\nworkres=1\n",
		  ":2: no setting 'workres' in [daemon]; there are control, "
		  "workers, bounce_memory, stop_timeout, state_dir, log_level, "
		  "log_time" },
		{ "[daemon]\nworkers=many\n", ":2: workers: 'many' is not a whole number" },
		{ "[daemon]\nworkers=1\nworkers=2\n", ":3: workers is given a second time" },
		{ "[daemon]\nport=a=sink:\n", ":2: no setting 'port'" },
		{ "[daemon]\nlog_time=maybe\n", ":2: log-time: 'maybe' is neither yes nor no" },
		{ "[daemon]\nworkers\n", ":2: neither [SECTION] nor NAME=VALUE" },
		{ "[port a]\n", ":1: [port a]: driver= is missing; there are tube, sink" },
		{ "[port a]\n[port b]\ndriver=sink\n", ":1: [port a]: driver= is missing" },
		{ "[port a]\ndriver=tub\n", ":2: no driver named 'tub'; there are tube, sink" },
		{ "[port a]\ndriver=tube\n", ":1: [port a]: target=SOCKET is missing" },
		{ "[port a]\ndriver=sink\nmode=client\n",
		  ":3: no option 'mode' for the driver sink; there are driver, target, network, "
		  "copybreak" },
		{ "[port a]\ndriver=sink\nnetwork=a,b\n", ":3: network: a value cannot contain" },
		{ "[port a]\ndriver=sink\ndriver=tube\n", ":3: driver is given a second time" },
		{ "[port a]\ndriver=sink\n[port a]\ndriver=sink\n",
		  ":3: [port a]: there is a port 'a' already" },
		{ "[port a]\ndriver=sink\n\x01\x02\n", ":3: no text: a byte 0x01" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct daemon_config config;
		struct gw_error err;

		assert_true(parse_file(&config, cases[i].text, &err) < 0);
		expect_text(&err, cases[i].error);
		daemon_config_free(&config);
	}
}

static void a_setting_that_is_wrong_though_overruled(void **state)
{
	const char *const words[] = { "--config", path, "--workers", "5", NULL };
	static const char text[] = "[daemon]\nworkers=x\n";
	struct daemon_config config;
	struct gw_error err;

	write_file(text, strlen(text));
	assert_int_equal(parse(&config, words, &err), -EINVAL);
	expect_text(&err, ":2: workers");
	daemon_config_free(&config);
}

static void a_line_that_is_too_long(void **state)
{
	struct daemon_config config;
	struct gw_error err;
	char text[1000] = "[daemon]\ncontrol=";

	memset(text + strlen(text), 'x', sizeof(text) - 1 - strlen(text));
	text[sizeof(text) - 1] = 0;
	assert_true(parse_file(&config, text, &err) < 0);
	expect_text(&err, ":2: the line is longer than ");
	daemon_config_free(&config);
}

static void binary_junk(void **state)
{
	static const char elf[] = "\x7f"
				  "ELF\0\0\xff\xfe";
	const char *const words[] = { "--config", path, NULL };
	struct daemon_config config;
	struct gw_error err;

	write_file(elf, sizeof(elf));
	assert_int_equal(parse(&config, words, &err), -EINVAL);
	expect_text(&err, ":1: no text: a byte 0x7f");
	daemon_config_free(&config);
}

static void too_many_keys(void **state)
{
	struct daemon_config config;
	struct gw_error err;
	char text[4096] = "[port a]\n";

	for (unsigned int i = 0; i < 100; i++)
		sprintf(text + strlen(text), "key%u=1\n", i);
	assert_true(parse_file(&config, text, &err) < 0);
	expect_text(&err, ":66: more than 64 keys in [port a]");
	daemon_config_free(&config);
}

static void a_folder(void **state)
{
	const char *const words[] = { "--config", dir, NULL };
	struct daemon_config config;
	struct gw_error err;

	assert_int_equal(parse(&config, words, &err), -EISDIR);
	expect_text(&err, "it is a folder");
	daemon_config_free(&config);
}

static void a_file_that_may_not_be_read(void **state)
{
	const char *const words[] = { "--config", path, NULL };
	struct daemon_config config;
	struct gw_error err;

	write_file("", 0);
	chmod(path, 0);
	/* Root may read all: be somebody else for the moment. */
	if (geteuid() == 0 && seteuid(65534) < 0)
		skip();
	assert_int_equal(parse(&config, words, &err), -EACCES);
	expect_text(&err, "open: Permission denied");
	assert_int_equal(seteuid(getuid()), 0);
	chmod(path, 0600);
	daemon_config_free(&config);
}

/* ---- what is printed ---- */

static char *printed(void (*print)(FILE *out))
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	print(out);
	fclose(out);
	return text;
}

static void help_has_each_option_and_fits(void **state)
{
	char *text = printed(daemon_config_help);

	assert_non_null(strstr(text, "--port NAME=DRIVER:TARGET"));
	assert_non_null(strstr(text, "--help, -h"));
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 80);
	free(text);
}

/* A manual page as one text; NULL if GW_DOCS does not say where it is. */
static char *page(const char *name)
{
	const char *docs = getenv("GW_DOCS");
	char *text = NULL, *file = NULL;
	size_t bytes = 0;
	FILE *in;

	if (!docs)
		return NULL;
	assert_true(asprintf(&file, "%s/%s", docs, name) > 0);
	in = fopen(file, "re");
	assert_non_null(in);
	assert_true(getdelim(&text, &bytes, 0, in) > 0);
	fclose(in);
	free(file);
	return text;
}

static void expect_in_page(const char *text, const char *format, const char *word, size_t len)
{
	char want[80];

	snprintf(want, sizeof(want), format, (int)len, word);
	if (!strstr(text, want))
		fail_msg("the manual page has no '%s'", want);
}

static void the_manual_has_each_option_and_key(void **state)
{
	char *daemon = page("guestwired.8"), *file = page("guestwired.conf.5");
	char *help = printed(daemon_config_help), keys[256];
	unsigned int options = 0;

	if (!daemon)
		skip();
	for (const char *at = help; (at = strstr(at, "\n  --")); options++) {
		at += strlen("\n  --");
		expect_in_page(daemon, ".It Fl Fl %.*s", at, strcspn(at, " ,[\n"));
	}
	assert_int_equal(options, 17);
	daemon_config_keys(keys, sizeof(keys));
	for (char *key = strtok(keys, ", "); key; key = strtok(NULL, ", "))
		expect_in_page(file, ".It Cm %.*s Ns = Ns", key, strlen(key));
	free(daemon);
	free(file);
	free(help);
}

static void list_has_each_driver_option_and_reason(void **state)
{
	char *text = printed(daemon_list_drivers);

	assert_non_null(strstr(text, "  tube:SOCKET\n"));
	assert_non_null(strstr(text, "  sink:\n"));
	assert_non_null(strstr(text, "mode=server|client          who listens (default server)"));
	assert_non_null(strstr(text, "copybreak=BYTES"));
	for (unsigned int i = GW_COPY_FIRST; i < GW_REASON_COUNT; i++)
		assert_non_null(strstr(text, gw_reason_name(i)));
	free(text);
}

static int make_dir(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/file", dir);
	return 0;
}

static int remove_dir(void **state)
{
	unlink(path);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_and_ports_from_the_command_line),
		cmocka_unit_test(what_to_take_over),
		cmocka_unit_test(help_and_version_need_no_ports),
		cmocka_unit_test(bad_command_lines),
		cmocka_unit_test(a_control_path_that_is_too_long),
		cmocka_unit_test(more_ports_than_there_can_be),
		cmocka_unit_test(a_whole_file),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(a_setting_that_is_wrong_though_overruled),
		cmocka_unit_test(a_line_that_is_too_long),
		cmocka_unit_test(binary_junk),
		cmocka_unit_test(too_many_keys),
		cmocka_unit_test(a_folder),
		cmocka_unit_test(a_file_that_may_not_be_read),
		cmocka_unit_test(help_has_each_option_and_fits),
		cmocka_unit_test(the_manual_has_each_option_and_key),
		cmocka_unit_test(list_has_each_driver_option_and_reason),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
