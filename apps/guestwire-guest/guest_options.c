/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_options.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_ring.h"
#include "front_end.h"
#include "guest_options_inside.h"

#ifndef GW_VERSION /* the build gives it */
#define GW_VERSION "unknown"
#endif

#define AT(field) offsetof(struct guest_options, field)
#define GROUP(text)                                      \
	{                                                \
		text, KIND_GROUP, 0, 0, 0, 0, NULL, NULL \
	}
#define FLAG(name, field, help)                                 \
	{                                                       \
		name, KIND_FLAG, AT(field), 0, 0, 0, NULL, help \
	}
#define SECONDS(name, field, given, help)                                   \
	{                                                                   \
		name, KIND_SECONDS, AT(field), given, 0, 0, "SECONDS", help \
	}
#define CHOICE(name, field, names, help)                           \
	{                                                          \
		name, KIND_CHOICE, AT(field), 0, 0, 0, names, help \
	}

/* Beyond what getopt_long returns of its own: '?' is 63. */
#define FIRST_OPTION 256

/* clang-format off */
static const struct option_row rows[] = {
	GROUP("Where (one of the two)"),
	{ "socket", KIND_TEXT, AT(socket), 0, 0, 0, "PATH",
	  "be a guest: vhost-user front-end on this unix socket" },
	{ "interface", KIND_TEXT, AT(interface), 0, 0, 0, "IFNAME",
	  "no guest: a raw socket on this host interface instead" },
	FLAG("listen", listen, "listen on PATH and wait for the back-end to connect"),
	SECONDS("connect-timeout", connect_timeout_s, 0,
		"how long to wait for the other side (default 5)"),

	GROUP("What"),
	{ "send", KIND_NUMBER, AT(send), AT(send_given), 0, INT64_MAX, "COUNT",
	  "frames to send; 0: no end, until --duration or a signal" },
	{ "size", KIND_RANGE, AT(size), 0, PATTERN_ETH_BYTES, GUEST_MAX_FRAME, "BYTES|LOW-HIGH",
	  "frame size, Ethernet header included (default 1514); a range is swept round" },
	{ "size-step", KIND_NUMBER, AT(size_step), 0, 1, GUEST_MAX_FRAME, "BYTES",
	  "from one size of the range to the next (default 1)" },
	{ "receive", KIND_NUMBER, AT(receive), AT(receive_given), 0, INT64_MAX, "COUNT",
	  "wait until so many frames came; how many are missing is judged by it" },
	FLAG("ordered", ordered, "frames of a stream that come out of order are an error"),
	FLAG("verify", verify, "verify each received frame bit by bit"),
	{ "stream", KIND_NUMBER, AT(stream), 0, 0, UINT32_MAX, "ID",
	  "stream of the frames sent (default 1)" },
	{ "receive-stream", KIND_LIST, AT(receive_streams), 0, 0, UINT32_MAX, "ID[-ID][,...]",
	  "only these streams are ours, all others foreign, and foreign is an error" },
	{ "mac", KIND_MAC, AT(src), 0, 0, 0, "MAC", "own address (default 52:57:<stream>)" },
	{ "dst", KIND_MAC, AT(dst), 0, 0, 0, "MAC", "where to (default broadcast)" },
	{ "ethertype", KIND_NUMBER, AT(ethertype), 0, 0x600, 0xffff, "NUMBER",
	  "of frames sent and looked at (default 0x88b5)" },
	CHOICE("pattern", pattern, "fresh|fixed",
	       "fixed: each buffer is filled once and sent over and over (for load)"),

	GROUP("Packets and offloads"),
	CHOICE("packet", packet, "raw|tcp4|tcp6|udp4|udp6",
	       "patterns inside TCP or UDP, in pieces; --receive and losses count pieces"),
	{ "mss", KIND_NUMBER, AT(mss), 0, 1, UINT16_MAX, "BYTES",
	  "payload of a piece (default 1400); a frame with more is a super-frame, to be cut" },
	{ "vlan-tags", KIND_NUMBER, AT(tags), 0, 0, PACKET_MAX_TAGS, "N", "VLAN tags in packets" },
	{ "extra-headers", KIND_NUMBER, AT(extra), 0, 0, PACKET_MAX_EXTRA, "N",
	  "IPv6 extension headers of 8 bytes, or 4 bytes of IPv4 options each" },
	{ "port", KIND_NUMBER, AT(port), 0, 1, UINT16_MAX, "PORT",
	  "of TCP and UDP, both ends (default 18263)" },
	CHOICE("checksum", checksum, "auto|partial|complete",
	       "left to the device or not (default auto: if that was negotiated)"),
	{ "offloads", KIND_OFFLOADS, 0, 0, 0, 0, "NAME[,NAME...]",
	  "negotiate: all, host, guest, or csum host_tso4 host_tso6 host_ecn host_uso "
	  "guest_csum guest_tso4 guest_tso6 guest_ecn guest_uso4 guest_uso6" },

	GROUP("How frames lie in guest memory"),
	{ "descriptors", KIND_RANGE, AT(descriptors), 0, 1, LAYOUT_MAX_PIECES, "N|LOW-HIGH",
	  "descriptors of a transmitted chain (default 1)" },
	CHOICE("indirect", indirect, "always|never|mixed",
	       "indirect tables, where negotiated (default mixed: every other chain above 1)"),
	CHOICE("header", header, "shared|own|split|mixed",
	       "the virtio-net header: with the data, apart, or in pieces (default shared)"),
	FLAG("unaligned", unaligned, "buffers at odd addresses"),
	FLAG("cross-page", cross_page, "each buffer crosses the end of a page"),
	FLAG("scribble", scribble, "overwrite each transmitted buffer as soon as it is used"),
	{ "rewrite", KIND_NUMBER, AT(rewrite), AT(rewrite_given), 0, UINT32_MAX, "ID",
	  "on SIGUSR1, make what was sent and is not used yet anew, as frames of this stream" },
	{ "rx-buffer", KIND_NUMBER, AT(rx_buffer), 0, 12, GUEST_MAX_FRAME + 12, "BYTES",
	  "of a receive chain, header included (default 2048 with mrg_rxbuf, or as needed)" },
	{ "rx-descriptors", KIND_RANGE, AT(rx_descriptors), 0, 1, LAYOUT_MAX_PIECES, "N|LOW-HIGH",
	  "descriptors of a receive chain (default 1)" },
	CHOICE("rx-header", rx_header, "shared|own|split|mixed",
	       "where the header goes in a receive chain (default shared)"),

	GROUP("The machine"),
	{ "memory", KIND_NUMBER, AT(memory_mib), 0, 1, 1u << 20, "MIB", "guest RAM (default 64)" },
	FLAG("hugetlb", hugetlb, "guest RAM of 2 MiB hugepages"),
	{ "regions", KIND_NUMBER, AT(regions), 0, 1, GUEST_MAX_REGIONS - 1, "N",
	  "memory regions, with holes between (default 1); more than 8 with --slots" },
	FLAG("slots", slots, "negotiate CONFIGURE_MEM_SLOTS, and add regions one by one"),
	{ "plug", KIND_NUMBER, AT(plug_ms), 0, 1, UINT32_MAX, "MS",
	  "so often plug a region of memory, send from it, too, or unplug it" },
	FLAG("adjacent", adjacent, "no holes between the regions"),
	FLAG("no-seal", no_seal, "leave the memfd unsealed (QEMU seals it against shrinking)"),
	{ "ring-size", KIND_NUMBER, AT(ring_size), 0, DRIVER_RING_MIN_SIZE, DRIVER_RING_MAX_SIZE,
	  "N", "of all rings, a power of two (default 256)" },
	{ "queues", KIND_NUMBER, AT(queues), 0, 1, FRONT_END_MAX_PAIRS, "N",
	  "pairs of queues (default 1); each sends a stream of its own, from --stream on" },
	{ "toggle-queues", KIND_NUMBER, AT(toggle_ms), 0, 1, UINT32_MAX, "MS",
	  "so often disable a pair (not the first of several), or enable it again" },
	{ "suspend", KIND_NUMBER, AT(suspend_ms), 0, 1, UINT32_MAX, "MS",
	  "so often stop all rings, with --inflight without a drain, and let them go on" },
	{ "reset", KIND_NUMBER, AT(reset_ms), 0, 1, UINT32_MAX, "MS",
	  "so often reset the device (RESET_DEVICE), and start its rings anew" },
	FLAG("iommu", iommu, "negotiate ACCESS_PLATFORM: I/O addresses, told when they are missed"),
	{ "invalidate", KIND_NUMBER, AT(invalidate_ms), 0, 1, UINT32_MAX, "MS",
	  "so often take some of these I/O addresses away, or all, until they are missed again" },
	CHOICE("ring", ring, "split|packed", "the kind of all rings (default split)"),
	FLAG("in-order", in_order, "negotiate IN_ORDER: buffers are used in the order they were given"),
	FLAG("log", log, "have the back-end log what it writes, and compare"),
	{ "features-off", KIND_FEATURES, 0, 0, 0, 0, "NAME[,NAME...]",
	  "do not negotiate: version_1 indirect_desc event_idx mrg_rxbuf protocol_features "
	  "mq reply_ack status" },
	CHOICE("ack", ack, "qemu|all", "ask REPLY_ACK where QEMU does, or on each message"),
	CHOICE("order", order, "qemu|enable-last", "when SET_VRING_ENABLE is sent"),

	GROUP("Another back-end"),
	SECONDS("reconnect", reconnect_s, AT(reconnect_given),
		"when the back-end dies wait so long for the next one, and go on with it"),
	FLAG("inflight", inflight, "negotiate INFLIGHT_SHMFD, and keep its file over connections"),
	CHOICE("resume", resume, "qemu|used",
	       "base of a packed ring then: as QEMU (the start), or behind what is used"),
	FLAG("allow-duplicates", duplicates_allowed,
	     "frames that come twice are no error (after a death with --reconnect they are none)"),

	GROUP("Pace and end"),
	{ "rate", KIND_NUMBER, AT(rate), 0, 0, UINT32_MAX, "FPS",
	  "frames a second at most (default 0: no limit)" },
	{ "window", KIND_NUMBER, AT(window), 0, 0, UINT32_MAX, "N",
	  "at most N more frames sent than received: no loss on a loop (default 0: no limit)" },
	{ "lead", KIND_NUMBER, AT(lead), 0, 0, UINT32_MAX, "FPS",
	  "frames a second that do not wait for --start-fd (default 0)" },
	{ "batch", KIND_NUMBER, AT(batch), 0, 1, DRIVER_RING_MAX_SIZE, "N",
	  "frames made available, and kicked for, at once (default 32)" },
	FLAG("poll", poll, "spin on the used rings; without it sleep on the call eventfds"),
	SECONDS("duration", duration_s, 0, "stop sending after this time"),
	FLAG("hold", hold, "stay until SIGTERM or SIGINT, also when all is done"),
	SECONDS("warm-up", warm_up_s, 0,
		"report the rate from then to the end of sending, apart (with --json)"),
	SECONDS("settle", settle_s, 0, "go on receiving so long after all is done (default 0)"),
	SECONDS("timeout", timeout_s, AT(timeout_given),
		"deadline of the run; 0: none (default 30 beyond --duration; none with --hold)"),

	GROUP("Report"),
	FLAG("json", json, "the summary as one JSON object"),
	SECONDS("stats-interval", stats_interval_s, 0, "progress on stderr this often"),
	{ "ready-fd", KIND_NUMBER, AT(ready_fd), 0, 0, 1u << 20, "FD",
	  "write \"ready\\n\" here once rings (or the raw socket) are up" },
	{ "start-fd", KIND_NUMBER, AT(start_fd), 0, 0, 1u << 20, "FD",
	  "send nothing, and behave, before this descriptor is readable or its other end closed" },
	FLAG("trace", trace, "each protocol message on stderr"),
	FLAG("addresses", addresses, "where each frame lies, guest-physical, on stderr"),
	{ "misbehave", KIND_TEXT, AT(misbehave), 0, 0, 0, "NAME|list",
	  "do one thing that a back-end must survive, and say what came of it" },
	{ "version", KIND_VERSION, 0, 0, 0, 0, NULL, "print the version" },
	{ "help", KIND_HELP, 0, 0, 0, 0, NULL, "print this" },
};
/* clang-format on */

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

static bool takes_argument(const struct option_row *row)
{
	return row->kind != KIND_FLAG && row->kind != KIND_HELP && row->kind != KIND_VERSION;
}

static void print_help(void)
{
	char left[64];

	printf("Usage: guestwire-guest --socket PATH [--send COUNT] [--size BYTES|LOW-HIGH]\n"
	       "                       [--receive COUNT] [--verify] [--json] [OPTION...]\n"
	       "       guestwire-guest --interface IFNAME [OPTION...]\n\n"
	       "A virtio-net guest without a virtual machine: a vhost-user front-end that sends\n"
	       "patterns through any back-end, receives and verifies them.\n");
	for (size_t i = 0; i < ROW_COUNT; i++) {
		const struct option_row *row = &rows[i];

		if (row->kind == KIND_GROUP) {
			printf("\n%s:\n", row->name);
			continue;
		}
		snprintf(left, sizeof(left), "--%s %s", row->name,
			 row->argument ? row->argument : "");
		printf("  %-33s%s%s\n", left,
		       strlen(left) > 32 ? "\n                                   " : "", row->help);
	}
	printf("\nExit status: 0 all that was asked for was done and verified; 1 a frame or a\n"
	       "ring was wrong; 2 usage; 3 no connection, or a protocol error; 4 the deadline\n"
	       "passed.\n");
}

static enum guest_parse complain(const char *what, const char *name, const char *value)
{
	fprintf(stderr, "guestwire-guest: %s%s%s%s; see --help\n", what, name ? name : "",
		value ? " does not take " : "", value ? value : "");
	return PARSE_BAD;
}

enum guest_parse guest_options_parse(struct guest_options *options, int argc, char **argv)
{
	struct option getopt_rows[ROW_COUNT + 1] = { 0 };
	const char *problem;
	int at;

	/* Headings stay in, under a name that nobody can type. */
	for (size_t i = 0; i < ROW_COUNT; i++)
		getopt_rows[i] =
			(struct option){ rows[i].name,
					 takes_argument(&rows[i]) ? required_argument : no_argument,
					 NULL, FIRST_OPTION + (int)i };
	options_defaults(options);
	while ((at = getopt_long(argc, argv, "", getopt_rows, NULL)) != -1) {
		const struct option_row *row;

		if (at < FIRST_OPTION)
			return complain("cannot use this command line", NULL, NULL);
		row = &rows[at - FIRST_OPTION];
		if (row->kind == KIND_HELP) {
			print_help();
			return PARSE_DONE;
		}
		if (row->kind == KIND_VERSION) {
			printf("guestwire-guest %s\n", GW_VERSION);
			return PARSE_DONE;
		}
		if (!options_parse_value(options, row, optarg))
			return complain("--", row->name, optarg);
	}
	if (optind < argc)
		return complain("no use for argument ", argv[optind], NULL);
	problem = options_contradiction(options);
	if (problem)
		return complain(problem, NULL, NULL);
	options_complete(options);
	return PARSE_RUN;
}
