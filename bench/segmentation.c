/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What segmentation in software costs, with the payload lent and with it copied.
 *
 * One process, one worker, three networks of a guest and a device each. The guests
 * send the same super-frames, from rings that are never empty; they differ in what
 * becomes of them:
 *
 *	lent	cut by us, payload lent		(loan=auto)
 *	copied	cut by us, header and payload copied into each frame	(loan=never)
 *	whole	not cut: the device takes it all; only with device null
 *
 * The checksum is made in software in the first two. They take turns: a turn is a
 * number of super-frames, and what counts is the processor time of the worker in
 * it, by the kernel's account of that thread, in nanoseconds. So neither the guest
 * nor what else the machine does is in it, but for the caches.
 *
 * The sum is proven, too: frames that devices took have to be those that the
 * super-frames make, lent where they should be lent and copied where they should.
 *
 * bench/README.md says how to run it and how to read it.
 */
#include "mock_super.h"
#include "veth.h"
#include "vm.h"
#include "worker_threads.h"
#include <getopt.h>
#include <guestwire/guestwire.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXIT_SKIP      77
#define LANES          3u
#define ROUNDS_MAX     1000u
#define SEGS_MAX       32u
#define MTU            1500u
#define POLL_US        50u
/* What a guest of Linux sends: 17 fragments at most, each of up to 32 KiB. */
#define FRAGMENT_BYTES 32768u
#define STRIDE         (68u << 10) /* from one super-frame to the next */

enum lane_kind { LENT, COPIED, WHOLE };
static const char *const lane_names[] = { "lent", "copied", "whole" };

struct lane {
	enum lane_kind kind;
	struct vm vm;
	unsigned int next;     /* of the ring's super-frames */
	double ns[ROUNDS_MAX]; /* per super-frame */
	uint64_t sent, user_ticks;
};

static struct {
	const char *device;
	unsigned int rounds, turn, ring;
	uint32_t payload, fragment;
	uint16_t gso_size;
	bool json;
	double most; /* of the ratio lent : copied; 0: any */
} options = {
	.device = "null",
	.rounds = 31,
	.turn = 640,
	.ring = 64,
	.payload = 64 * 1024 - 256,
	.fragment = FRAGMENT_BYTES,
	.gso_size = 1448,
};

static struct mock_super made;
static struct lane lanes[LANES];
static unsigned int lane_count;
static struct gw_context *context;
static char folder[] = "/tmp/gw-bench-XXXXXX";

static void die(const char *what)
{
	fprintf(stderr, "segmentation: %s\n", what);
	exit(1);
}

/* ---- the worker's time ---- */

static int worker_tid(void)
{
	static int tid;

	if (!tid && !worker_threads_find(&tid, 1))
		die("no worker thread");
	return tid;
}

/* Nanoseconds on a processor so far. */
static uint64_t worker_ns(void)
{
	struct account account;

	if (!worker_thread_account(worker_tid(), &account))
		die("no schedstat of the worker");
	return account.ran_ns;
}

static uint64_t worker_user_ticks(void)
{
	uint64_t ticks;

	if (!worker_thread_user_ticks(worker_tid(), &ticks))
		die("no stat of the worker");
	return ticks;
}

/* ---- the guests ---- */

static uint64_t super_addr(unsigned int n)
{
	return VM_MEMORY_ADDR + VM_MEMORY_BYTES + (uint64_t)n * STRIDE;
}

/* The ring's super-frames, each in its own place, before anything is measured. */
static void fill_memory(struct vm *vm)
{
	for (unsigned int n = 0; n < options.ring; n++) {
		uint8_t *at = mock_at(&vm->memory, super_addr(n));

		memcpy(at, &made.header, VM_HEADER);
		memcpy(at + VM_HEADER, made.bytes, made.len);
	}
}

/* As Linux sends: headers in one buffer, the payload in fragments. */
static void send_next(struct lane *lane)
{
	uint64_t addr = super_addr(lane->next);
	uint32_t at = VM_HEADER + made.header_len, end = VM_HEADER + made.len;
	struct mock_buffer buffer[SEGS_MAX] = { { addr, at, false } };
	unsigned int count = 1;

	for (; at < end && count < SEGS_MAX; count++) {
		uint32_t part = end - at < options.fragment ? end - at : options.fragment;

		buffer[count] = (struct mock_buffer){ addr + at, part, false };
		at += part;
	}
	if (vm_send_buffers(&lane->vm, buffer, count) < 0)
		die("the ring is full");
	lane->next = (lane->next + 1) % options.ring;
	lane->sent++;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The ring is filled, then shown to the device; and so on, when it is empty again. */
static void run(struct lane *lane, unsigned int count)
{
	uint16_t heads[VM_RING_SIZE];
	unsigned int out = 0, got;
	uint64_t last_ms = now_ms();

	while (count || out) {
		if (!out) {
			for (; count && out < options.ring; count--, out++)
				send_next(lane);
			vm_publish(&lane->vm);
		}
		got = vm_poll_used(&lane->vm, heads, VM_RING_SIZE);
		out -= got;
		if (got)
			last_ms = now_ms();
		else if (now_ms() - last_ms > VM_DEADLINE_MS)
			die("a super-frame does not come back");
		else
			usleep(POLL_US);
	}
}

static double turn(struct lane *lane)
{
	uint64_t before = worker_ns(), user_before = worker_user_ticks();

	run(lane, options.turn);
	lane->user_ticks += worker_user_ticks() - user_before;
	return (double)(worker_ns() - before) / options.turn;
}

/* ---- ports ---- */

static void port_add(const char *format, unsigned int n)
{
	struct gw_error err = { 0 };
	char spec[256];

	snprintf(spec, sizeof(spec), format, n, folder, n, n);
	if (gw_port_add(context, spec, &err))
		die(err.text);
}

static void device_add(unsigned int n)
{
	static const char *const extra[] = { "", ",loan=never", "" };
	struct gw_error err = { 0 };
	char spec[256];

	if (!strcmp(options.device, "xdp")) {
		char near[16], far[16];

		snprintf(near, sizeof(near), "near%u", n);
		snprintf(far, sizeof(far), "far%u", n);
		veth_add(near, far, MTU);
		snprintf(spec, sizeof(spec), "d%u=xdp:%s,network=n%u,loans=4096,bounce=1024%s", n,
			 near, n, extra[n]);
	} else {
		snprintf(spec, sizeof(spec), "d%u=null:,network=n%u,offloads=%s%s", n, n,
			 n == WHOLE ? "all" : "none", extra[n]);
	}
	if (gw_port_add(context, spec, &err))
		die(err.text);
}

static struct gw_pair_info ledger(unsigned int n)
{
	struct gw_pair_info info = { 0 };
	struct gw_snapshot *snapshot;
	char source[8];

	snprintf(source, sizeof(source), "g%u", n);
	if (gw_snapshot_take(context, &snapshot))
		die("no snapshot");
	for (unsigned int i = 0; i < snapshot->pair_count; i++)
		if (!strcmp(snapshot->pairs[i].source, source))
			info = snapshot->pairs[i];
	gw_snapshot_free(snapshot);
	return info;
}

static bool is_answered(void *arg)
{
	struct gw_pair_info info = ledger(*(unsigned int *)arg);

	return info.asked &&
	       !(info.answer.verdict == GW_NO && info.answer.reason == GW_COPY_MAPPING_PENDING);
}

static void start(void)
{
	struct gw_options how = { .size = sizeof(how), .stop_ms = 300 };
	const struct vm_options guest = {
		.features = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4,
		.memory_bytes = VM_MEMORY_BYTES + (uint64_t)options.ring * STRIDE,
	};
	struct gw_error err = { 0 };

	if (!mkdtemp(folder) || gw_open(&how, &context, &err))
		die(err.text);
	for (unsigned int n = 0; n < lane_count; n++) {
		port_add("g%u=guest:%s/g%u,offloads=on,network=n%u", n);
		device_add(n);
	}
	if (gw_start(context, &err))
		die(err.text);
	for (unsigned int n = 0; n < lane_count; n++) {
		char path[64];

		lanes[n].kind = (enum lane_kind)n;
		snprintf(path, sizeof(path), "%s/g%u", folder, n);
		vm_start_with(&lanes[n].vm, path, &guest);
		fill_memory(&lanes[n].vm);
		run(&lanes[n], 1);
		vm_wait(is_answered, &n, "the driver's answer");
	}
}

static void stop(void)
{
	for (unsigned int n = 0; n < lane_count; n++)
		vm_free(&lanes[n].vm);
	gw_close(context);
	rmdir(folder);
}

/* ---- the sum ---- */

/* Frames were cut as they have to be, and lent or copied as the lane says. */
static void check_ledger(const struct lane *lane)
{
	unsigned int n = (unsigned int)lane->kind;
	uint64_t cuts = mock_super_frames(&made), frames = lane->sent * cuts;
	struct gw_pair_info info = ledger(n);
	uint64_t bytes = lane->sent * (made.shape.payload + cuts * made.header_len);

	if (lane->kind == WHOLE) {
		frames = lane->sent;
		bytes = lane->sent * made.len;
	}
	for (unsigned int r = GW_DROP_FIRST; r < GW_REASON_COUNT; r++)
		if (info.reasons[r])
			die("frames were dropped");
	if (info.lent_frames + info.copied_frames != frames)
		die("frames do not add up");
	if (info.lent_bytes + info.header_bytes_copied + info.copied_bytes != bytes)
		die("bytes do not add up");
	if (lane->kind == COPIED ? info.lent_frames : !info.lent_frames)
		die("lent what should be copied, or the other way round");
}

static double lent_share(const struct lane *lane)
{
	struct gw_pair_info info = ledger((unsigned int)lane->kind);
	uint64_t frames = info.lent_frames + info.copied_frames;

	return frames ? (double)info.lent_frames / (double)frames : 0;
}

/* Nanoseconds of a super-frame that were spent in this process, over all rounds. */
static double user_ns(const struct lane *lane)
{
	double ticks = (double)lane->user_ticks / options.rounds / options.turn;

	return ticks * 1e9 / (double)sysconf(_SC_CLK_TCK);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

struct spread {
	double low, median, high; /* quartiles */
};

static struct spread spread_of(const double *values, unsigned int count)
{
	double sorted[ROUNDS_MAX];

	memcpy(sorted, values, count * sizeof(*values));
	qsort(sorted, count, sizeof(*sorted), by_value);
	return (struct spread){ sorted[count / 4], sorted[count / 2], sorted[count * 3 / 4] };
}

static void print_json(const struct spread *ns, const struct spread *ratio)
{
	printf("{\"benchmark\": \"segmentation\", \"device\": \"%s\", \"rounds\": %u, "
	       "\"turn\": %u, \"ring\": %u, \"payload\": %u, \"gso_size\": %u, \"frames\": %u,\n",
	       options.device, options.rounds, options.turn, options.ring, options.payload,
	       options.gso_size, mock_super_frames(&made));
	for (unsigned int n = 0; n < lane_count; n++)
		printf(" \"%s\": {\"ns\": %.0f, \"q1\": %.0f, \"q3\": %.0f, \"user_ns\": %.0f, "
		       "\"lent\": %.4f},\n",
		       lane_names[n], ns[n].median, ns[n].low, ns[n].high, user_ns(&lanes[n]),
		       lent_share(&lanes[n]));
	printf(" \"ratio\": {\"median\": %.3f, \"q1\": %.3f, \"q3\": %.3f}}\n", ratio->median,
	       ratio->low, ratio->high);
}

static void print_text(const struct spread *ns, const struct spread *ratio)
{
	printf("device %s: %u payload bytes into %u frames, %u rounds of %u super-frames\n",
	       options.device, options.payload, mock_super_frames(&made), options.rounds,
	       options.turn);
	printf("%-8s %10s %10s %10s %10s %8s\n", "lane", "ns", "q1", "q3", "user", "lent");
	for (unsigned int n = 0; n < lane_count; n++)
		printf("%-8s %10.0f %10.0f %10.0f %10.0f %7.2f%%\n", lane_names[n], ns[n].median,
		       ns[n].low, ns[n].high, user_ns(&lanes[n]), 100 * lent_share(&lanes[n]));
	printf("lent : copied = %.3f (%.3f to %.3f)\n", ratio->median, ratio->low, ratio->high);
}

static int report(void)
{
	struct spread ns[LANES], ratio;
	double each[ROUNDS_MAX];

	for (unsigned int n = 0; n < lane_count; n++) {
		check_ledger(&lanes[n]);
		ns[n] = spread_of(lanes[n].ns, options.rounds);
	}
	for (unsigned int i = 0; i < options.rounds; i++)
		each[i] = lanes[LENT].ns[i] / lanes[COPIED].ns[i];
	ratio = spread_of(each, options.rounds);
	if (options.json)
		print_json(ns, &ratio);
	else
		print_text(ns, &ratio);
	if (!options.most || ratio.median <= options.most)
		return 0;
	fprintf(stderr, "segmentation: the ratio is %.3f, at most %.3f was asked for\n",
		ratio.median, options.most);
	return 1;
}

/* ---- options ---- */

static const char help[] =
	"usage: segmentation [--device null|xdp] [--rounds N] [--turn SUPERS] [--ring SUPERS]\n"
	"                    [--payload BYTES] [--gso BYTES] [--fragment BYTES]\n"
	"                    [--most RATIO] [--json]\n";

static unsigned long number(const char *text, unsigned long min, unsigned long max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || value < min || value > max) {
		fprintf(stderr, "segmentation: %s is not from %lu to %lu\n", text, min, max);
		exit(2);
	}
	return value;
}

static void read_options(int argc, char **argv)
{
	static const struct option table[] = {
		{ "device", 1, NULL, 'd' },
		{ "rounds", 1, NULL, 'r' },
		{ "turn", 1, NULL, 't' },
		{ "ring", 1, NULL, 'n' },
		{ "payload", 1, NULL, 'p' },
		{ "gso", 1, NULL, 'g' },
		{ "json", 0, NULL, 'j' },
		{ "most", 1, NULL, 'm' },
		{ "fragment", 1, NULL, 'f' },
		{ "help", 0, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (c == 'd')
			options.device = optarg;
		else if (c == 'r')
			options.rounds = (unsigned int)number(optarg, 1, ROUNDS_MAX);
		else if (c == 't')
			options.turn = (unsigned int)number(optarg, 1, 1000000);
		else if (c == 'n')
			options.ring = (unsigned int)number(optarg, 1, 64);
		else if (c == 'p')
			options.payload = (uint32_t)number(optarg, 1, 65400);
		else if (c == 'g')
			options.gso_size = (uint16_t)number(optarg, 64, 65400);
		else if (c == 'f')
			options.fragment = (uint32_t)number(optarg, 4096, 65536);
		else if (c == 'm')
			options.most = atof(optarg);
		else if (c == 'j')
			options.json = true;
		else {
			fputs(help, c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
	if (strcmp(options.device, "null") && strcmp(options.device, "xdp")) {
		fputs(help, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	char why[256];
	int status;

	read_options(argc, argv);
	lane_count = strcmp(options.device, "null") ? 2 : 3;
	if (!strcmp(options.device, "xdp") && !veth_enter(why, sizeof(why))) {
		fprintf(stderr, "skipped: %s\n", why);
		return EXIT_SKIP;
	}
	mock_super_make(&made, &(struct mock_super_shape){ .payload = options.payload,
							   .gso_size = options.gso_size,
							   .tcp_options = 3,
							   .seed = 1 });
	made.bytes[0] = 0x02;
	start();
	for (unsigned int i = 0; i < options.rounds; i++)
		for (unsigned int n = 0; n < lane_count; n++)
			lanes[n].ns[i] = turn(&lanes[n]);
	status = report();
	stop();
	return status;
}
