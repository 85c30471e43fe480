/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket against clients that do it right, and the client of the programs. */
#include "control_server.h"
#include "atomic.h"
#include "control_client.h"
#include "control_pass.h"
#include "control_rig.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void show_and_version(void **state)
{
	json_t *request = json_pack("{s:s, s:n}", "command", "show", "port"), *reply;
	struct gw_error err;

	assert_int_equal(control_client_call(rig_path, request, DEADLINE_MS, &reply, &err), 0);
	assert_int_equal(json_array_size(json_object_get(reply, "ports")), 3);
	json_decref(reply);
	json_object_set_new(request, "port", json_string("up"));
	assert_int_equal(control_client_call(rig_path, request, DEADLINE_MS, &reply, &err), 0);
	assert_int_equal(json_array_size(json_object_get(reply, "ports")), 1);
	json_decref(reply);
	json_decref(request);
	expect_alive();
}

static void several_requests_on_one_connection(void **state)
{
	int fd = dial();

	say(fd, "{\"command\":\"version\"}\n{\"command\":\"show\",\"port\":\"up\"}\n");
	say(fd, "{\"command\":\"version\"}\n");
	expect(fd, "ok", "9.8.7");
	expect(fd, "ports", "\"up\"");
	expect(fd, "ok", "9.8.7");
	close(fd);
}

static void a_queue_pair_is_moved_or_stays(void **state)
{
	int fd = dial();

	say(fd, "{\"command\":\"move\",\"port\":\"a\",\"pair\":1,\"worker\":0}\n");
	expect(fd, "ok", "true");
	say(fd, "{\"command\":\"move\",\"port\":\"b\",\"pair\":1,\"worker\":0}\n");
	expect(fd, "code", "unknown_port");
	say(fd, "{\"command\":\"move\",\"port\":\"a\",\"pair\":1,\"worker\":2}\n");
	expect(fd, "code", "bad_request");
	say(fd, "{\"command\":\"move\",\"port\":\"a\",\"pair\":-1,\"worker\":0}\n");
	expect(fd, "code", "bad_request");
	say(fd, "{\"command\":\"move\",\"port\":\"a\",\"worker\":0}\n");
	expect(fd, "code", "bad_request");
	say(fd, "{\"command\":\"move\",\"port\":7,\"pair\":0,\"worker\":0}\n");
	expect(fd, "code", "bad_request");
	close(fd);
}

static void a_request_in_pieces(void **state)
{
	int fd = dial();

	for (const char *p = "{\"command\":\"version\"}\n"; *p; p++)
		assert_int_equal(send(fd, p, 1, 0), 1);
	expect(fd, "ok", "9.8.7");
	close(fd);
}

static void a_client_that_shuts_its_side_down_is_answered(void **state)
{
	int fd = dial();

	say(fd, "{\"command\":\"version\"}\n{\"command\":\"version\"}\n");
	shutdown(fd, SHUT_WR);
	expect(fd, "ok", "9.8.7");
	expect(fd, "ok", "9.8.7");
	assert_true(is_closed(fd));
	close(fd);
}

static void stop_is_answered_when_all_is_stopped(void **state)
{
	struct rig *rig = *state;
	struct pollfd pfd = { .events = POLLIN };
	int fd = dial(), late;

	say(fd, "{\"command\":\"stop\"}\n");
	expect_alive();
	pfd.fd = fd;
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(gw_load_acquire(&rig->stops), 1);
	control_server_stopped(rig->server, 7);
	expect(fd, "\"stopped\":true", "\"quarantined\":7");
	assert_true(is_closed(fd));
	late = dial();
	say(late, "{\"command\":\"stop\"}\n");
	expect(late, "\"stopped\":true", "\"quarantined\":7");
	close(late);
	close(fd);
}

static void after_detach_the_path_is_free(void **state)
{
	struct rig *rig = *state;
	int fd = dial();

	say(fd, "{\"command\":\"version\"}\n");
	expect(fd, "ok", "9.8.7");
	control_server_detach(rig->server);
	assert_int_equal(access(rig_path, F_OK), -1);
	say(fd, "{\"command\":\"show\"}\n");
	expect(fd, "stopping", "stopped its ports");
	say(fd, "{\"command\":\"stop\"}\n");
	control_server_stopped(rig->server, 0);
	expect(fd, "\"stopped\":true", "\"quarantined\":0");
	close(fd);
}

static void a_client_that_leaves_while_it_waits_for_stop(void **state)
{
	struct rig *rig = *state;
	int fd = dial();

	say(fd, "{\"command\":\"stop\"}\n");
	close(fd);
	expect_alive();
	control_server_stopped(rig->server, 0);
}

/* Who connects while the daemon starts is not refused, and is answered when it is ready. */
static void a_client_that_comes_before_the_daemon_is_ready(void **state)
{
	struct rig *rig = *state;
	struct control_actions actions = rig_actions(rig);
	struct control_server *server;
	struct gw_error err;
	char usual[sizeof(rig_path)];
	struct pollfd pfd = { .events = POLLIN };

	memcpy(usual, rig_path, sizeof(rig_path));
	snprintf(rig_path, sizeof(rig_path), "%s/early", rig_dir);
	assert_int_equal(control_server_open(&server, rig->loop, &rig->context, rig_path, -1,
					     &actions, &err),
			 0);
	pfd.fd = dial();
	say(pfd.fd, "{\"command\":\"version\"}\n");
	assert_int_equal(poll(&pfd, 1, 0), 0);
	assert_int_equal(control_server_serve(server, &err), 0);
	expect(pfd.fd, "ok", "9.8.7");
	close(pfd.fd);
	rig_loop_stop(rig);
	control_server_close(server);
	memcpy(rig_path, usual, sizeof(rig_path));
	rig_loop_start(rig);
}

/* ---- hand-over ---- */

/* Hands over, and returns what came: the listening socket. */
static int take_listener(struct rig *rig)
{
	struct gw_error err;
	int pair[2], listener_fd = -1;
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(control_server_hand_over(rig->server, pair[0], &err), 0);
	for (byte = 0; byte != '\n';)
		assert_int_equal(control_pass_receive(pair[1], &byte, &listener_fd), 1);
	close(pair[0]);
	assert_int_equal(control_pass_receive(pair[1], &byte, &listener_fd), 0);
	close(pair[1]);
	assert_true(listener_fd >= 0);
	return listener_fd;
}

/* A client that comes while nobody serves. */
static int dial_and_wait(void)
{
	struct pollfd pfd = { .fd = dial(), .events = POLLIN };

	say(pfd.fd, "{\"command\":\"version\"}\n");
	assert_int_equal(poll(&pfd, 1, 0), 0);
	return pfd.fd;
}

/* The daemon that takes over: it has the listening socket, and does not serve yet. */
static struct control_server *open_other(struct rig *rig)
{
	struct control_actions actions = rig_actions(rig);
	struct control_server *other;

	assert_int_equal(control_server_open(&other, rig->loop, &rig->context, rig_path,
					     take_listener(rig), &actions, NULL),
			 0);
	return other;
}

static void a_hand_over_that_comes_to_nothing(void **state)
{
	struct rig *rig = *state;
	struct control_server *other = open_other(rig);
	int fd = dial_and_wait();
	struct gw_error err;

	control_server_close(other);
	assert_int_equal(access(rig_path, F_OK), 0);
	assert_int_equal(control_server_resume(rig->server, &rig->context, &err), 0);
	expect(fd, "ok", "9.8.7");
	close(fd);
	expect_alive();
	control_server_detach(rig->server);
	assert_int_equal(access(rig_path, F_OK), -1);
}

static void another_one_serves_those_who_wait(void **state)
{
	struct rig *rig = *state;
	struct control_server *other = open_other(rig);
	int fd = dial_and_wait();
	struct gw_error err;

	assert_int_equal(control_server_serve(other, &err), 0);
	expect(fd, "ok", "9.8.7");
	close(fd);
	control_server_detach(rig->server);
	assert_int_equal(access(rig_path, F_OK), 0);
	expect_alive();
	control_server_detach(other);
	assert_int_equal(access(rig_path, F_OK), -1);
	rig_loop_stop(rig);
	control_server_close(other);
	rig_loop_start(rig);
}

/* ---- the client ---- */

static void nobody_is_there(void **state)
{
	json_t *request = json_pack("{s:s}", "command", "version"), *reply = NULL;
	struct gw_error err;

	assert_int_equal(control_client_call("/nonexistent/s", request, 100, &reply, &err),
			 -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/s; is guestwired running?"));
	json_decref(request);
}

static void a_daemon_that_does_not_answer(void **state)
{
	json_t *request = json_pack("{s:s}", "command", "stop"), *reply = NULL;
	struct gw_error err;

	assert_int_equal(control_client_call(rig_path, request, 50, &reply, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "within 50 ms"));
	json_decref(request);
}

static void the_words_of_the_daemon_reach_the_user(void **state)
{
	json_t *request = json_pack("{s:s, s:s}", "command", "show", "port", "zz"), *reply = NULL;
	struct gw_error err;

	assert_int_equal(control_client_call(rig_path, request, DEADLINE_MS, &reply, &err),
			 -EREMOTEIO);
	assert_string_equal(err.text, "no port named 'zz'; there are a, up, raw");
	json_decref(request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(show_and_version),
		RIG_TEST(several_requests_on_one_connection),
		RIG_TEST(a_queue_pair_is_moved_or_stays),
		RIG_TEST(a_request_in_pieces),
		RIG_TEST(a_client_that_shuts_its_side_down_is_answered),
		RIG_TEST(stop_is_answered_when_all_is_stopped),
		RIG_TEST(after_detach_the_path_is_free),
		RIG_TEST(a_client_that_leaves_while_it_waits_for_stop),
		RIG_TEST(a_client_that_comes_before_the_daemon_is_ready),
		RIG_TEST(a_hand_over_that_comes_to_nothing),
		RIG_TEST(another_one_serves_those_who_wait),
		RIG_TEST(nobody_is_there),
		RIG_TEST(a_daemon_that_does_not_answer),
		RIG_TEST(the_words_of_the_daemon_reach_the_user),
	};

	return cmocka_run_group_tests(tests, rig_make_dir, rig_remove_dir);
}
