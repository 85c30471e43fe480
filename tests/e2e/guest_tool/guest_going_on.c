/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes on until somebody says stop, while the test does things to the machine.
 *
 * flood ADDRESS PORT: datagrams, which nobody need receive. Every other one is small,
 * so it is copied, and back before the larger ones that were sent earlier.
 *
 * duplex ADDRESS PORT SEED: a TCP stream both ways.
 *
 * What is sent are the words of the seed, from a buffer that never changes, over
 * and over, with MSG_ZEROCOPY: so the device reads the buffer itself, and a frame
 * that a device kept too long could only ever show what was meant. SIGTERM ends
 * the sending; what comes in goes to standard output (into sha256sum, say) until
 * the peer ends, too. The completions that the kernel owes at the end must all
 * come: a descriptor that was lost is one that never does.
 */
#include "guest_tool.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* No power of two: each time round, the words lie elsewhere in the frames. */
#define PERIOD_BYTES   ((4u << 20) - 4096u + 64u)
#define CHUNK_BYTES    (64u << 10)
#define OPEN_MAX       64u
#define DATAGRAM_BYTES 1400u
#define SMALL_BYTES    64u
/* No more than a ring of 256 has room for, two descriptors each. */
#define FLOOD_OPEN_MAX 100u
/* The peer may be cut off for as long as a machine takes to come back. */
#define QUIET_MS       240000

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

struct duplex {
	struct zerocopy zc;
	const char *memory;
	uint64_t sent_bytes;
	uint64_t received_bytes;
	bool sending;
	bool receiving;
};

static void write_all(const char *bytes, size_t len)
{
	ssize_t n;

	for (; len; bytes += n, len -= (size_t)n) {
		n = write(STDOUT_FILENO, bytes, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			die("standard output: %s", strerror(errno));
	}
}

static void receive_some(struct duplex *d)
{
	static char bytes[CHUNK_BYTES];
	ssize_t n = recv(d->zc.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0)
		die("receiving after %" PRIu64 " bytes: %s", d->received_bytes, strerror(errno));
	write_all(bytes, (size_t)n);
	d->received_bytes += (size_t)n;
	d->receiving = n != 0;
}

static void send_some(struct duplex *d)
{
	size_t at = d->sent_bytes % PERIOD_BYTES;
	size_t len = PERIOD_BYTES - at < CHUNK_BYTES ? PERIOD_BYTES - at : CHUNK_BYTES;
	ssize_t n;

	if (stopped) {
		shutdown(d->zc.fd, SHUT_WR);
		d->sending = false;
		return;
	}
	n = send(d->zc.fd, d->memory + at, len, MSG_ZEROCOPY | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
		return;
	if (n < 0)
		die("sending after %" PRIu64 " bytes: %s", d->sent_bytes, strerror(errno));
	d->zc.sent++;
	d->sent_bytes += (size_t)n;
}

/* The error queue reports POLLERR unasked; so does a connection that broke. */
static void wait_events(struct duplex *d)
{
	bool room = d->zc.sent - d->zc.completed < OPEN_MAX;
	struct pollfd p = { .fd = d->zc.fd };
	int n;

	p.events = (short)((d->receiving ? POLLIN : 0) | (d->sending && room ? POLLOUT : 0));
	/* A stop in between is seen half a second later. */
	n = poll(&p, 1, d->sending ? 500 : QUIET_MS);
	if (n < 0 && errno != EINTR)
		die("poll: %s", strerror(errno));
	if (!n && !d->sending)
		die("%" PRIu64 " bytes came, and no end", d->received_bytes);
	zerocopy_read(&d->zc);
}

void duplex(char **arg)
{
	struct duplex d = { .sending = true, .receiving = true };
	struct sigaction action = { .sa_handler = stop };
	char *memory = pages_alloc(PERIOD_BYTES);

	pages_fill(memory, PERIOD_BYTES, (uint64_t)atoll(arg[2]), 0);
	d.memory = memory;
	sigaction(SIGTERM, &action, NULL);
	zerocopy_open(&d.zc, SOCK_STREAM, arg[0], arg[1]);
	while (d.sending || d.receiving) {
		wait_events(&d);
		if (d.receiving)
			receive_some(&d);
		if (d.sending && (stopped || d.zc.sent - d.zc.completed < OPEN_MAX))
			send_some(&d);
	}
	zerocopy_wait(&d.zc, 0);
	fprintf(stderr,
		"duplex sent=%" PRIu64 " received=%" PRIu64 " calls=%u completed=%u copied=%u\n",
		d.sent_bytes, d.received_bytes, d.zc.sent, d.zc.completed, d.zc.copied);
}

/* A link that is down takes nothing, or says that it has no room. */
static void send_datagram(struct zerocopy *zc, const char *bytes)
{
	size_t len = zc->sent % 2 ? SMALL_BYTES : DATAGRAM_BYTES;
	ssize_t n = send(zc->fd, bytes, len, MSG_ZEROCOPY | MSG_DONTWAIT);

	if (n >= 0)
		zc->sent++;
	else if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ENETDOWN &&
		 errno != ENETUNREACH && errno != EHOSTUNREACH && errno != ECONNREFUSED)
		die("sending: %s", strerror(errno));
}

void flood(char **arg)
{
	struct sigaction action = { .sa_handler = stop };
	struct pollfd p;
	struct zerocopy zc;
	char *memory = pages_alloc(DATAGRAM_BYTES);

	pages_fill(memory, DATAGRAM_BYTES, 1, 0);
	sigaction(SIGTERM, &action, NULL);
	zerocopy_open(&zc, SOCK_DGRAM, arg[0], arg[1]);
	while (!stopped) {
		p = (struct pollfd){ .fd = zc.fd };
		if (zc.sent - zc.completed < FLOOD_OPEN_MAX)
			p.events = POLLOUT;
		poll(&p, 1, 1);
		zerocopy_read(&zc);
		if (zc.sent - zc.completed < FLOOD_OPEN_MAX)
			send_datagram(&zc, memory);
	}
	zerocopy_wait(&zc, 0);
	printf("flood calls=%u completed=%u copied=%u\n", zc.sent, zc.completed, zc.copied);
}
