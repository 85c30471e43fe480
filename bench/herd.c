/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several guests in one thread: the load of a machine that has one processor left for it.
 *
 *	herd [OPTION...] SOCKET... -- OPTION-OF-GUESTWIRE-GUEST...
 *
 * Each socket is a back-end's, and gets a guest of its own: the built-in guest's front-end,
 * rings and frames (apps/guestwire-guest), with its options. What is missing is all that can
 * sleep: this looks at one ring after the other, for ever. As processes they would take
 * each other's time, in slices that are longer than a full ring.
 *
 *	without options	each sends as fast as it can
 *	--pass WINDOW	the first sends to the second, and has no more than WINDOW frames on the way
 *	--flow N,MAC,FPS	guest N sends FPS frames a second to MAC, beside its other flows, in
 *			the same ring; may be given several times. 0: as many as it can
 *	--beside N,MAC,FPS	the same, but not all the time: see --periods
 *	--periods N	sends for N periods of --seconds. Between two it takes back what comes home,
 *			says {"sent": N, "flows": [N, ...]}, of all periods until then, and waits
 *			for a line. In the 2nd, the 4th and so on all flows send, in the others
 *			those with --beside do not
 *	--seconds S --warm-up S
 *
 * It waits for a line, or until its standard input is closed, sends, waits until all is home,
 * and says
 *
 *	{"sent": N, "sent_bytes": N, "received": N, "flows": [N, ...],
 *	 "steady": {"completed_per_second": X, "received_per_second": X}}
 *
 * With --pass each frame that was sent has to be received, or it fails. What is in a frame is
 * looked at as far as its header; that bytes arrive is proven before (bench/README.md).
 */
#include "guest_run.h"
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GUESTS_MAX   64u
#define FLOWS_MAX    64u
#define BATCH        32u
#define WORDS_MAX    64
#define NUMBER_BYTES 16
#define TURNS_A_LOOK 16u /* between looks at the clock */
#define NS_PER_S     1000000000ll
#define LOOK_NS      1000000ll
#define DRAIN_NS     (10 * NS_PER_S)

struct member {
	struct guest_options options;
	struct guest_summary summary;
	struct tally tally;
	struct guest_run run;
};

struct flow {
	struct member *from;
	uint8_t dst[PATTERN_MAC_BYTES];
	bool addressed, beside;
	double rate;               /* 0: no limit */
	uint64_t sent, due, begun; /* begun: sent, when the period began */
	uint32_t stream;
};

struct point {
	int64_t ns;
	uint64_t completed, received;
};

static struct member *members[GUESTS_MAX];
static struct flow flows[FLOWS_MAX];
static unsigned int member_count, flow_count;
static unsigned int turn_first;   /* whose turn is the next visit's first */
static unsigned int period_count; /* 0: one, and no word between */
static uint64_t window;           /* 0: nobody receives */
static double seconds = 1, warm_up_s;

static void die(const char *what)
{
	fprintf(stderr, "herd: %s\n", what);
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static struct guest_nic *nic_of(const struct member *member)
{
	return &member->run.nic[0];
}

/* ---- guests ---- */

/* The options of all, behind those that each has for itself. */
static void parse_member(struct member *member, char *path, char **words, int count)
{
	char stream[NUMBER_BYTES], name[] = "herd", socket[] = "--socket", option[] = "--stream";
	char *argv[WORDS_MAX + 6] = { name, socket, path, option, stream };

	if (count > WORDS_MAX)
		die("too many options of the guests");
	snprintf(stream, sizeof(stream), "%u", member_count + 1);
	memcpy(argv + 5, words, sizeof(*words) * (size_t)count);
	optind = 0; /* glibc: begin anew */
	if (guest_options_parse(&member->options, 5 + count, argv) != PARSE_RUN)
		exit(2);
}

static void check_member(const struct member *member)
{
	if (member->summary.error_count)
		die(member->summary.errors[0]);
}

static void add_member(char *path, char **words, int count)
{
	struct member *member = calloc(1, sizeof(*member));

	if (!member || member_count == GUESTS_MAX)
		die("no room for so many guests");
	parse_member(member, path, words, count);
	tally_open(&member->tally, (uint16_t)member->options.ethertype, false);
	member->summary.options = &member->options;
	member->summary.tally = &member->tally;
	member->summary.is_guest = true;
	members[member_count++] = member;
	if (guest_run_open(&member->run, &member->options, &member->summary) ||
	    guest_run_start(&member->run))
		check_member(member);
	for (uint32_t i = 0; i < member->run.rings.count; i++)
		driver_ring_refuse_call(member->run.rings.ring[i]);
}

/* In good order: what a ring was given it has given back. */
static void stop_member(struct member *member)
{
	guest_run_stop(&member->run);
	guest_run_report(&member->run);
	if (member->run.lost)
		die("the back-end has closed a connection");
	check_member(member);
	guest_run_close(&member->run);
	tally_close(&member->tally);
	free(member);
}

/* ---- flows ---- */

static void default_flows(void)
{
	unsigned int count = window ? 1 : member_count;

	for (; flow_count < count; flow_count++)
		flows[flow_count] =
			(struct flow){ .from = members[flow_count], .stream = flow_count + 1 };
}

/* A ring has several flows: each frame is made when it is its turn. */
static void take_turn(struct guest_nic *nic, const struct flow *flow)
{
	if (!flow->addressed)
		return;
	nic->stream = flow->stream;
	memcpy(nic->address.dst, flow->dst, sizeof(flow->dst));
}

static uint64_t total_received(void)
{
	return window ? nic_of(members[1])->rx_frames : 0;
}

static uint32_t allowed(const struct flow *flow)
{
	uint64_t room = BATCH, out;

	if (flow->rate > 0 && flow->due - flow->sent < room)
		room = flow->due - flow->sent;
	if (window) {
		out = flow->sent - total_received();
		if (out >= window)
			return 0;
		if (window - out < room)
			room = window - out;
	}
	return (uint32_t)room;
}

static void send_flow(struct flow *flow)
{
	struct guest_nic *nic = nic_of(flow->from);
	uint32_t count = allowed(flow);

	if (!count)
		return;
	take_turn(nic, flow);
	flow->sent += guest_nic_send(nic, count);
}

/* What was missed is made up for, until the period is over. */
static void tick_flows(int64_t since_start_ns, bool rest)
{
	for (unsigned int i = 0; i < flow_count; i++) {
		struct flow *flow = &flows[i];

		flow->due = flow->begun;
		if (!rest || !flow->beside)
			flow->due +=
				(uint64_t)((double)since_start_ns * flow->rate / (double)NS_PER_S);
		if (flow->due < flow->sent)
			flow->due = flow->sent;
	}
}

static void begin_flows(void)
{
	for (unsigned int i = 0; i < flow_count; i++)
		flows[i].begun = flows[i].due = flows[i].sent;
}

/* ---- the run ---- */

static void visit(bool sending)
{
	for (unsigned int i = 0; i < member_count; i++)
		guest_nic_reap(nic_of(members[i]));
	if (window)
		guest_nic_receive(nic_of(members[1]));
	/* In a ring that is full each flow is the first to find room in its turn. */
	turn_first = turn_first + 1 < flow_count ? turn_first + 1 : 0;
	for (unsigned int i = 0; sending && i < flow_count; i++)
		send_flow(&flows[turn_first + i < flow_count ? turn_first + i
							     : turn_first + i - flow_count]);
}

/* Now and then: what nobody waits for but must not be left to fill a ring. */
static void look_around(void)
{
	for (unsigned int i = 0; i < member_count; i++) {
		struct pollfd fd = { .fd = members[i]->run.fe.sock, .events = POLLIN };

		guest_nic_receive(nic_of(members[i]));
		if (poll(&fd, 1, 0) > 0)
			die("the back-end has closed a connection, or asks for something");
		for (uint32_t k = 0; k < members[i]->run.rings.count; k++)
			if (members[i]->run.rings.ring[k]->broken)
				die("a ring is broken");
	}
}

static struct point point_now(int64_t ns)
{
	struct point point = { .ns = ns, .received = total_received() };

	for (unsigned int i = 0; i < member_count; i++)
		point.completed += nic_of(members[i])->completed;
	return point;
}

static bool is_home(void)
{
	for (unsigned int i = 0; i < member_count; i++)
		if (guest_run_sending(&members[i]->run))
			return false;
	return !window || total_received() == flows[0].sent;
}

static void drain(void)
{
	int64_t end_ns = now_ns() + DRAIN_NS;

	while (!is_home()) {
		visit(false);
		if (now_ns() > end_ns)
			die("not each frame comes home, or arrives");
	}
}

static void exchange(struct point *from, struct point *to, bool rest)
{
	int64_t start_ns = now_ns(), ns = start_ns, looked_ns = start_ns;
	int64_t warm_ns = start_ns + (int64_t)(warm_up_s * (double)NS_PER_S);
	int64_t end_ns = warm_ns + (int64_t)(seconds * (double)NS_PER_S);

	begin_flows();
	for (uint32_t turn = 1; ns < end_ns; turn++) {
		visit(true);
		if (turn % TURNS_A_LOOK)
			continue;
		ns = now_ns();
		tick_flows(ns - start_ns, rest);
		if (!from->ns && ns >= warm_ns)
			*from = point_now(ns);
		if (ns - looked_ns > LOOK_NS) {
			looked_ns = ns;
			look_around();
		}
	}
	*to = point_now(ns);
}

/* Nobody's fault if there was none: this thread was not let run. */
static void report_steady(const struct point *from, const struct point *to)
{
	double time_s = (double)(to->ns - from->ns) / (double)NS_PER_S;

	if (!from->ns || to->ns <= from->ns) {
		printf("null}\n");
		return;
	}
	printf("{\"completed_per_second\": %.0f, \"received_per_second\": %.0f}}\n",
	       (double)(to->completed - from->completed) / time_s,
	       (double)(to->received - from->received) / time_s);
}

static void report_flows(void)
{
	for (unsigned int i = 0; i < flow_count; i++)
		printf("%s%" PRIu64, i ? ", " : "", flows[i].sent);
}

static void report(const struct point *from, const struct point *to)
{
	uint64_t sent = 0, bytes = 0;

	for (unsigned int i = 0; i < member_count; i++) {
		sent += nic_of(members[i])->sent;
		bytes += nic_of(members[i])->sent_bytes;
	}
	printf("{\"sent\": %" PRIu64 ", \"sent_bytes\": %" PRIu64 ", \"received\": %" PRIu64
	       ", \"flows\": [",
	       sent, bytes, total_received());
	report_flows();
	printf("], \"steady\": ");
	report_steady(from, to);
}

/* Says what was sent until now; false: no further period is wanted. */
static bool await_word(void)
{
	struct pollfd word = { .fd = STDIN_FILENO, .events = POLLIN };
	char byte;

	printf("{\"flows\": [");
	report_flows();
	printf("]}\n");
	fflush(stdout);
	while (poll(&word, 1, 0) <= 0)
		for (unsigned int i = 0; i < TURNS_A_LOOK; i++) {
			visit(false);
			look_around();
		}
	return read(STDIN_FILENO, &byte, 1) > 0;
}

static void alternate(struct point *from, struct point *to)
{
	for (unsigned int i = 0; i < period_count; i++) {
		exchange(from, to, i % 2 == 0);
		if (!await_word())
			return;
	}
}

/* ---- options ---- */

static const char help[] =
	"usage: herd [--pass WINDOW] [--flow GUEST,MAC,FPS]... [--beside GUEST,MAC,FPS]...\n"
	"            [--periods N] [--seconds S] [--warm-up S]\n"
	"            SOCKET... -- OPTION-OF-GUESTWIRE-GUEST...\n";

static void usage(void)
{
	fputs(help, stderr);
	exit(2);
}

/* Guests are not there yet: `from` is its number until they are. */
static unsigned int flow_guest[FLOWS_MAX];

static void add_flow(const char *text, bool beside)
{
	struct flow *flow = &flows[flow_count];
	uint8_t *m = flow->dst;

	if (flow_count == FLOWS_MAX ||
	    sscanf(text, "%u,%hhx:%hhx:%hhx:%hhx:%hhx:%hhx,%lf", &flow_guest[flow_count], &m[0],
		   &m[1], &m[2], &m[3], &m[4], &m[5], &flow->rate) != 8)
		usage();
	flow->addressed = true;
	flow->beside = beside;
	flow->stream = 1 + flow_count++;
}

static void bind_flows(void)
{
	for (unsigned int i = 0; i < flow_count; i++) {
		if (flow_guest[i] >= member_count)
			usage();
		flows[i].from = members[flow_guest[i]];
		if (flows[i].from->options.pattern == GUEST_PATTERN_FIXED)
			die("flows take turns in a ring: no --pattern fixed");
	}
}

/* Returns where the sockets begin. */
static int read_options(int argc, char **argv)
{
	static const struct option table[] = {
		{ "pass", 1, NULL, 'p' },    { "flow", 1, NULL, 'f' },
		{ "beside", 1, NULL, 'b' },  { "periods", 1, NULL, 'n' },
		{ "seconds", 1, NULL, 's' }, { "warm-up", 1, NULL, 'w' },
		{ "help", 0, NULL, 'h' },    { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "+", table, NULL)) != -1) {
		if (c == 'p')
			window = strtoull(optarg, NULL, 10);
		else if (c == 'f' || c == 'b')
			add_flow(optarg, c == 'b');
		else if (c == 'n')
			period_count = (unsigned int)strtoul(optarg, NULL, 10);
		else if (c == 's')
			seconds = atof(optarg);
		else if (c == 'w')
			warm_up_s = atof(optarg);
		else
			usage();
	}
	return optind;
}

static void wait_for_word(void)
{
	char byte;

	fputs("ready\n", stderr);
	(void)!read(STDIN_FILENO, &byte, 1);
}

int main(int argc, char **argv)
{
	struct point from = { 0 }, to = { 0 };
	int first = read_options(argc, argv), last = first;

	while (last < argc && strcmp(argv[last], "--"))
		last++;
	if (last == first || last == argc || seconds <= 0)
		usage();
	for (int i = first; i < last; i++)
		add_member(argv[i], argv + last + 1, argc - last - 1);
	if (window && member_count != 2)
		usage();
	bind_flows();
	if (!flow_count)
		default_flows();
	wait_for_word();
	if (period_count)
		alternate(&from, &to);
	else
		exchange(&from, &to, false);
	drain();
	report(&from, &to);
	for (unsigned int i = 0; i < member_count; i++)
		stop_member(members[i]);
	return 0;
}
