/* SPDX-License-Identifier: BSD-2-Clause */
/* The owner of a session, who writes down what it asks, and how both begin and end. */
#include "session_front.h"

#include "fd.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what the session asks ---- */

static int on_send(void *arg, const uint8_t *bytes, size_t len, int fd)
{
	struct front *front = arg;

	if (front->send_ret)
		return front->send_ret;
	if (fd >= 0) {
		assert_int_equal(front->reply_fd, -1);
		front->reply_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		assert_true(front->reply_fd >= 0);
	}
	assert_true(front->reply_len + len <= sizeof(front->reply));
	memcpy(front->reply + front->reply_len, bytes, len);
	front->reply_len += len;
	return 0;
}

static int on_ring_start(void *arg, unsigned int index, const struct session_ring *ring,
			 struct gw_error *err)
{
	struct front *front = arg;

	if (front->start_ret)
		return gw_error_set(err, front->start_ret, "ring %u: not in memory", index);
	assert_ptr_equal(ring->config.memmap, front->memmap);
	front->ring[index] = *ring;
	front->starts[index]++;
	return 0;
}

static void on_ring_stop(void *arg, unsigned int index, bool handed)
{
	struct front *front = arg;

	front->stops[index]++;
	front->handed[index] = handed;
	if (front->late)
		front->stopping[index] = true;
	else
		session_ring_stopped(front->session, index, front->stop_base[index]);
}

static void on_ring_over(void *arg, unsigned int index, const struct session_ring *ring, bool reset)
{
	struct front *front = arg;

	/* Perhaps of an area that was given since; but of one that is there. */
	if (ring->config.record)
		(void)*(volatile uint8_t *)ring->config.record;
	front->overs[index]++;
	front->resets[index] += reset;
	front->over = ring->config;
	front->over_reply_len = front->reply_len;
}

static void on_ring_enable(void *arg, unsigned int index, bool enabled)
{
	struct front *front = arg;

	front->enables[index]++;
	front->ring[index].enabled = enabled;
}

static void on_ring_fds(void *arg, unsigned int index, const struct session_ring *ring)
{
	struct front *front = arg;

	front->fd_changes[index]++;
	front->ring[index] = *ring;
}

static void on_memory(void *arg, struct gw_memmap *memmap)
{
	struct front *front = arg;
	struct gw_memmap *before = front->memmap;

	for (unsigned int i = 0; i < front->rings; i++)
		assert_false(session_ring_running(front->session, i));
	front->memories++;
	front->memories_gone += !memmap;
	front->memmap = memmap ? memmap_get(memmap) : NULL;
	memmap_put(before);
}

static void on_features(void *arg, uint64_t features)
{
	struct front *front = arg;

	front->feature_sets++;
	front->features = features;
}

static void on_log(void *arg, struct dirty_log *log)
{
	struct front *front = arg;

	front->logs++;
	front->log = log;
}

static void on_iotlb(void *arg, struct iotlb *iotlb, const struct session_stale *stale)
{
	struct front *front = arg;

	front->iotlbs++;
	front->iotlb = iotlb;
	if (!stale)
		return;
	front->stale_count = stale->count;
	front->stale_bytes = 0;
	for (unsigned int i = 0; i < stale->count; i++)
		front->stale_bytes += stale->range[i].iov_len;
	if (front->late_iotlb)
		front->iotlb_waits = true;
	else
		session_iotlb_done(front->session);
}

static void on_backend_channel(void *arg, int fd)
{
	struct front *front = arg;

	front->channels++;
	gw_fd_close(&front->channel_fd);
	front->channel_fd = fd;
}

static int on_backend_send(void *arg, const uint8_t *bytes, size_t len)
{
	struct front *front = arg;

	/* As an import of what is not true of its owner has it. */
	if (front->channel_fd < 0)
		return -ENOTCONN;
	if (front->backend_len + len > sizeof(front->backend))
		return -EAGAIN;
	memcpy(front->backend + front->backend_len, bytes, len);
	front->backend_len += len;
	front->backend_writes++;
	return 0;
}

static void on_announce(void *arg, const uint8_t mac[6])
{
	struct front *front = arg;

	front->announcements++;
	memcpy(front->mac, mac, sizeof(front->mac));
}

static void on_mtu(void *arg, uint32_t mtu)
{
	((struct front *)arg)->mtu = mtu;
}

static size_t on_state_save(void *arg, uint8_t *bytes, size_t room)
{
	struct front *front = arg;

	assert_true(front->state_len <= room);
	memcpy(bytes, front->state, front->state_len);
	return front->state_len;
}

static int on_state_load(void *arg, const uint8_t *bytes, size_t len, struct gw_error *err)
{
	struct front *front = arg;

	if (front->load_ret || len > sizeof(front->state))
		return gw_error_set(err, -EINVAL, "no state of this device");
	if (len)
		memcpy(front->state, bytes, len);
	front->state_len = len;
	return 0;
}

static void on_dispose(void *arg, int fd)
{
	struct front *front = arg;

	assert_int_equal(close(fd), 0);
	front->disposals++;
}

static void on_note(void *arg, int level, const char *line)
{
	struct front *front = arg;

	front->notes++;
	snprintf(front->note, sizeof(front->note), "%s", line);
}

static const struct session_ops front_ops = {
	.send = on_send,
	.ring_start = on_ring_start,
	.ring_stop = on_ring_stop,
	.ring_over = on_ring_over,
	.ring_enable = on_ring_enable,
	.ring_fds = on_ring_fds,
	.memory = on_memory,
	.features = on_features,
	.log = on_log,
	.iotlb = on_iotlb,
	.backend_channel = on_backend_channel,
	.backend_send = on_backend_send,
	.announce = on_announce,
	.mtu = on_mtu,
	.state_save = on_state_save,
	.state_load = on_state_load,
	.dispose = on_dispose,
	.note = on_note,
};

/* ---- life ---- */

unsigned int front_count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

void front_open(struct front *front)
{
	front_open_as(front, FRONT_FEATURES, FRONT_PROTOCOL_FEATURES, FRONT_RINGS / 2);
}

void front_open_as(struct front *front, uint64_t features, uint64_t protocol_features,
		   unsigned int pairs)
{
	const struct session_config config = {
		.ops = &front_ops,
		.arg = front,
		.features = features,
		.protocol_features = protocol_features,
		.arena = { -1, 0 },
		.ring_size_max = 1024,
		.pairs_max = pairs,
	};

	memset(front, 0, sizeof(*front));
	front->rings = 2 * pairs;
	front->offered = features;
	front->protocol_offered = protocol_features;
	front->reply_fd = front->channel_fd = -1;
	front->open_fds = front_count_fds();
	front->memory_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(front->memory_fd >= 0);
	assert_int_equal(ftruncate(front->memory_fd, 2 * FRONT_REGION_BYTES), 0);
	front->config = config;
	assert_int_equal(session_create(&config, &front->session), 0);
}

const struct session_config *front_config(struct front *front)
{
	return &front->config;
}

int front_stop_rings(struct front *front)
{
	for (unsigned int i = 0; i < front->rings; i++) {
		if (!front->stopping[i])
			continue;
		assert_true(session_busy(front->session));
		front->stopping[i] = false;
		session_ring_stopped(front->session, i, front->stop_base[i]);
	}
	if (front->iotlb_waits) {
		front->iotlb_waits = false;
		session_iotlb_done(front->session);
	}
	assert_false(session_busy(front->session));
	return session_continue(front->session, &front->err);
}

void front_close(struct front *front)
{
	session_close(front->session);
	if (session_busy(front->session))
		front_stop_rings(front);
	assert_false(session_busy(front->session));
	assert_null(session_memmap(front->session));
	assert_null(front->memmap);
	session_destroy(front->session);
	gw_fd_close(&front->reply_fd);
	assert_int_equal(front->channel_fd, -1);
	gw_fd_close(&front->memory_fd);
	assert_int_equal(front_count_fds(), front->open_fds);
}

int front_setup(void **state)
{
	front_open(*state);
	return 0;
}

int front_teardown(void **state)
{
	front_close(*state);
	return 0;
}
