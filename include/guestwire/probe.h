/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probe: what this host, its kernel and its network interfaces can do for
 * Guestwire, before anything is started.
 *
 *     struct gw_probe_options options = { .size = sizeof(options), .ifname = "eth1" };
 *     gw_probe(&options, &report, &err);
 *     ... report->host, report->findings, report->devices[0].findings ...
 *     gw_probe_free(report);
 *
 * Findings come from asking (netlink, ethtool, /proc, capabilities), which changes
 * nothing, or from trying, which really does it and undoes it again. What is tried
 * was asked before; the later of two findings with the same path and subject is the
 * better one. Both follow the rules that the drivers themselves follow in start, and
 * are about a port with the driver's default options.
 *
 * No gw_context is needed, and none is disturbed. Threads: any; one probe that tries
 * at a time.
 */
#ifndef GUESTWIRE_PROBE_H
#define GUESTWIRE_PROBE_H

#include <guestwire/driver.h>
#include <guestwire/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GW_PROBE_TEXT_BYTES   256
#define GW_PROBE_WORD_BYTES   32
#define GW_PROBE_IFNAME_BYTES 16
#define GW_PROBE_PAGE_SIZES   8
#define GW_PROBE_NO_LIMIT     UINT64_MAX

enum gw_found {
	GW_FOUND_NO = 0,
	GW_FOUND_YES,
	GW_FOUND_UNKNOWN, /* asking does not tell; trying would */
};

enum gw_found_how {
	GW_FOUND_BY_ASKING = 0,
	GW_FOUND_BY_TRYING,
};

/* Set of enum gw_reads that a path may turn out to have. */
#define GW_READS_BIT(reads) (1u << (reads))

/* One thing that was found out. path, subject and via are words that live for ever. */
struct gw_finding {
	const char *path;    /* a driver's name; "udp"; "host" */
	const char *subject; /* of that path: "start", "zero-copy" ... */
	enum gw_found found;
	enum gw_found_how how;
	int code;         /* trying: the negative errno of a no; else 0 */
	uint32_t reads;   /* GW_READS_BIT: how the device would read; 0: not about that */
	uint32_t max_len; /* longest frame in bytes; 0: not about that, or not known */
	const char *via;  /* which way, where there are several; NULL: not about that */
	char text[GW_PROBE_TEXT_BYTES];   /* for people: what was found */
	char remedy[GW_PROBE_TEXT_BYTES]; /* what would make it a yes; "": nothing to do */
};

/* This process and its kernel. Capabilities: those that count for what they are needed for. */
struct gw_probe_host {
	char kernel[GW_PROBE_TEXT_BYTES]; /* "6.18.44" */
	unsigned int kernel_major, kernel_minor;
	unsigned int user;         /* effective, as its user namespace numbers it */
	bool init_user_ns;         /* false: in a user namespace, where some rights do not count */
	bool net_admin, net_raw;   /* effective, and the network namespace is under them */
	bool bpf;                  /* may load XDP programs: CAP_BPF and CAP_NET_ADMIN, not in a
				    user namespace */
	bool ipc_lock;             /* pins memory without a limit; not in a user namespace */
	bool af_xdp;               /* the kernel has AF_XDP */
	uint64_t memlock_bytes;    /* RLIMIT_MEMLOCK; GW_PROBE_NO_LIMIT */
	bool tun_exists, tun_open; /* /dev/net/tun, and whether this user may open it */
	unsigned int page_size_count;
	struct {
		uint64_t page_bytes, total, free; /* free: and not reserved */
	} hugepages[GW_PROBE_PAGE_SIZES];
};

struct gw_probe_device {
	char name[GW_PROBE_IFNAME_BYTES];
	unsigned int index;
	uint32_t mtu;
	bool up;
	bool ethernet; /* its frames are Ethernet frames (loopback's are too) */
	bool loopback;
	bool scatter_gather;              /* NETIF_F_SG */
	char driver[GW_PROBE_WORD_BYTES]; /* "" if it does not say */
	char bus[GW_PROBE_WORD_BYTES];    /* "0000:00:03.0"; "" : a device without hardware */
	unsigned int finding_count;
	const struct gw_finding *findings;
};

struct gw_probe_report {
	bool attempted;
	struct gw_probe_host host;
	unsigned int finding_count; /* about the host */
	const struct gw_finding *findings;
	unsigned int device_count;
	const struct gw_probe_device *devices;
};

/* What a driver's probe is given: one interface, what is known already, and where to tell. */
struct gw_probe_question {
	const struct gw_probe_host *host;
	const struct gw_probe_device *device; /* NULL: about the host; without its findings */
	bool attempt;
	void *sink;
	void (*found)(void *sink, const struct gw_finding *finding); /* copies it */
};

/* Begins with its size, so that it can grow: set it to sizeof(struct gw_probe_options). */
struct gw_probe_options {
	size_t size;
	const char *ifname; /* NULL: all interfaces of this network namespace */
	/*
	 * Try it: binds AF_XDP sockets on queue 0 and attaches an XDP program, which take
	 * the queue from its user for some milliseconds and reset the link of some NICs;
	 * attaches to taps, and makes one; opens packet sockets. All is undone.
	 */
	bool attempt;
};

/* *report is to be freed. -ENODEV: no such interface. */
int gw_probe(const struct gw_probe_options *options, struct gw_probe_report **report,
	     struct gw_error *err);
/* NULL is fine. */
void gw_probe_free(struct gw_probe_report *report);

/* "no", "yes", "unknown"; "asked", "tried": the words of the JSON output. Threads: any. */
const char *gw_found_name(enum gw_found found);
const char *gw_found_how_name(enum gw_found_how how);

#ifdef __cplusplus
}
#endif

#endif
