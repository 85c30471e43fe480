/* SPDX-License-Identifier: BSD-2-Clause */
#include "show_text.h"
#include "control_json.h"
#include "fake_guestwire.h"
#include "human.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* The text for a reply, which is consumed. */
static char *picture(json_t *reply)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	show_text(out, reply);
	fclose(out);
	json_decref(reply);
	return text;
}

static void the_whole_picture(void **state)
{
	static const char golden[] =
		"guestwired 9.8.7, pid 42: 1 worker, 8.00 MiB for copies\n"
		"worker 0: 3.0 % busy, 1.0 % polling, 96.0 % asleep; polls 4.10 us before it "
		"sleeps; 15.0 k sleeps, longest round 5.00 us\n"
		"\n"
		"PORT  DRIVER  TARGET       NETWORK  STATE    DEVICE READS  IN    OUT   STATUS\n"
		"a     guest   /run/a.sock  red      running  delivery      1100  0     connected\n"
		"up    xdp     eth1         red      running  kernel-copy   0     1000  queue 0, "
		"copy bind\n"
		"raw   packet  eth2         red      running  bounce        0     0     -\n"
		"\n"
		"a\n"
		"  handed on within       50 % 3.58 us   99 % 3.58 us   99.9 % 150 us   all 150 "
		"us\n"
		"  dropped where they came in, because\n"
		"    bad_header                  3  the virtio-net header asks for what was not "
		"negotiated or cannot be\n"
		"\n"
		"a -> up\n"
		"  can the device read this memory? partly, up to 17 segments a frame\n"
		"    eth1: copy bind on veth\n"
		"    the kernel copies each lent frame once\n"
		"  lent                      990 frames   99.0 %   1.43 MiB   99.9 %\n"
		"  copied by guestwire        10 frames    1.0 %   1.95 KiB    0.1 %\n"
		"  copied by the kernel      990 frames   99.0 %   1.43 MiB   99.9 %\n"
		"  loans                      12 now          64 at most of 128\n"
		"  bounce buffers              0 now           3 at most of 64\n"
		"  copied because\n"
		"    copybreak                   8       800 B  shorter than the port's copybreak: "
		"the guest has its buffer back at once\n"
		"    loans_out                   2    1.17 KiB  the pair's share of loans is in "
		"the device already\n"
		"  dropped because\n"
		"    egress_full                 5  the egress device takes no more and the pair's "
		"loans and bounce buffers are used up\n"
		"\n"
		"a -> raw\n"
		"  can the device read this memory? no: device_cannot_read, the device has no way "
		"to read memory that is not its own\n"
		"    eth2: the device reads its own ring\n"
		"  lent                        0 frames    0.0 %        0 B    0.0 %\n"
		"  copied by guestwire       100 frames  100.0 %   9.77 KiB  100.0 %\n"
		"  copied by the kernel        0 frames    0.0 %        0 B    0.0 %\n"
		"  loans                       0 now           0 at most of 0\n"
		"  bounce buffers              0 now           0 at most of 64\n"
		"  copied because\n"
		"    device_cannot_read        100    9.77 KiB  the device has no way to read "
		"memory that is not its own\n";
	struct gw_context context;
	json_t *reply;
	char *text;

	fake_context_fill(&context);
	reply = control_json_snapshot(&context.snapshot, NULL);
	json_object_set_new(reply, "version", json_string("9.8.7"));
	json_object_set_new(reply, "pid", json_integer(42));
	text = picture(reply);
	assert_string_equal(text, golden);
	free(text);
}

static void a_daemon_without_traffic(void **state)
{
	struct gw_context context;
	char *text;

	fake_context_fill(&context);
	context.snapshot.pair_count = 0;
	text = picture(control_json_snapshot(&context.snapshot, NULL));
	assert_non_null(strstr(text, "\nNo frames between ports yet.\n"));
	free(text);
}

static void frames_in_quarantine_are_said(void **state)
{
	struct gw_context context;
	struct gw_port_info port;
	char *text;

	fake_context_fill(&context);
	port = context.snapshot.ports[1];
	port.quarantined = 7;
	context.snapshot.ports = &port;
	context.snapshot.port_count = 1;
	text = picture(control_json_snapshot(&context.snapshot, NULL));
	assert_non_null(strstr(text, "7 frames were never given back by the device"));
	free(text);
}

static void queue_pairs_are_said_where_there_are_several_workers(void **state)
{
	struct gw_worker_info work[3] = { 0 };
	struct gw_context context;
	char *text;

	fake_context_fill(&context);
	text = picture(control_json_snapshot(&context.snapshot, NULL));
	assert_null(strstr(text, "queue pair"));
	free(text);
	context.snapshot.workers = 3;
	context.snapshot.work = work;
	text = picture(control_json_snapshot(&context.snapshot, NULL));
	assert_non_null(strstr(text, "\na\n"
				     "  queue pairs 0 2: worker 0\n"
				     "  queue pair 1: worker 1\n"
				     "  handed on"));
	assert_null(strstr(text, "worker 2"));
	free(text);
}

static void escape_sequences_do_not_reach_the_terminal(void **state)
{
	struct gw_context context;
	struct gw_port_info port;
	char *text;

	fake_context_fill(&context);
	port = context.snapshot.ports[0];
	port.status = "\033[2Jboo\a\n";
	context.snapshot.ports = &port;
	context.snapshot.port_count = 1;
	text = picture(control_json_snapshot(&context.snapshot, NULL));
	assert_non_null(strstr(text, "?[2Jboo??\n"));
	assert_null(strchr(text, '\033'));
	free(text);
}

static void a_reply_of_another_shape(void **state)
{
	static const char *const replies[] = {
		"{}",
		"{\"ports\":5,\"pairs\":[1,null,{}]}",
		"{\"ports\":[{\"name\":7,\"drops\":[]}],\"pairs\":{\"a\":1}}",
		"{\"workers\":2,\"ports\":[{\"queue_pairs\":[7,{}]},{\"queue_pairs\":3}]}",
		"{\"workers\":-1,\"ports\":[{\"queue_pairs\":[{\"worker\":-1}]}]}",
		"{\"pairs\":[{\"lent_frames\":-1,\"copied_frames\":1,\"query\":7}]}",
	};

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		free(picture(json_loads(replies[i], 0, NULL)));
}

static void numbers_for_people(void **state)
{
	assert_string_equal(human_count(0).text, "0");
	assert_string_equal(human_count(9999).text, "9999");
	assert_string_equal(human_count(12345).text, "12.3 k");
	assert_string_equal(human_count(999999).text, "1.00 M");
	assert_string_equal(human_count(UINT64_MAX).text, "18.4 E");
	assert_string_equal(human_bytes(1023).text, "1023 B");
	assert_string_equal(human_bytes(1024).text, "1.00 KiB");
	assert_string_equal(human_bytes((10u << 20) + 5).text, "10.0 MiB");
	assert_string_equal(human_bytes(UINT64_MAX).text, "16.0 EiB");
}

static void all_is_said_only_of_all(void **state)
{
	assert_string_equal(human_percent(1, 0).text, "");
	assert_string_equal(human_percent(5, 5).text, "100.0 %");
	assert_string_equal(human_percent(999999, 1000000).text, "99.9 %");
	assert_string_equal(human_percent(1, 1000000).text, "0.1 %");
	assert_string_equal(human_percent(0, 9).text, "0.0 %");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_picture),
		cmocka_unit_test(a_daemon_without_traffic),
		cmocka_unit_test(frames_in_quarantine_are_said),
		cmocka_unit_test(queue_pairs_are_said_where_there_are_several_workers),
		cmocka_unit_test(escape_sequences_do_not_reach_the_terminal),
		cmocka_unit_test(a_reply_of_another_shape),
		cmocka_unit_test(numbers_for_people),
		cmocka_unit_test(all_is_said_only_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
