/* SPDX-License-Identifier: BSD-2-Clause */
/* Rights from inside: what a child process holds that gave some away, or became a user. */
#include "confine.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define PATH_BYTES       128
/* What a child exits with that could not be confined: another number than show_rights() has. */
#define CHILD_UNCONFINED 200

static char dir[] = "/tmp/confine_rights_test.XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int show_rights(void)
{
	uint64_t held = 0;

	capng_get_caps_process();
	for (unsigned int i = 0; i < 64; i++)
		if (capng_have_capability(CAPNG_PERMITTED, i) ||
		    capng_have_capability(CAPNG_EFFECTIVE, i))
			held |= 1ull << i;
	return held == 0 ? 0 : held == 1ull << CAP_NET_RAW ? 1 : 2;
}

static int rights_after(uint64_t capabilities)
{
	struct confine_state rights = { 0 };
	struct gw_error err = { 0 };
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (confine_rights(capabilities, &rights, &err) < 0 || !rights.no_new_privileges)
			_exit(CHILD_UNCONFINED);
		_exit(show_rights());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void only_the_capabilities_that_are_needed_stay(void **state)
{
	bool raw;

	assert_int_equal(rights_after(0), 0);
	capng_get_caps_process();
	raw = capng_have_capability(CAPNG_PERMITTED, CAP_NET_RAW);
	/* One that is not held is not asked for. */
	assert_int_equal(rights_after(1ull << CAP_NET_RAW), raw ? 1 : 0);
}

static void unknown_users_are_told(void **state)
{
	const struct confine_plan plan = { .on = true };
	struct gw_error err = { 0 };

	assert_int_equal(confine_user(&plan, "no-such-user-here", &err), -ENOENT);
	assert_non_null(strstr(err.text, "there is no user 'no-such-user-here'"));
	assert_int_equal(confine_user(&plan, "root:no-such-group-here", &err), -ENOENT);
	assert_non_null(strstr(err.text, "there is no group 'no-such-group-here'"));
	assert_int_equal(confine_user(&plan, ":root", &err), -EINVAL);
	/* So is guestwired --check, which becomes nobody. */
	assert_int_equal(confine_user_look("no-such-user-here", &err), -ENOENT);
	assert_int_equal(confine_user_look("root:no-such-group-here", &err), -ENOENT);
	assert_int_equal(confine_user_look("root:root", &err), 0);
}

static int become_nobody(const struct confine_plan *plan)
{
	struct confine_state rights = { 0 };
	struct gw_error err = { 0 };

	if (confine_user(plan, "nobody", &err) < 0)
		return CHILD_UNCONFINED;
	capng_get_caps_process();
	if (geteuid() == 0 || getuid() == 0 ||
	    !capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_RAW) ||
	    capng_have_capability(CAPNG_PERMITTED, CAP_SYS_ADMIN))
		return 1;
	/* A file of the user's, where only root may make one. */
	if (open(in_dir("nobodys"), O_RDWR | O_CREAT | O_CLOEXEC, 0600) < 0)
		return 2;
	/* Not the filter: capabilities could not be read after it. */
	if (confine_rights(0, &rights, &err) < 0)
		return CHILD_UNCONFINED;
	return show_rights() == 0 ? 0 : 3;
}

static void the_user_has_what_the_start_needs_and_then_nothing(void **state)
{
	const struct confine_plan plan = { .on = true, .start_capabilities = 1ull << CAP_NET_RAW };
	struct stat st;
	int status = 0;
	pid_t pid;

	capng_get_caps_process();
	if (geteuid() != 0 || !capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID)) {
		print_message("only root can change the user\n");
		skip();
	}
	pid = fork();
	if (pid == 0)
		_exit(become_nobody(&plan));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_UNCONFINED) {
		print_message("'nobody' is no user of this namespace\n");
		skip();
	}
	assert_int_equal(status, 0);
	assert_int_equal(stat(in_dir("nobodys"), &st), 0);
	assert_int_not_equal(st.st_uid, 0);
	unlink(in_dir("nobodys"));
}

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_capabilities_that_are_needed_stay),
		cmocka_unit_test(unknown_users_are_told),
		cmocka_unit_test(the_user_has_what_the_start_needs_and_then_nothing),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
