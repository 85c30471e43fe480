/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two processes of a hand-over, as two contexts or as one and a socket: who serves
 * the ports when one of them does not keep to its part.
 */
#include <guestwire/guestwire.h>
#include <guestwire/handover.h>

#include "handover_wire.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define LEAVE_MS 200u
/* Within so long a port is tried again, and then runs. */
#define START_MS 30000u
#define LOOK_MS  10

static struct gw_error err;

struct rig {
	char dir[64], path[96], spec[128];
	int socket[2]; /* the one that leaves, the one that takes */
	struct gw_context *old, *new;
	pthread_t leaver;
	int left; /* what gw_leave returned */
	struct gw_error left_err;
};

static struct gw_context *open_ports(const struct rig *rig, const char *first)
{
	struct gw_options options = { .size = sizeof(options),
				      .stop_ms = LEAVE_MS,
				      .state_dir = rig->dir };
	struct gw_context *context;

	assert_int_equal(gw_open(&options, &context, &err), 0);
	assert_int_equal(gw_port_add(context, first ? first : rig->spec, &err), 0);
	assert_int_equal(gw_port_add(context, "n=null:", &err), 0);
	return context;
}

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	snprintf(rig->dir, sizeof(rig->dir), "/tmp/guestwire-handover-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	snprintf(rig->path, sizeof(rig->path), "%s/a.sock", rig->dir);
	snprintf(rig->spec, sizeof(rig->spec), "a=guest:%s", rig->path);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, rig->socket), 0);
	*state = rig;
	return 0;
}

static void shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	gw_close(rig->new);
	gw_close(rig->old);
	shut(&rig->socket[0]);
	shut(&rig->socket[1]);
	unlink(rig->path);
	assert_int_equal(rmdir(rig->dir), 0);
	free(rig);
	return 0;
}

/* ---- the one that leaves ---- */

static void *leave(void *arg)
{
	struct rig *rig = arg;

	rig->left = gw_leave(rig->old, rig->socket[0], LEAVE_MS, &rig->left_err);
	return NULL;
}

static void begin_leave(struct rig *rig)
{
	rig->old = open_ports(rig, NULL);
	assert_int_equal(gw_start(rig->old, &err), 0);
	assert_int_equal(pthread_create(&rig->leaver, NULL, leave, rig), 0);
}

static void end_leave(struct rig *rig)
{
	assert_int_equal(pthread_join(rig->leaver, NULL), 0);
}

static bool all_run(struct gw_context *context)
{
	struct gw_snapshot *snapshot;
	bool all = true;

	assert_int_equal(gw_snapshot_take(context, &snapshot), 0);
	for (unsigned int i = 0; i < snapshot->port_count; i++)
		all &= snapshot->ports[i].state == GW_PORT_RUNNING;
	gw_snapshot_free(snapshot);
	return all;
}

/* Its ports run, and somebody listens on the guest's socket. */
static void goes_on(struct rig *rig)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(all_run(rig->old));
	memcpy(address.sun_path, rig->path, strlen(rig->path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

/* All that was left, thrown away. */
static void take_nothing(struct rig *rig)
{
	struct handover_parcel parcel;
	int ret;

	while ((ret = handover_receive(rig->socket[1], &parcel, &err)) > 0)
		handover_parcel_free(&parcel);
	assert_int_equal(ret, 0);
}

static void both_agree(void **state)
{
	struct rig *rig = *state;

	begin_leave(rig);
	rig->new = open_ports(rig, NULL);
	assert_int_equal(gw_take(rig->new, rig->socket[1], &err), 0);
	rig->socket[1] = -1;
	assert_int_equal(gw_start(rig->new, &err), 0);
	end_leave(rig);
	assert_int_equal(rig->left, 0);
	gw_close(rig->old);
	rig->old = NULL;
	assert_int_equal(access(rig->path, F_OK), 0);
	assert_true(all_run(rig->new));
}

/* ---- the one that takes dies, or is another one ---- */

static void it_is_gone_at_once(void **state)
{
	struct rig *rig = *state;

	shut(&rig->socket[1]);
	begin_leave(rig);
	end_leave(rig);
	assert_true(rig->left < 0);
	goes_on(rig);
}

static void it_is_gone_in_the_middle(void **state)
{
	struct rig *rig = *state;
	char byte;

	begin_leave(rig);
	assert_int_equal(recv(rig->socket[1], &byte, 1, 0), 1);
	shut(&rig->socket[1]);
	end_leave(rig);
	assert_true(rig->left < 0);
	goes_on(rig);
}

static void it_is_gone_before_it_has_started(void **state)
{
	struct rig *rig = *state;

	begin_leave(rig);
	take_nothing(rig);
	shut(&rig->socket[1]);
	end_leave(rig);
	assert_true(rig->left < 0);
	goes_on(rig);
}

/* Its ports were up: it may not be relied upon any more, but it has not touched a ring. */
static void it_is_gone_before_it_hears_that_all_is_its(void **state)
{
	struct rig *rig = *state;

	begin_leave(rig);
	take_nothing(rig);
	assert_int_equal(shutdown(rig->socket[1], SHUT_RD), 0);
	assert_int_equal(handover_answer(rig->socket[1], &err), 0);
	end_leave(rig);
	assert_int_equal(rig->left, -EPIPE);
	goes_on(rig);
}

/* The file of the port's record, or one like it, locked. */
static int lock_record(const struct rig *rig, const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	return fd;
}

static void find_record(const struct rig *rig, char *name, size_t room)
{
	DIR *dir = opendir(rig->dir);
	const struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		if (strstr(entry->d_name, ".record"))
			snprintf(name, room, "%s", entry->d_name);
	closedir(dir);
	assert_true(name[0]);
}

/* It hangs, or is slow to die, and keeps what it opened: so does a NIC's queue. */
static void it_keeps_what_a_port_needs_for_a_while(void **state)
{
	struct rig *rig = *state;
	char name[256] = "";
	int fd;

	rig->old = open_ports(rig, NULL);
	assert_int_equal(gw_start(rig->old, &err), 0);
	find_record(rig, name, sizeof(name));
	assert_int_equal(pthread_create(&rig->leaver, NULL, leave, rig), 0);
	take_nothing(rig);
	fd = lock_record(rig, name);
	shut(&rig->socket[1]);
	end_leave(rig);
	assert_true(rig->left < 0);
	assert_false(all_run(rig->old));
	close(fd);
	for (unsigned int i = 0; i < START_MS / LOOK_MS && !all_run(rig->old); i++)
		poll(NULL, 0, LOOK_MS);
	goes_on(rig);
}

static void it_says_something_else(void **state)
{
	struct rig *rig = *state;

	begin_leave(rig);
	take_nothing(rig);
	assert_int_equal(send(rig->socket[1], "n", 1, MSG_NOSIGNAL), 1);
	end_leave(rig);
	assert_int_equal(rig->left, -EPROTO);
	goes_on(rig);
}

/* ---- the one that leaves does ---- */

/*
 * It waited for long enough, and serves its guests again: two processes on one ring
 * would complete each descriptor twice.
 */
static void nobody_starts_whom_the_other_did_not_wait_for(void **state)
{
	struct rig *rig = *state;

	rig->new = open_ports(rig, NULL);
	assert_int_equal(handover_send_end(rig->socket[0], &err), 0);
	assert_int_equal(gw_take(rig->new, rig->socket[1], &err), 0);
	rig->socket[1] = -1;
	shut(&rig->socket[0]);
	assert_true(gw_start(rig->new, &err) < 0);
	assert_non_null(strstr(err.text, "goes on itself"));
}

/* Of the same name, but it was a guest's: not for a driver that reads it as its own. */
static void a_port_of_another_driver_is_not_taken(void **state)
{
	static const char bytes[] = "not what a guest leaves";
	struct rig *rig = *state;
	int fd = dup(0);
	struct gw_parcel parcel = {
		.bytes = (uint8_t *)bytes, .len = sizeof(bytes), .fds = &fd, .fd_count = 1
	};

	assert_true(fd >= 0);
	rig->new = open_ports(rig, NULL);
	assert_int_equal(handover_send(rig->socket[0], "a", "tap", &parcel, &err), 0);
	close(fd);
	assert_int_equal(handover_send_end(rig->socket[0], &err), 0);
	assert_int_equal(gw_take(rig->new, rig->socket[1], &err), 0);
	rig->socket[1] = -1;
	assert_int_equal(handover_agree(rig->socket[0], &err), 0);
	if (gw_start(rig->new, &err))
		fail_msg("%s", err.text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(both_agree),
		TEST(it_is_gone_at_once),
		TEST(it_is_gone_in_the_middle),
		TEST(it_is_gone_before_it_has_started),
		TEST(it_is_gone_before_it_hears_that_all_is_its),
		TEST(it_keeps_what_a_port_needs_for_a_while),
		TEST(it_says_something_else),
		TEST(nobody_starts_whom_the_other_did_not_wait_for),
		TEST(a_port_of_another_driver_is_not_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
