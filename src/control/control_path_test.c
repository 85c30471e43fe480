/* SPDX-License-Identifier: BSD-2-Clause */
#include "control_listen.h"
#include "control_path.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define PATIENCE_MS 30000u

static char dir[] = "/tmp/control_path_test.XXXXXX";
static char path[sizeof(dir) + 32];

static int make_dir(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/sock", dir);
	return 0;
}

static int remove_dir(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void a_path_that_is_too_long(void **state)
{
	struct sockaddr_un address;
	struct gw_error err = { 0 };
	char text[CONTROL_PATH_BYTES + 1];

	memset(text, 'x', sizeof(text));
	text[CONTROL_PATH_BYTES] = 0;
	assert_int_equal(control_address(text, &address, &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.text, "at most 107 bytes, this one has 108"));
	text[CONTROL_PATH_BYTES - 1] = 0;
	assert_int_equal(control_address(text, &address, &err), 0);
	assert_int_equal(control_address("", &address, &err), -EINVAL);
}

/* The path for an ordinary user with this XDG_RUNTIME_DIR; root becomes one for the moment. */
static int user_path(const char *runtime_dir, char *text, size_t bytes, struct gw_error *err)
{
	int rc;

	if (geteuid() == 0 && seteuid(65534) < 0)
		skip();
	if (runtime_dir)
		setenv("XDG_RUNTIME_DIR", runtime_dir, 1);
	else
		unsetenv("XDG_RUNTIME_DIR");
	rc = control_default_path(text, bytes, err);
	assert_int_equal(seteuid(getuid()), 0);
	return rc;
}

static void the_path_when_none_is_named(void **state)
{
	struct gw_error err = { 0 };
	char text[CONTROL_PATH_BYTES], far[200];

	assert_int_equal(user_path("/run/user/5", text, sizeof(text), &err), 0);
	assert_string_equal(text, "/run/user/5/guestwire.sock");
	assert_int_equal(user_path(NULL, text, sizeof(text), &err), -ENOENT);
	assert_non_null(strstr(err.text, "give --control PATH"));
	assert_int_equal(user_path("relative", text, sizeof(text), &err), -ENOENT);
	memset(far, '/', sizeof(far));
	far[sizeof(far) - 1] = 0;
	assert_int_equal(user_path(far, text, sizeof(text), &err), -ENAMETOOLONG);
	if (geteuid() != 0)
		return;
	assert_int_equal(control_default_path(text, sizeof(text), &err), 0);
	assert_string_equal(text, "/run/guestwire.sock");
}

static void only_the_owner_may_use_the_socket(void **state)
{
	struct control_listener listener;
	struct gw_error err = { 0 };
	mode_t mask = umask(0);
	struct stat st;

	assert_int_equal(control_listener_open(&listener, path, &err), 0);
	umask(mask);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	control_listener_close(&listener);
	assert_int_equal(lstat(path, &st), -1);
}

static void a_stale_socket_is_replaced(void **state)
{
	struct control_listener listener;
	struct gw_error err = { 0 };
	struct sockaddr_un address;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	control_address(path, &address, NULL);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(control_listener_open(&listener, path, &err), 0);
	control_listener_close(&listener);
}

static void a_socket_somebody_listens_on_is_not(void **state)
{
	struct control_listener first, second;
	struct gw_error err = { 0 };
	struct stat st;

	assert_int_equal(control_listener_open(&first, path, &err), 0);
	assert_int_equal(control_listener_open(&second, path, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another daemon listens"));
	assert_false(control_listener_ends(path, PATIENCE_MS));
	control_listener_close(&second);
	assert_int_equal(lstat(path, &st), 0);
	control_listener_close(&first);
}

static bool is_zombie(pid_t pid)
{
	char name[64], state = 0;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
	file = fopen(name, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
	fclose(file);
	return state == 'Z';
}

/* Its first thread is over, which makes the process an ending one; this one ends it. */
static void *end_when_asked(void *arg)
{
	struct pollfd listener = { .fd = *(int *)arg, .events = POLLIN };

	/* open's question, and then that of ends */
	for (int questions = 0; questions < 2; questions++)
		if (poll(&listener, 1, -1) != 1 || accept(listener.fd, NULL, NULL) < 0)
			_exit(1);
	_exit(0);
}

static void be_a_listener_that_ends(int told)
{
	static struct control_listener listener;
	pthread_t thread;

	if (control_listener_open(&listener, path, NULL) < 0 ||
	    pthread_create(&thread, NULL, end_when_asked, &listener.fd))
		_exit(1);
	if (write(told, "x", 1) != 1)
		_exit(1);
	/* The thread alone, not by pthread_exit: what it would run is cmocka's. */
	syscall(SYS_exit, 0);
}

static void one_that_is_ending_is_waited_for(void **state)
{
	struct control_listener listener;
	struct gw_error err = { 0 };
	int told[2], status;
	char byte;
	pid_t pid;

	assert_int_equal(pipe(told), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		be_a_listener_that_ends(told[1]);
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_int_equal(control_listener_open(&listener, path, &err), -EADDRINUSE);
	while (!is_zombie(pid))
		sched_yield();
	assert_true(control_listener_ends(path, PATIENCE_MS));
	assert_int_equal(control_listener_open(&listener, path, &err), 0);
	control_listener_close(&listener);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(told[0]);
	close(told[1]);
}

static void what_is_no_socket_is_not_touched(void **state)
{
	struct control_listener listener;
	struct gw_error err = { 0 };
	struct stat st;

	close(open(path, O_CREAT | O_WRONLY, 0644));
	assert_int_equal(control_listener_open(&listener, path, &err), -EEXIST);
	assert_non_null(strstr(err.text, "no socket"));
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	unlink(path);
}

static void the_socket_of_a_successor_is_not_removed(void **state)
{
	struct control_listener first, second;
	struct gw_error err = { 0 };
	struct stat st;

	assert_int_equal(control_listener_open(&first, path, &err), 0);
	unlink(path);
	assert_int_equal(control_listener_open(&second, path, &err), 0);
	control_listener_close(&first);
	assert_int_equal(lstat(path, &st), 0);
	control_listener_close(&second);
}

static void a_folder_that_is_not_there(void **state)
{
	struct control_listener listener;
	struct gw_error err = { 0 };

	assert_int_equal(control_listener_open(&listener, "/nonexistent/dir/s", &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/dir/s"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_that_is_too_long),
		cmocka_unit_test(the_path_when_none_is_named),
		cmocka_unit_test(only_the_owner_may_use_the_socket),
		cmocka_unit_test(a_stale_socket_is_replaced),
		cmocka_unit_test(a_socket_somebody_listens_on_is_not),
		cmocka_unit_test(one_that_is_ending_is_waited_for),
		cmocka_unit_test(what_is_no_socket_is_not_touched),
		cmocka_unit_test(the_socket_of_a_successor_is_not_removed),
		cmocka_unit_test(a_folder_that_is_not_there),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
