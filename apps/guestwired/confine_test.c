/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Confinement from inside: a child process confines itself and then does one thing,
 * which is possible, refused, or its end. Rights and users are confine_rights_test.c's;
 * drivers are those of fake_guestwire.c.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define PATH_BYTES 128
/* Sanitizers look for threads there. */
#ifdef CONFINE_SANITIZED
#define PROC_ERROR 0
#else
#define PROC_ERROR EACCES
#endif
/* What a child exits with that could not be confined: another number than any errno here. */
#define CHILD_UNCONFINED 200

static char dir[] = "/tmp/confine_test.XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* ---- a child, confined ---- */

/* Returns the exit status: 0 or an errno; negative for a signal. */
static int confined(const struct confine_plan *plan, int (*fn)(void))
{
	struct gw_error err = { 0 };
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (confine_thread(plan, NULL, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			_exit(CHILD_UNCONFINED);
		}
		_exit(fn());
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int result(long rc)
{
	return rc < 0 ? errno : 0;
}

/* ---- what kills ---- */

static int do_execve(void)
{
	char *argv[] = { (char *)"true", NULL };

	return result(execve("/bin/true", argv, NULL));
}

static int do_fork(void)
{
	return result(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static int do_ptrace(void)
{
	return result(ptrace(PTRACE_TRACEME, 0, 0, 0));
}

static int do_mount(void)
{
	return result(mount("none", dir, "tmpfs", 0, NULL));
}

static int do_unshare(void)
{
	return result(unshare(CLONE_NEWUSER));
}

static int do_tcp_socket(void)
{
	return result(socket(AF_INET, SOCK_STREAM, 0));
}

static int do_packet_socket(void)
{
	return result(socket(AF_PACKET, SOCK_RAW, 0));
}

static int do_code_in_memory(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);

	return at == MAP_FAILED ? errno : 0;
}

static int do_memory_to_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return result(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

static int do_kill(void)
{
	return result(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int do_bpf(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
	};

	return result(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int do_setrlimit(void)
{
	struct rlimit limit = { 0 };

	return result(syscall(SYS_prlimit64, 0, RLIMIT_CORE, &limit, NULL));
}

static int do_terminal_input(void)
{
	return result(ioctl(0, TIOCSTI, "x"));
}

static int do_setuid(void)
{
	return result(syscall(SYS_setresuid, 0, 0, 0));
}

static int do_another_filter(void)
{
	return result(syscall(SYS_seccomp, 0, 0, NULL));
}

static int do_io_uring(void)
{
	return result(syscall(SYS_io_uring_setup, 1, NULL));
}

struct deed {
	const char *name;
	int (*fn)(void);
	bool sanitizers_need_it;
};

static const struct deed deadly[] = {
	{ "execve", do_execve, true },
	{ "fork", do_fork, true },
	{ "ptrace", do_ptrace, true },
	{ "mount", do_mount, false },
	{ "unshare", do_unshare, false },
	{ "a TCP socket", do_tcp_socket, false },
	{ "a packet socket", do_packet_socket, false },
	{ "memory for code", do_code_in_memory, false },
	{ "memory made code", do_memory_to_code, false },
	{ "a signal to another process", do_kill, false },
	{ "bpf", do_bpf, false },
	{ "a new limit", do_setrlimit, true },
	{ "input faked on a terminal", do_terminal_input, false },
	{ "setresuid", do_setuid, false },
	{ "seccomp", do_another_filter, false },
	{ "io_uring_setup", do_io_uring, false },
};

static void a_call_outside_of_the_list_kills(void **state)
{
	const struct confine_plan plan = { .on = true };

	for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++) {
		int status;

#ifdef CONFINE_SANITIZED
		if (deadly[i].sanitizers_need_it)
			continue;
#endif
		status = confined(&plan, deadly[i].fn);
		if (status != -SIGSYS)
			fail_msg("%s: ends with %d, not SIGSYS", deadly[i].name, status);
	}
}

/* ---- what is possible ---- */

static void *idle(void *arg)
{
	pthread_setname_np(pthread_self(), "idle");
	return arg;
}

static int do_thread(void)
{
	pthread_t thread;
	int rc = pthread_create(&thread, NULL, idle, NULL);

	if (rc == 0) {
		pthread_kill(thread, 0);
		rc = pthread_join(thread, NULL);
	}
	return rc;
}

static int do_memory(void)
{
	char *big = malloc(64u << 20);
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc = EIO;

	if (big && fd >= 0 && ftruncate(fd, 4096) == 0)
		rc = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED
			     ? errno
			     : 0;
	free(big);
	return rc;
}

static int do_unix_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", dir);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return errno;
	return result(unlink(address.sun_path));
}

static int do_file(void)
{
	char other[PATH_BYTES];
	int fd = open(in_dir("record.new"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	snprintf(other, sizeof(other), "%s/record", dir);
	if (fd < 0 || ftruncate(fd, 8192) < 0 || rename(in_dir("record.new"), other) < 0)
		return errno;
	return result(unlink(other));
}

static int do_limits(void)
{
	struct rlimit limit;

	return result(getrlimit(RLIMIT_MEMLOCK, &limit));
}

static int do_abort(void)
{
	abort();
}

static void what_the_daemon_does_is_possible(void **state)
{
	struct confine_plan plan = { .on = true };

	assert_int_equal(confine_plan_path(&plan, dir, CONFINE_SOCKETS | CONFINE_RECORDS), 0);
	assert_int_equal(confined(&plan, do_thread), 0);
	assert_int_equal(confined(&plan, do_memory), 0);
	assert_int_equal(confined(&plan, do_unix_socket), 0);
	assert_int_equal(confined(&plan, do_file), 0);
	assert_int_equal(confined(&plan, do_limits), 0);
	assert_int_equal(confined(&plan, do_abort), -SIGABRT);
	confine_plan_free(&plan);
}

static int do_datagram_socket(void)
{
	return result(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

/* A family that a driver needs is there for its ports, and for no others. */
static void a_driver_has_what_it_needs(void **state)
{
	static const struct gw_needs needs = { .families = 1ull << AF_INET,
					       .start_capabilities = 1ull << CAP_NET_ADMIN,
					       .capabilities = 1ull << CAP_NET_RAW,
					       .target_is_socket = true };
	static const struct gw_driver driver = { .name = "x", .needs = &needs };
	struct confine_plan plan = { .on = true };

	assert_int_equal(confined(&plan, do_datagram_socket), -SIGSYS);
	assert_int_equal(confine_plan_driver(&plan, &driver, in_dir("t")), 0);
	assert_int_equal(plan.capabilities, 1ull << CAP_NET_RAW);
	assert_int_equal(plan.start_capabilities, 1ull << CAP_NET_ADMIN);
	assert_int_equal(plan.path_count, 1);
	assert_string_equal(plan.paths[0].path, dir);
	assert_int_equal(plan.paths[0].uses, CONFINE_SOCKETS);
	assert_int_equal(confined(&plan, do_datagram_socket), 0);
	assert_int_equal(confined(&plan, do_unix_socket), 0);
	confine_plan_free(&plan);
}

static void folders_are_found(void **state)
{
	static const struct {
		const char *file, *folder;
	} cases[] = { { "/run/a.sock", "/run" },
		      { "/a.sock", "/" },
		      { "a.sock", "." },
		      { "x/a.sock", "x" } };
	struct confine_plan plan = { 0 };

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(confine_plan_folder_of(&plan, cases[i].file, CONFINE_SOCKETS), 0);
		assert_int_equal(plan.path_count, i + 1);
		assert_string_equal(plan.paths[i].path, cases[i].folder);
	}
	/* A second use of a path is no second path. */
	assert_int_equal(confine_plan_folder_of(&plan, "/run/b.sock", CONFINE_READS), 0);
	assert_int_equal(plan.path_count, 4);
	assert_int_equal(plan.paths[0].uses, CONFINE_SOCKETS | CONFINE_READS);
	confine_plan_free(&plan);
}

/* ---- paths ---- */

static int do_read_shadow(void)
{
	return result(open("/etc/shadow", O_RDONLY | O_CLOEXEC));
}

static int do_read_passwd(void)
{
	return result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int do_write_tmp(void)
{
	return result(open("/tmp/confine_test.stray", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static int do_list_proc(void)
{
	return result(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int do_read_pagemap(void)
{
	return result(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
}

static int do_write_passwd(void)
{
	return result(open("/etc/passwd", O_RDWR | O_CLOEXEC));
}

/* All that is refused is possible without: else the test would show nothing. */
static void paths_that_are_not_named_are_closed(void **state)
{
	struct confine_plan plan = { .on = true }, off = { .on = false };
	struct confine_state found = { 0 };
	struct gw_error err = { 0 };
	struct confine_plan nothing = { .on = true };
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		confine_thread(&nothing, &found, &err);
		_exit(found.landlock ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0) {
		print_message("this kernel has no Landlock\n");
		skip();
	}
	assert_int_equal(confined(&off, do_read_passwd), 0);
	assert_int_equal(confined(&off, do_read_pagemap), 0);
	assert_int_equal(confined(&plan, do_read_shadow), EACCES);
	assert_int_equal(confined(&plan, do_read_passwd), EACCES);
	assert_int_equal(confined(&plan, do_write_tmp), EACCES);
	assert_int_equal(confined(&plan, do_list_proc), PROC_ERROR);
	assert_int_equal(confined(&plan, do_read_pagemap), PROC_ERROR);
	assert_int_equal(confined(&plan, do_unix_socket), EACCES);
	assert_int_equal(confine_plan_path(&plan, "/etc/passwd", CONFINE_READS), 0);
	assert_int_equal(confine_plan_path(&plan, "/nonexistent/x", CONFINE_READS), 0);
	assert_int_equal(confined(&plan, do_read_passwd), 0);
	assert_int_equal(confined(&plan, do_write_passwd), EACCES);
	assert_int_equal(confined(&plan, do_read_shadow), EACCES);
	confine_plan_free(&plan);
}

/* ---- limits ---- */

static void there_is_no_core_and_room_for_files(void **state)
{
	const struct confine_plan plan = { .on = true, .port_count = 2 };
	struct gw_error err = { 0 };
	struct rlimit files, core;
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (confine_limits(&plan, &err) < 0)
			_exit(1);
		getrlimit(RLIMIT_NOFILE, &files);
		getrlimit(RLIMIT_CORE, &core);
		_exit(core.rlim_max <= 1 && files.rlim_cur >= 4096 ? 0
		      : files.rlim_cur == files.rlim_max           ? 0
								   : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void what_is_in_force_is_said(void **state)
{
	struct confine_state none = { 0 };
	struct confine_state some = {
		.seccomp = true, .landlock = 7, .user = "1:2", .capabilities = "net_raw"
	};
	char text[256];

	confine_say(&none, text, sizeof(text));
	assert_string_equal(text, "not confined");
	confine_say(&some, text, sizeof(text));
	assert_string_equal(text, "confined: capabilities net_raw; no new privileges; system call "
				  "filter; Landlock (version 7); user 1:2");
	some.landlock = 0;
	some.capabilities[0] = 0;
	confine_say(&some, text, sizeof(text));
	assert_non_null(strstr(text, "capabilities none"));
	assert_non_null(strstr(text, "no Landlock in this kernel"));
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
		cmocka_unit_test(a_call_outside_of_the_list_kills),
		cmocka_unit_test(what_the_daemon_does_is_possible),
		cmocka_unit_test(a_driver_has_what_it_needs),
		cmocka_unit_test(folders_are_found),
		cmocka_unit_test(paths_that_are_not_named_are_closed),
		cmocka_unit_test(there_is_no_core_and_room_for_files),
		cmocka_unit_test(what_is_in_force_is_said),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
