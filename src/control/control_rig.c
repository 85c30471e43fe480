/* SPDX-License-Identifier: BSD-2-Clause */
#include "control_rig.h"

#include "atomic.h"
#include "control_path.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

char rig_dir[] = "/tmp/control_test.XXXXXX";
char rig_path[RIG_PATH_BYTES];

static void count_stop(void *arg)
{
	gw_atomic_add(&((struct rig *)arg)->stops, 1);
}

struct control_actions rig_actions(struct rig *rig)
{
	return (struct control_actions){ .stop = count_stop, .arg = rig };
}

static void *run_loop(void *arg)
{
	gw_loop_run(arg);
	return NULL;
}

void rig_loop_start(struct rig *rig)
{
	pthread_create(&rig->thread, NULL, run_loop, rig->loop);
}

void rig_loop_stop(struct rig *rig)
{
	gw_loop_quit(rig->loop);
	pthread_join(rig->thread, NULL);
}

int rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct control_actions actions = rig_actions(rig);
	struct gw_error err;

	fake_context_fill(&rig->context);
	assert_int_equal(gw_loop_create(&rig->loop), 0);
	assert_int_equal(control_server_open(&rig->server, rig->loop, &rig->context, rig_path, -1,
					     &actions, &err),
			 0);
	assert_int_equal(control_server_serve(rig->server, &err), 0);
	rig_loop_start(rig);
	*state = rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;

	rig_loop_stop(rig);
	control_server_close(rig->server);
	gw_loop_destroy(rig->loop);
	assert_int_equal(rig->context.taken, rig->context.freed);
	free(rig);
	return 0;
}

int rig_make_dir(void **state)
{
	if (!mkdtemp(rig_dir))
		return -1;
	snprintf(rig_path, sizeof(rig_path), "%s/sock", rig_dir);
	return 0;
}

int rig_remove_dir(void **state)
{
	return rmdir(rig_dir);
}

/* ---- a client by hand ---- */

int dial(void)
{
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	control_address(rig_path, &address, NULL);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

bool hear(int fd, char *buf, size_t bytes)
{
	size_t used = 0;

	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t got;

		assert_int_equal(poll(&pfd, 1, DEADLINE_MS), 1);
		assert_true(used < bytes);
		got = recv(fd, buf + used, 1, 0);
		if (got <= 0)
			return false;
		if (buf[used] == '\n')
			break;
		used++;
	}
	buf[used] = 0;
	return true;
}

bool is_closed(int fd)
{
	char c;

	return !hear(fd, &c, 1);
}

void expect(int fd, const char *word, const char *other)
{
	static char line[1 << 20];

	assert_true(hear(fd, line, sizeof(line)));
	if (!strstr(line, word) || !strstr(line, other))
		fail_msg("no '%s' and '%s' in: %s", word, other, line);
}

void expect_alive(void)
{
	int fd = dial();

	say(fd, "{\"command\":\"version\"}\n");
	expect(fd, "\"ok\":true", "9.8.7");
	close(fd);
}
