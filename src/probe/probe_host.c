/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe_host.h"

#include "fd.h"
#include "text.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define HUGEPAGE_FOLDER "/sys/kernel/mm/hugepages"
#define USER_NS_PATH    "/proc/self/ns/user"
#define NETWORK_NS_PATH "/proc/thread-self/ns/net"
/* The number of the first user namespace (include/linux/proc_ns.h: PROC_USER_INIT_INO). */
#define USER_NS_FIRST   0xeffffffdu

/* linux/capability.h before Linux 5.8 has no CAP_BPF. */
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

static void kernel_read(struct gw_probe_host *host)
{
	struct utsname name;

	if (uname(&name))
		return;
	gw_text_copy(host->kernel, sizeof(host->kernel), name.release);
	if (sscanf(name.release, "%u.%u", &host->kernel_major, &host->kernel_minor) != 2)
		host->kernel_major = host->kernel_minor = 0;
}

/* ---- rights ---- */

static uint64_t capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data))
		return 0;
	return data[0].effective | (uint64_t)data[1].effective << 32;
}

/*
 * Whether our user namespace, or one below it, owns our network namespace: the
 * kernel names the owner only to those who are above it.
 */
static bool network_is_ours(void)
{
	int net = open(NETWORK_NS_PATH, O_RDONLY | O_CLOEXEC), owner;
	bool ours;

	if (net < 0)
		return false;
	owner = ioctl(net, NS_GET_USERNS);
	ours = owner >= 0;
	gw_fd_close(&owner);
	gw_fd_close(&net);
	return ours;
}

static bool in_first_user_ns(void)
{
	struct stat status;

	return !stat(USER_NS_PATH, &status) && status.st_ino == USER_NS_FIRST;
}

static void rights_read(struct gw_probe_host *host)
{
	uint64_t has = capabilities();
	bool ours = network_is_ours(), admin = has >> CAP_SYS_ADMIN & 1;
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	struct rlimit limit;

	host->af_xdp = fd >= 0 || errno != EAFNOSUPPORT;
	gw_fd_close(&fd);
	host->user = geteuid();
	host->init_user_ns = in_first_user_ns();
	host->net_admin = ours && has >> CAP_NET_ADMIN & 1;
	host->net_raw = ours && has >> CAP_NET_RAW & 1;
	host->bpf = host->init_user_ns && host->net_admin && (has >> CAP_BPF & 1 || admin);
	host->ipc_lock = host->init_user_ns && has >> CAP_IPC_LOCK & 1;
	host->memlock_bytes = GW_PROBE_NO_LIMIT;
	if (!getrlimit(RLIMIT_MEMLOCK, &limit) && limit.rlim_cur != RLIM_INFINITY)
		host->memlock_bytes = limit.rlim_cur;
}

/* ---- memory ---- */

static uint64_t pages_read(const char *folder, const char *name)
{
	char path[256], text[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), HUGEPAGE_FOLDER "/%s/%s", folder, name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(text, sizeof(text), file))
		text[0] = 0;
	fclose(file);
	return strtoull(text, NULL, 10);
}

static int is_page_size(const struct dirent *entry)
{
	unsigned long kib;

	return sscanf(entry->d_name, "hugepages-%lukB", &kib) == 1;
}

static void hugepages_read(struct gw_probe_host *host)
{
	struct dirent **entry;
	int count = scandir(HUGEPAGE_FOLDER, &entry, is_page_size, versionsort);

	for (int i = 0; i < count; i++) {
		const char *folder = entry[i]->d_name;
		uint64_t free_pages = pages_read(folder, "free_hugepages"),
			 reserved = pages_read(folder, "resv_hugepages");
		unsigned long kib = strtoul(folder + strlen("hugepages-"), NULL, 10);
		unsigned int at = host->page_size_count;

		if (at < GW_PROBE_PAGE_SIZES) {
			host->hugepages[at].page_bytes = (uint64_t)kib << 10;
			host->hugepages[at].total = pages_read(folder, "nr_hugepages");
			host->hugepages[at].free =
				free_pages > reserved ? free_pages - reserved : 0;
			host->page_size_count++;
		}
		free(entry[i]);
	}
	if (count >= 0)
		free(entry);
}

void probe_host_read(struct gw_probe_host *host)
{
	memset(host, 0, sizeof(*host));
	kernel_read(host);
	rights_read(host);
	hugepages_read(host);
	host->tun_exists = !access(PROBE_TUN_PATH, F_OK);
	host->tun_open = !faccessat(AT_FDCWD, PROBE_TUN_PATH, R_OK | W_OK, AT_EACCESS);
}

bool probe_kernel_is(const struct gw_probe_host *host, unsigned int major, unsigned int minor)
{
	return host->kernel_major > major ||
	       (host->kernel_major == major && host->kernel_minor >= minor);
}
