/* SPDX-License-Identifier: BSD-2-Clause */
/* Misdeeds of the front-end: good messages at bad times, and what happens around them. */
#include "misbehave.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vhost_user_spec.h"

#define STORM       100000u
#define CONNECTIONS 200u
#define UNREAD      200000u
#define REPEATS     50u
#define BATCH       64u
#define YIELDS      1000u /* for a thread to come where it waits */

static struct front_end second;

static void send_some(struct guest_run *run)
{
	guest_nic_send(run->nic, BATCH);
}

static void again_num(struct guest_run *run, uint64_t arg)
{
	for (uint32_t i = 0; i < REPEATS; i++)
		front_end_set_state(&run->fe, VHOST_USER_SET_VRING_NUM, FRONT_END_TX,
				    (uint32_t)(arg ? arg : run->nic->tx.ring.size));
	send_some(run);
}

static void again_table(struct guest_run *run, uint64_t arg)
{
	(void)arg;
	for (uint32_t i = 0; i < REPEATS; i++) {
		send_some(run);
		front_end_set_memory(&run->fe, &run->memory);
		guest_nic_reap(run->nic);
	}
}

/* The rings' region vanishes from the table (arg), or all memory becomes another. */
static void other_table(struct guest_run *run, uint64_t arg)
{
	struct guest_memory_config config = { .size = 8 << 20, .region_count = 1 };
	struct guest_memory other;
	struct fail fail;

	send_some(run);
	if (arg) {
		other = run->memory;
		other.regions[0] = other.regions[1];
		other.region_count = 1;
		front_end_set_memory(&run->fe, &other);
	} else if (!guest_memory_open(&other, &config, &fail)) {
		front_end_set_memory(&run->fe, &other);
		guest_memory_close(&other);
	}
	driver_ring_kick_always(&run->nic->tx.ring);
}

/* The running TX ring moves to fresh memory, or to the addresses of the RX ring (arg). */
static void move_ring(struct guest_run *run, uint64_t arg)
{
	struct driver_ring moved;
	struct fail fail;

	send_some(run);
	if (arg) {
		front_end_set_addr(&run->fe, FRONT_END_TX, &run->nic->rx.ring, 0);
	} else if (!driver_ring_open(&moved, &run->memory, run->nic->tx.ring.kind,
				     run->nic->tx.ring.size, &fail)) {
		front_end_set_addr(&run->fe, FRONT_END_TX, &moved, 0);
		driver_ring_close(&moved);
	}
	driver_ring_kick_always(&run->nic->tx.ring);
}

static void toggle_enable(struct guest_run *run, uint64_t arg)
{
	(void)arg;
	for (uint32_t i = 0; i < REPEATS; i++) {
		front_end_set_state(&run->fe, VHOST_USER_SET_VRING_ENABLE, FRONT_END_TX, i & 1);
		send_some(run);
		guest_nic_reap(run->nic);
	}
}

static void replace_kick(struct guest_run *run, uint64_t arg)
{
	(void)arg;
	for (uint32_t i = 0; i < REPEATS; i++) {
		send_some(run);
		front_end_set_fd(&run->fe, VHOST_USER_SET_VRING_KICK, FRONT_END_TX,
				 run->nic->tx.ring.kick_fd);
		front_end_set_fd(&run->fe, VHOST_USER_SET_VRING_CALL, FRONT_END_TX,
				 run->nic->tx.ring.call_fd);
		guest_nic_reap(run->nic);
	}
}

/* A ring that was stopped is asked again, and kicked. */
static void base_twice(struct guest_run *run, uint64_t arg)
{
	uint32_t base;

	(void)arg;
	front_end_stop_ring(&run->fe, FRONT_END_TX, &base);
	send_some(run);
	front_end_stop_ring(&run->fe, FRONT_END_TX, &base);
}

static void wrong_base(struct guest_run *run, uint64_t arg)
{
	uint32_t base;

	front_end_stop_ring(&run->fe, FRONT_END_TX, &base);
	front_end_set_state(&run->fe, VHOST_USER_SET_VRING_BASE, FRONT_END_TX,
			    (uint32_t)(base + arg));
	front_end_set_fd(&run->fe, VHOST_USER_SET_VRING_KICK, FRONT_END_TX,
			 run->nic->tx.ring.kick_fd);
	send_some(run);
	driver_ring_kick_always(&run->nic->tx.ring);
}

static void reset_owner(struct guest_run *run, uint64_t arg)
{
	front_end_request(&run->fe, (uint32_t)arg, NULL, 0, NULL, 0, false);
	send_some(run);
}

/* Another client while the first is served; it stays until the end. */
static void second_client(struct guest_run *run, uint64_t arg)
{
	uint64_t offered;

	(void)arg;
	send_some(run);
	if (!front_end_open(&second, &run->config))
		front_end_get_u64(&second, VHOST_USER_GET_FEATURES, &offered);
	send_some(run);
}

static void many_connections(struct guest_run *run, uint64_t arg)
{
	struct front_end fe;
	uint64_t offered;

	front_end_close(&run->fe);
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		if (front_end_open(&fe, &run->config) < 0)
			break;
		if (arg)
			front_end_get_u64(&fe, VHOST_USER_GET_FEATURES, &offered);
		front_end_close(&fe);
	}
}

static void disconnect(struct guest_run *run, uint64_t arg)
{
	static const uint8_t part[7] = { VHOST_USER_GET_FEATURES };

	send_some(run);
	if (arg)
		front_end_send_bytes(&run->fe, part, sizeof(part), NULL, 0);
	front_end_close(&run->fe);
}

/* Questions without end, whose answers nobody reads. */
static void never_reads(struct guest_run *run, uint64_t arg)
{
	uint32_t header[3] = { VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0 };

	(void)arg;
	for (uint32_t i = 0; i < UNREAD; i++)
		if (send(run->fe.sock, header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
}

static void says_nothing(struct guest_run *run, uint64_t arg)
{
	(void)run;
	(void)arg;
}

/* The shared memory goes away under the back-end: SIGBUS there. We touch it no more. */
static void truncate_memory(struct guest_run *run, uint64_t arg)
{
	struct guest_memory *m = &run->memory;

	send_some(run);
	if (ftruncate(m->fd, (off_t)arg) < 0)
		summary_error(run->summary, EXIT_WRONG, "cannot truncate guest memory");
	for (uint32_t i = 0; i < m->region_count; i++)
		if (mmap(m->regions[i].host, m->regions[i].size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			_exit(EXIT_WRONG);
	run->nic->tx.ring.published = run->nic->tx.ring.used_seen = 0;
	driver_ring_kick_always(&run->nic->tx.ring);
	driver_ring_kick_always(&run->nic->rx.ring);
}

static int silent[2], held[2];

/* Waits for a byte that never comes, with the pipe's lock held. */
static void *hold_pipe(void *arg)
{
	splice(silent[0], NULL, held[1], NULL, 1, 0);
	return arg;
}

/*
 * Whoever closes the other end of the pipe waits for us. That has to be the back-end, so it
 * has that end, with the first bytes of the message, before we hold the pipe.
 */
static void held_pipe(struct guest_run *run, uint64_t arg)
{
	uint32_t header[3] = { (uint32_t)arg, VHOST_USER_VERSION, 0 };
	uint32_t question[3] = { VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0 };
	pthread_t thread;

	/* Where the thread comes late, the pipe has no reader any more, which does no harm. */
	signal(SIGPIPE, SIG_IGN);
	if (pipe2(held, O_CLOEXEC) || socketpair(AF_UNIX, SOCK_STREAM, 0, silent)) {
		summary_error(run->summary, EXIT_WRONG, "cannot make a pipe");
		return;
	}
	front_end_send_bytes(&run->fe, header, sizeof(header[0]), held, 1);
	close(held[0]);
	if (pthread_create(&thread, NULL, hold_pipe, NULL) || pthread_detach(thread))
		summary_error(run->summary, EXIT_WRONG, "cannot hold a pipe");
	for (uint32_t i = 0; i < YIELDS; i++)
		sched_yield();
	front_end_send_bytes(&run->fe, header + 1, sizeof(header) - sizeof(header[0]), NULL, 0);
	front_end_send_bytes(&run->fe, question, sizeof(question), NULL, 0);
}

static void kick_storm(struct guest_run *run, uint64_t arg)
{
	(void)arg;
	for (uint32_t i = 0; i < STORM; i++) {
		driver_ring_kick_always(&run->nic->tx.ring);
		driver_ring_kick_always(&run->nic->rx.ring);
	}
}

#define C STAGE_CONNECTED
#define N STAGE_NEGOTIATED
#define R STAGE_RUNNING

/* clang-format off */
const struct misdeed misdeeds_state[] = {
	{ "repeat-num", R, 0, again_num, 0, "SET_VRING_NUM again and again while running" },
	{ "change-num", R, 0, again_num, 32768, "SET_VRING_NUM with another number while running" },
	{ "repeat-mem-table", R, 0, again_table, 0, "the same SET_MEM_TABLE again and again while running" },
	{ "change-mem-table", R, 0, other_table, 0, "another memory while running, without the rings" },
	{ "shrink-mem-table", R, NEEDS_TWO, other_table, 1, "the region of the rings leaves the table while running" },
	{ "change-addr", R, 0, move_ring, 0, "the TX ring moves while running" },
	{ "same-addr-twice", R, 0, move_ring, 1, "the TX ring moves onto the RX ring while running" },
	{ "toggle-enable", R, 0, toggle_enable, 0, "enable and disable in turn while sending" },
	{ "replace-kick", R, 0, replace_kick, 0, "new kick and call descriptors in turn while sending" },
	{ "stop-twice", R, 0, base_twice, 0, "GET_VRING_BASE of a stopped ring" },
	{ "base-ahead", R, 0, wrong_base, 1000, "a ring base beyond what is available" },
	{ "base-behind", R, 0, wrong_base, 65000, "a ring base long ago" },
	{ "reset-owner", R, 0, reset_owner, VHOST_USER_RESET_OWNER, "RESET_OWNER while running" },
	{ "set-owner-twice", R, 0, reset_owner, VHOST_USER_SET_OWNER, "SET_OWNER a second time while running" },
	{ "second-client", R, 0, second_client, 0, "another client connects while this one runs" },
	{ "many-connections", C, 0, many_connections, 0, "200 connections that are closed at once" },
	{ "many-handshakes", C, 0, many_connections, 1, "200 connections that ask one question" },
	{ "disconnect-running", R, 0, disconnect, 0, "disconnect with frames in flight" },
	{ "disconnect-mid-message", R, 0, disconnect, 1, "disconnect in the middle of a message, with frames in flight" },
	{ "never-reads", C, 0, never_reads, 0, "questions without end, answers never read" },
	{ "never-speaks", C, 0, says_nothing, 0, "a connection on which nothing is said" },
	{ "never-starts", N, 0, says_nothing, 0, "a negotiation after which nothing is said" },
	{ "truncate-memory", R, NEEDS_NO_SEAL, truncate_memory, 0, "the shared memory is cut to nothing while running" },
	{ "truncate-half", R, NEEDS_NO_SEAL, truncate_memory, 4096, "the shared memory is cut to a page while running" },
	{ "pipe-held", N, 0, held_pipe, VHOST_USER_SET_LOG_FD, "a descriptor that takes for ever to close, and a question" },
	{ "kick-storm", R, 0, kick_storm, 0, "100000 kicks for nothing" },
	{ 0 },
};
/* clang-format on */
