/* SPDX-License-Identifier: BSD-2-Clause */
/* Hand-over: a session becomes bytes and descriptors, and a session again. */
#include "session.h"

#include "fd.h"
#include "session_front.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define FEATURES (FRONT_FEATURES | 1ull << VHOST_F_LOG_ALL_BIT)
#define PAIRS    4u

/* What goes from one process to the other. */
static struct {
	uint8_t bytes[SESSION_CARRY_BYTES_MAX];
	size_t len;
	int fds[SESSION_CARRY_FDS_MAX];
	unsigned int fd_count;
} carry;

static struct front front;

static int setup(void **state)
{
	front_open_as(&front, FRONT_ALL_FEATURES, FRONT_ALL_PROTOCOL_FEATURES, PAIRS);
	return 0;
}

static int memfd(size_t bytes)
{
	int fd = memfd_create("carried", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

/* Everything that a session can have. */
static void start_all(void)
{
	const struct message_log log = { 8192, 0 };
	const struct message_inflight inflight = { 1u << 20, 0, 2 * PAIRS, 256 };
	int log_fd = memfd(8192), inflight_fd = memfd(1u << 20);

	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_NET_SET_MTU, 9000), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES, FEATURES), 0);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_STATUS, 15), 0);
	assert_int_equal(
		front_send(&front, VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log), &log_fd, 1), 0);
	assert_int_equal(
		front_send(&front, VHOST_USER_SET_INFLIGHT_FD, 0, &inflight, 24, &inflight_fd, 1),
		0);
	front_start(&front, 7);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_ENABLE, 3, 0), 0);
}

/* As SCM_RIGHTS does: each descriptor anew. */
static void export(void)
{
	assert_int_equal(session_export(front.session, carry.bytes, sizeof(carry.bytes), &carry.len,
					carry.fds, SESSION_CARRY_FDS_MAX, &carry.fd_count,
					&front.err),
			 0);
	for (unsigned int i = 0; i < carry.fd_count; i++) {
		carry.fds[i] = fcntl(carry.fds[i], F_DUPFD_CLOEXEC, 0);
		assert_true(carry.fds[i] >= 0);
	}
}

static void drop_fds(void)
{
	gw_fds_close(carry.fds, carry.fd_count);
	carry.fd_count = 0;
}

static int import(struct session **session)
{
	int ret = session_import(front_config(&front), carry.bytes, carry.len, carry.fds,
				 carry.fd_count, session, &front.err);

	carry.fd_count = 0;
	return ret;
}

/* The front-end goes on with another process, and does not notice. */
static void a_session_that_runs_elsewhere(void **state)
{
	struct session_ring before[2 * PAIRS];
	struct dirty_log *log;

	start_all();
	memcpy(before, front.ring, sizeof(before));
	for (unsigned int i = 0; i < front.rings; i++)
		front.stop_base[i] = 100 + i;
	front.late = true;
	session_pause(front.session, true);
	assert_true(session_busy(front.session));
	assert_true(front.handed[1]);
	assert_int_equal(front_stop_rings(&front), 0);
	export();
	front.late = false;
	/* The one before ends without a word. */
	front.reply_len = 0;
	session_close(front.session);
	session_destroy(front.session);
	assert_int_equal(front.reply_len, 0);
	assert_null(front.memmap);
	front.log = NULL;
	front.features = front.mtu = 0;

	assert_int_equal(import(&front.session), 0);
	assert_int_equal(front.starts[0], 1); /* not yet */
	assert_int_equal(session_resume(front.session, &front.err), 0);
	assert_int_equal(front.features, FEATURES);
	assert_int_equal(front.mtu, 9000);
	log = session_log(front.session);
	assert_non_null(log);
	assert_ptr_equal(front.log, log);
	for (unsigned int i = 0; i < front.rings; i++) {
		const struct session_ring *ring = &front.ring[i];

		assert_int_equal(front.starts[i], 2);
		assert_int_equal(ring->config.base, 100 + i);
		assert_int_equal(ring->config.size, before[i].config.size);
		assert_int_equal(ring->config.desc_addr, before[i].config.desc_addr);
		assert_int_equal(ring->config.used_addr, before[i].config.used_addr);
		assert_int_equal(ring->enabled, i != 3);
		assert_non_null(ring->config.record);
		assert_ptr_equal(ring->config.log, log);
		assert_true(ring->kick_fd >= 0 && ring->call_fd >= 0);
		assert_int_equal(ring->err_fd, -1);
	}
	/* And on. */
	assert_int_equal(front_empty(&front, VHOST_USER_GET_STATUS), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_GET_STATUS), 15);
	assert_int_equal(front_state(&front, VHOST_USER_GET_VRING_BASE, 2, 0), 0);
	assert_int_equal(front_reply_state(&front, VHOST_USER_GET_VRING_BASE).num, 102);
	assert_int_equal(front_memory(&front, 1, VHOST_USER_NEED_REPLY), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_SET_MEM_TABLE), 0);
}

/* The other one did not want it. */
static void a_session_that_stays(void **state)
{
	start_all();
	front.stop_base[0] = 12;
	session_pause(front.session, false);
	assert_false(front.handed[0]);
	assert_false(session_busy(front.session));
	export();
	drop_fds();
	assert_false(session_ring_running(front.session, 0));
	/* Nothing starts meanwhile. */
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_false(session_ring_running(front.session, 0));
	front.feature_sets = 0;
	assert_int_equal(session_resume(front.session, &front.err), 0);
	assert_int_equal(front.ring[0].config.base, 12);
	assert_int_equal(front.starts[0], 2);
	assert_int_equal(front.feature_sets, 0); /* its owner knows all that */
}

static void behind_an_iommu(void **state)
{
	const struct message_iotlb update = { 0x10000, 0x8000, FRONT_USER_ADDR, 3, 2, { 0 } };

	front_connect(&front);
	assert_int_equal(front_u64(&front, VHOST_USER_SET_FEATURES,
				   FRONT_FEATURES | 1ull << VIRTIO_F_ACCESS_PLATFORM),
			 0);
	assert_int_equal(front_memory(&front, 2, 0), 0);
	assert_int_equal(
		front_send(&front, VHOST_USER_IOTLB_MSG, 0, &update, sizeof(update), NULL, 0), 0);
	assert_int_equal(front_state(&front, VHOST_USER_SET_VRING_NUM, 0, 256), 0);
	assert_int_equal(front_addr(&front, 0, 0x10000, 0), 0);
	assert_int_equal(front_eventfd(&front, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(front.starts[0], 1);
	session_pause(front.session, false);
	export();
	session_close(front.session);
	session_destroy(front.session);
	assert_int_equal(import(&front.session), 0);
	assert_int_equal(session_resume(front.session, &front.err), 0);
	assert_int_equal(front.starts[0], 2);
	assert_int_equal(iotlb_count(front.iotlb), 1);
	assert_ptr_equal(front.ring[0].config.iotlb, front.iotlb);
}

/* A connection that has said nothing yet is one, too. */
static void a_session_that_has_just_begun(void **state)
{
	session_pause(front.session, false);
	export();
	assert_int_equal(carry.fd_count, 0);
	session_close(front.session);
	session_destroy(front.session);
	assert_int_equal(import(&front.session), 0);
	assert_int_equal(session_resume(front.session, &front.err), 0);
	assert_int_equal(front.features, 0);
	front_connect_start(&front);
}

static void export_of_what_is_not_at_rest(void **state)
{
	start_all();
	assert_int_equal(session_export(front.session, carry.bytes, sizeof(carry.bytes), &carry.len,
					carry.fds, SESSION_CARRY_FDS_MAX, &carry.fd_count,
					&front.err),
			 -EAGAIN);
	front.late = true;
	session_pause(front.session, false);
	assert_int_equal(session_export(front.session, carry.bytes, sizeof(carry.bytes), &carry.len,
					carry.fds, SESSION_CARRY_FDS_MAX, &carry.fd_count,
					&front.err),
			 -EAGAIN);
	assert_int_equal(front_stop_rings(&front), 0);
	carry.fd_count = 0;
}

/* A front-end that says much is read in parts: one process had the first, the other the rest. */
static void a_message_that_comes_to_both(void **state)
{
	const uint64_t ring = 1;
	const uint32_t header[3] = { VHOST_USER_SET_VRING_ERR, VHOST_USER_VERSION, sizeof(ring) };
	int fd = gw_eventfd();

	start_all();
	assert_int_equal(front_bytes(&front, header, 5, &fd, 1), 0);
	session_pause(front.session, false);
	export();
	session_close(front.session);
	session_destroy(front.session);
	assert_int_equal(import(&front.session), 0);
	assert_int_equal(session_resume(front.session, &front.err), 0);
	assert_int_equal(session_want(front.session), sizeof(header) - 5);
	assert_int_equal(
		front_bytes(&front, (const uint8_t *)header + 5, sizeof(header) - 5, NULL, 0), 0);
	assert_int_equal(session_want(front.session), sizeof(ring));
	assert_int_equal(front_bytes(&front, &ring, sizeof(ring), NULL, 0), 0);
	assert_true(front.ring[1].err_fd >= 0);
}

/* It is asked how it went after the other process has come. */
static void a_state_that_is_on_its_way(void **state)
{
	const struct message_transfer load = { VHOST_USER_STATE_LOAD,
					       VHOST_USER_STATE_PHASE_STOPPED };
	int fd = front_other_fd(0), channel;

	front_connect(&front);
	assert_int_equal(
		front_send(&front, VHOST_USER_SET_DEVICE_STATE_FD, 0, &load, sizeof(load), &fd, 1),
		0);
	channel = dup(front.reply_fd);
	assert_true(channel >= 0);
	session_pause(front.session, false);
	export();
	session_close(front.session);
	session_destroy(front.session);
	assert_int_equal(import(&front.session), 0);
	assert_int_equal(session_resume(front.session, &front.err), 0);
	assert_int_equal(write(channel, "state", 5), 5);
	close(channel);
	front.reply_len = 0;
	assert_int_equal(front_empty(&front, VHOST_USER_CHECK_DEVICE_STATE), 0);
	assert_int_equal(front_reply_u64(&front, VHOST_USER_CHECK_DEVICE_STATE), 0);
	assert_int_equal(front.state_len, 5);
}

static void export_without_room(void **state)
{
	start_all();
	session_pause(front.session, false);
	export();
	drop_fds();
	for (size_t room = 0; room < carry.len; room += 61)
		assert_int_equal(session_export(front.session, carry.bytes, room, &carry.len,
						carry.fds, SESSION_CARRY_FDS_MAX, &carry.fd_count,
						&front.err),
				 -ENOSPC);
	for (unsigned int room = 0; room < 10; room++)
		assert_int_equal(session_export(front.session, carry.bytes, sizeof(carry.bytes),
						&carry.len, carry.fds, room, &carry.fd_count,
						&front.err),
				 -ENOSPC);
	carry.fd_count = 0;
	assert_int_equal(session_resume(front.session, &front.err), 0);
}

/* Cut at each place, or with a descriptor less or more: refused, and nothing is left open. */
static void import_of_less_or_more(void **state)
{
	struct session *session = NULL;
	unsigned int open_fds;
	size_t whole;

	start_all();
	session_pause(front.session, false);
	open_fds = front_count_fds();
	export();
	whole = carry.len;
	drop_fds();
	for (size_t len = 0; len < whole; len += len < 200 ? 1 : 37) {
		export();
		carry.len = len;
		assert_int_equal(import(&session), -EPROTO);
		assert_int_equal(front_count_fds(), open_fds);
	}
	export();
	gw_fd_close(&carry.fds[--carry.fd_count]);
	assert_int_equal(import(&session), -EPROTO);
	export();
	carry.fds[carry.fd_count++] = gw_eventfd();
	assert_int_equal(import(&session), -EPROTO);
	export();
	carry.len++;
	assert_int_equal(import(&session), -EPROTO);
	export();
	carry.bytes[4]++; /* the version */
	assert_int_equal(import(&session), -EPROTO);
	assert_int_equal(front_count_fds(), open_fds);
	assert_null(session);
	assert_int_equal(session_resume(front.session, &front.err), 0);
}

/* Who takes over offers less. */
static void import_with_less_to_offer(void **state)
{
	struct session_config config = *front_config(&front);
	struct session *session = NULL;

	start_all();
	session_pause(front.session, false);
	config.features &= ~(1ull << VHOST_F_LOG_ALL_BIT);
	export();
	assert_int_equal(session_import(&config, carry.bytes, carry.len, carry.fds, carry.fd_count,
					&session, &front.err),
			 -EPROTO);
	config = *front_config(&front);
	config.pairs_max = PAIRS - 1;
	export();
	assert_int_equal(session_import(&config, carry.bytes, carry.len, carry.fds, carry.fd_count,
					&session, &front.err),
			 -EPROTO);
	carry.fd_count = 0;
}

#define TEST(name) FRONT_TEST(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_session_that_runs_elsewhere),
		TEST(a_session_that_stays),
		TEST(behind_an_iommu),
		TEST(a_session_that_has_just_begun),
		TEST(export_of_what_is_not_at_rest),
		TEST(a_message_that_comes_to_both),
		TEST(a_state_that_is_on_its_way),
		TEST(export_without_room),
		TEST(import_of_less_or_more),
		TEST(import_with_less_to_offer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
