/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A control server of a daemon that is not there, on a thread of its own, and a client by
 * hand, whose every step has a deadline.
 */
#pragma once

#include "control_server.h"
#include "fake_guestwire.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define DEADLINE_MS    5000
#define RIG_PATH_BYTES 64u

struct rig {
	struct gw_context context;
	struct gw_loop *loop;
	struct control_server *server;
	pthread_t thread;
	unsigned int stops;
};

/* A folder of the program's own, and the socket in it. */
extern char rig_dir[];
extern char rig_path[RIG_PATH_BYTES];

/* cmocka's: of the group, and of each test. */
int rig_make_dir(void **state);
int rig_remove_dir(void **state);
int rig_setup(void **state);
int rig_teardown(void **state);
#define RIG_TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

/* What the server calls: they count. */
struct control_actions rig_actions(struct rig *rig);
/* The server's thread. */
void rig_loop_start(struct rig *rig);
void rig_loop_stop(struct rig *rig);

int dial(void);
void say(int fd, const char *text);
/* One line without its newline into buf; false: end of file before it. */
bool hear(int fd, char *buf, size_t bytes);
bool is_closed(int fd);
/* The next answer on fd has both words. */
void expect(int fd, const char *word, const char *other);
/* The server still does what it is for. */
void expect_alive(void);
