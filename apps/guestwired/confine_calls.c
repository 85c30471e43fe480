/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls, by seccomp.
 *
 * The lists below are all that the daemon may ask of the kernel once it is confined;
 * anything else kills the process at once. They come from what the daemon does in all
 * end-to-end tests: scripts/syscalls runs these, and says which call is missing, which
 * is never made, and which spare one is. A name that an architecture does not have is
 * left out by itself.
 *
 * Some calls are allowed with some arguments only. A filter sees numbers, not what
 * pointers lead to: so paths are a matter of Landlock, and clone3, whose flags are in
 * memory, does "not exist", upon which the C library takes clone.
 *
 * The kernel remembers which calls pass whatever their arguments, so that the calls of
 * the data path cost nothing measurable.
 */
#include "confine.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* linux/fs.h has it since 6.7. */
#define PAGEMAP_SCAN_REQUEST 0xc0606610u
/* Not in all headers. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

#define NAMESPACE_FLAGS                                                                \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)

/* ---- whatever the arguments ---- */

static const int plain_calls[] = {
	/* files and sockets that are open */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstatfs),
	SCMP_SYS(ftruncate),
	/* by name: Landlock says which */
	SCMP_SYS(openat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(readlink),
	SCMP_SYS(unlink),
	/* waiting */
	SCMP_SYS(poll),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime),
	/* sockets; which are made is below */
	SCMP_SYS(bind),
	SCMP_SYS(connect),
	SCMP_SYS(accept4),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(getsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(setsockopt),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(madvise),
	SCMP_SYS(memfd_create),
	SCMP_SYS(sysinfo),
	/* threads of this process */
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(getpid),
	SCMP_SYS(sched_yield),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

/* No test makes the daemon need these, and still it may. */
static const int spare_calls[] = {
	/* what the C library takes for some of these on other systems */
	SCMP_SYS(open),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(fstat),
	SCMP_SYS(statx),
	SCMP_SYS(readlinkat),
	SCMP_SYS(unlinkat),
	SCMP_SYS(getrlimit),
	SCMP_SYS(ppoll),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_getres),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(getcpu),
	/* memory when there is much of it, or little */
	SCMP_SYS(mremap),
	SCMP_SYS(msync),
	SCMP_SYS(membarrier),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(getrandom),
	/* records of what is in flight: written beside, then put in place */
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(fallocate),
	SCMP_SYS(flock),
	SCMP_SYS(fchmod),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	/* a daemon that takes over gets our sockets */
	SCMP_SYS(shutdown),
	SCMP_SYS(getpeername),
	/* a port that is started over, on an interface that is there again */
	SCMP_SYS(epoll_create1),
	SCMP_SYS(eventfd2),
	SCMP_SYS(listen),
	SCMP_SYS(uname),
	/* a folder of /sys, if the interface is a virtio device */
	SCMP_SYS(getdents64),
	/* as uncommon as a second timer or signal descriptor */
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(signalfd4),
	SCMP_SYS(geteuid),
	SCMP_SYS(getegid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(getgid),
#ifdef CONFINE_SANITIZED
	/* a leak is looked for by a process that stops our threads, and lists them */
	SCMP_SYS(clone),
	SCMP_SYS(getdents),
	SCMP_SYS(ptrace),
	SCMP_SYS(wait4),
	SCMP_SYS(kill),
	SCMP_SYS(getppid),
	SCMP_SYS(prctl),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(personality),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(setrlimit),
	SCMP_SYS(getrusage),
#endif
};

/* ---- with some arguments ---- */

/* The argument, with the mask, has to be this value. Others do not matter. */
struct call_rule {
	int call;
	unsigned int argument;
	uint64_t mask, value;
};

/* The flags of clone are its second argument on s390. */
#ifdef __s390x__
#define CLONE_FLAGS 1
#else
#define CLONE_FLAGS 0
#endif
#define ALL         0xffffffffull
/* of struct confine_plan */
#define FAMILY_BITS 64u

static const struct call_rule argument_calls[] = {
	/* no memory becomes a program */
	{ SCMP_SYS(mmap), 2, PROT_EXEC, 0 },
	{ SCMP_SYS(mprotect), 2, PROT_EXEC, 0 },
	/* threads, no processes and no namespaces */
	{ SCMP_SYS(clone), CLONE_FLAGS, CLONE_THREAD | CLONE_VM | NAMESPACE_FLAGS,
	  CLONE_THREAD | CLONE_VM },
	{ SCMP_SYS(prctl), 0, ALL, PR_SET_NAME },
	/* limits are read, not set: by who may not pin what he likes */
	{ SCMP_SYS(prlimit64), 2, UINT64_MAX, 0 },
	/* faults of this process, not of the kernel on its behalf */
	{ SCMP_SYS(userfaultfd), 0, UFFD_USER_MODE_ONLY, UFFD_USER_MODE_ONLY },
	{ SCMP_SYS(ioctl), 1, ALL, FIONREAD },
	{ SCMP_SYS(ioctl), 1, ALL, UFFDIO_API },
	{ SCMP_SYS(ioctl), 1, ALL, UFFDIO_REGISTER },
	{ SCMP_SYS(ioctl), 1, ALL, UFFDIO_UNREGISTER },
	{ SCMP_SYS(ioctl), 1, ALL, PAGEMAP_SCAN_REQUEST },
	{ SCMP_SYS(ioctl), 1, ALL, SIOCETHTOOL },
	{ SCMP_SYS(ioctl), 1, ALL, SIOCGIFINDEX },
	{ SCMP_SYS(ioctl), 1, ALL, SIOCGIFNAME },
	{ SCMP_SYS(ioctl), 1, ALL, SIOCGIFMTU },
	{ SCMP_SYS(ioctl), 1, ALL, SIOCGIFFLAGS },
	{ SCMP_SYS(ioctl), 1, ALL, SIOCGIFADDR },
	{ SCMP_SYS(ioctl), 1, ALL, SIOCGIFHWADDR },
	{ SCMP_SYS(ioctl), 1, ALL, TUNGETIFF },
	{ SCMP_SYS(ioctl), 1, ALL, TUNSETIFF },
	{ SCMP_SYS(ioctl), 1, ALL, TUNSETOFFLOAD },
	{ SCMP_SYS(ioctl), 1, ALL, TUNSETVNETHDRSZ },
	{ SCMP_SYS(ioctl), 1, ALL, TUNSETVNETLE },
};

/* Only for those who may load programs. */
static const unsigned int bpf_commands[] = {
	BPF_MAP_CREATE, BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM,    BPF_MAP_DELETE_ELEM,
	BPF_PROG_LOAD,  BPF_LINK_CREATE,     BPF_OBJ_GET_INFO_BY_FD,
};

/* ---- calls that are refused, and not fatal ---- */

static const struct {
	int call;
	int error;
} refused_calls[] = {
	{ SCMP_SYS(clone3), ENOSYS },
#ifdef CONFINE_SANITIZED
	/* a report tries to run a program that makes it readable */
	{ SCMP_SYS(execve), EPERM },
	{ SCMP_SYS(vfork), EPERM },
	{ SCMP_SYS(fork), EPERM },
#endif
};

/* ---- the filter ---- */

/* Calls that this architecture does not have have negative numbers. */
static int allow_with(scmp_filter_ctx filter, const struct call_rule *rule)
{
	const struct scmp_arg_cmp argument = { .arg = rule->argument,
					       .op = SCMP_CMP_MASKED_EQ,
					       .datum_a = rule->mask,
					       .datum_b = rule->value };

	return rule->call < 0
		       ? 0
		       : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->call, 1, &argument);
}

static int add_calls(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		if (calls[i] >= 0)
			rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return rc;
}

static int add_plain(scmp_filter_ctx filter)
{
	int rc = add_calls(filter, plain_calls, COUNT_OF(plain_calls));

	if (rc == 0)
		rc = add_calls(filter, spare_calls, COUNT_OF(spare_calls));
	for (size_t i = 0; i < COUNT_OF(refused_calls) && rc == 0; i++)
		if (refused_calls[i].call >= 0)
			rc = seccomp_rule_add(filter,
					      SCMP_ACT_ERRNO((uint16_t)refused_calls[i].error),
					      refused_calls[i].call, 0);
	return rc;
}

/* In builds with sanitizers: with any arguments already. */
static bool is_spare(int call)
{
	for (size_t i = 0; i < COUNT_OF(spare_calls); i++)
		if (spare_calls[i] == call)
			return true;
	return false;
}

static int add_with_arguments(scmp_filter_ctx filter)
{
	int rc = 0;

	for (size_t i = 0; i < COUNT_OF(argument_calls) && rc == 0; i++)
		if (!is_spare(argument_calls[i].call))
			rc = allow_with(filter, &argument_calls[i]);
	return rc;
}

/* What depends on the ports that there are, and on the process. */
static int add_for_plan(scmp_filter_ctx filter, const struct confine_plan *plan)
{
	uint64_t families = plan->families | 1ull << AF_UNIX;
	struct call_rule rule = { SCMP_SYS(tgkill), 0, ALL, (uint64_t)getpid() };
	int rc = allow_with(filter, &rule);

	rule.call = SCMP_SYS(socket);
	for (rule.value = 0; rule.value < FAMILY_BITS && rc == 0; rule.value++)
		if (families >> rule.value & 1)
			rc = allow_with(filter, &rule);
	if (!(plan->capabilities >> CAP_BPF & 1))
		return rc;
	rule.call = SCMP_SYS(bpf);
	for (size_t i = 0; i < COUNT_OF(bpf_commands) && rc == 0; i++) {
		rule.value = bpf_commands[i];
		rc = allow_with(filter, &rule);
	}
	return rc;
}

int confine_calls(const struct confine_plan *plan, struct confine_state *state,
		  struct gw_error *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc;

	if (!filter)
		return gw_error_sys(err, -ENOMEM, "confine: make a system call filter");
	/* A tree instead of a list; and no slower memory accesses for us (spec_store_bypass). */
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	rc = add_plain(filter);
	if (rc == 0)
		rc = add_with_arguments(filter);
	if (rc == 0)
		rc = add_for_plan(filter, plan);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	if (rc < 0)
		return gw_error_sys(err, rc,
				    "confine: apply the system call filter; --confine=off runs "
				    "without");
	state->seccomp = true;
	return 0;
}
