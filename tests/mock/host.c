/* SPDX-License-Identifier: BSD-2-Clause */
#include "host.h"

#include "arena.h"
#include "fd.h"
#include "memmap.h"
#include "text.h"
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define HOST_OPTIONS_MAX   16u
#define HOST_RUNS_MAX      16u
#define HOST_SEND_LIMIT_MS 2000u

struct arena_run {
	void *base;
	unsigned int count;
};

struct gw_port {
	const struct gw_driver *driver;
	char *spec; /* name, target and options, cut apart */
	const char *name, *target;
	struct {
		const char *name, *value;
	} option[HOST_OPTIONS_MAX];
	unsigned int option_count;
	void *priv;
	struct gw_queue queue;
	struct host_record record;
	bool paused;
	struct arena_run run[HOST_RUNS_MAX];
	unsigned int run_count;
	pthread_mutex_t lock; /* a visit, or a function of gw_port_apply */
	pthread_mutex_t record_lock;
};

size_t host_arena_bytes = HOST_ARENA_BYTES;
static struct gw_arena *arena;

static struct gw_arena *arena_get(void)
{
	struct gw_error err;

	if (!arena && arena_create(host_arena_bytes, &arena, &err))
		fail_msg("arena: %s", err.text);
	return arena;
}

void host_arena_free(void)
{
	arena_destroy(arena);
	arena = NULL;
}

int host_end(void **state)
{
	host_arena_free();
	return 0;
}

uint64_t host_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- ports ---- */

static bool option_known(const struct gw_driver *driver, const char *name)
{
	const struct gw_option *option;

	for (option = driver->options; option && option->name; option++)
		if (!strcmp(option->name, name))
			return true;
	return false;
}

/* Cuts "NAME=TARGET,OPTION=VALUE..." in place. */
static void spec_parse(struct gw_port *port)
{
	char *rest = strchr(port->spec, '='), *word, *value;

	assert_non_null(rest);
	*rest++ = 0;
	port->name = port->spec;
	word = strsep(&rest, ",");
	port->target = word;
	while ((word = strsep(&rest, ","))) {
		value = strchr(word, '=');
		assert_non_null(value);
		*value++ = 0;
		if (!option_known(port->driver, word))
			fail_msg("driver %s has no option %s", port->driver->name, word);
		assert_true(port->option_count < HOST_OPTIONS_MAX);
		port->option[port->option_count].name = word;
		port->option[port->option_count++].value = value;
	}
}

static void port_free(struct gw_port *port)
{
	while (port->run_count) {
		struct arena_run *run = &port->run[--port->run_count];

		arena_give(arena, run->base, run->count);
	}
	pthread_mutex_destroy(&port->lock);
	pthread_mutex_destroy(&port->record_lock);
	free(port->spec);
	free(port);
}

int host_open(const struct gw_driver *driver, const char *spec, struct gw_port **result,
	      struct gw_error *err)
{
	struct gw_port *port = calloc(1, sizeof(*port));
	pthread_mutexattr_t recursive;
	int rc;

	assert_non_null(port);
	arena_get();
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&port->lock, &recursive);
	pthread_mutex_init(&port->record_lock, NULL);
	port->driver = driver;
	port->spec = strdup(spec);
	assert_non_null(port->spec);
	spec_parse(port);
	port->queue.port = port;
	for (unsigned int i = 0; i < GW_QUEUE_FDS; i++)
		port->queue.fd[i].fd = -1;
	rc = driver->open(port, err);
	if (rc) {
		driver->close(port);
		port_free(port);
		port = NULL;
	}
	*result = port;
	return rc;
}

int host_start(struct gw_port *port, struct gw_error *err)
{
	return port->driver->start(port, err);
}

struct gw_port *host_run(const struct gw_driver *driver, const char *spec)
{
	struct gw_error err = { 0 };
	struct gw_port *port;

	if (host_open(driver, spec, &port, &err))
		fail_msg("open %s: %s", spec, err.text);
	if (host_start(port, &err))
		fail_msg("start %s: %s", spec, err.text);
	return port;
}

int host_stop(struct gw_port *port, unsigned int deadline_ms)
{
	return port->driver->stop(port, deadline_ms);
}

void host_close(struct gw_port *port)
{
	if (!port)
		return;
	port->driver->close(port);
	port_free(port);
}

struct host_record *host_record(struct gw_port *port)
{
	return &port->record;
}

struct gw_queue *host_queue(struct gw_port *port)
{
	return &port->queue;
}

void host_visit_begin(struct gw_port *port)
{
	pthread_mutex_lock(&port->lock);
}

void host_visit_end(struct gw_port *port)
{
	pthread_mutex_unlock(&port->lock);
}

bool host_paused(const struct gw_port *port)
{
	return port->paused;
}

struct gw_answer host_query(struct gw_port *port, struct gw_memmap *memmap)
{
	struct gw_answer answer;

	memset(&answer, 0, sizeof(answer));
	port->driver->query(port, memmap, &answer);
	return answer;
}

struct gw_answer host_lend(struct gw_port *port, struct gw_memmap *memmap)
{
	struct gw_answer answer = host_query(port, memmap);
	struct gw_error err = { 0 };

	if (answer.verdict == GW_NO)
		fail_msg("query: no, %s: %s", gw_reason_name(answer.reason), answer.text);
	if (answer.needs_map && port->driver->map(port, memmap, &err))
		fail_msg("map: %s", err.text);
	return answer;
}

/* ---- guest memory ---- */

void host_memory_create(struct host_memory *memory, size_t bytes, unsigned int flags)
{
	struct memmap_arena view = { arena_fd(arena_get()), arena_range(arena).iov_len };
	struct memmap_region region = { .size = bytes };
	struct gw_error err = { 0 };

	memory->bytes = bytes;
	memory->fd = memfd_create("pretended guest", MFD_CLOEXEC | flags);
	assert_true(memory->fd >= 0);
	assert_int_equal(ftruncate(memory->fd, (off_t)bytes), 0);
	memory->guest = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory->fd, 0);
	assert_true(memory->guest != MAP_FAILED);
	region.fd = memory->fd;
	if (memmap_create(&region, 1, view, &memory->memmap, &err))
		fail_msg("memmap: %s", err.text);
}

void host_memory_destroy(struct host_memory *memory)
{
	memmap_put(memory->memmap);
	munmap(memory->guest, memory->bytes);
	gw_fd_close(&memory->fd);
}

void *host_memory_at(const struct host_memory *memory, size_t offset)
{
	void *p = memmap_translate(memory->memmap, offset, 1);

	assert_non_null(p);
	return p;
}

/* ---- frames ---- */

uint32_t host_frame_bytes(const struct gw_frame *frame, void *dst, size_t dst_bytes)
{
	uint32_t len = 0;

	for (unsigned int i = 0; i < frame->seg_count; i++) {
		size_t part = frame->seg[i].iov_len;

		assert_true(part <= dst_bytes - len);
		memcpy((uint8_t *)dst + len, frame->seg[i].iov_base, part);
		len += (uint32_t)part;
	}
	return len;
}

void host_frame(struct gw_frame *frame, struct gw_memmap *memmap, const struct iovec *seg,
		unsigned int count)
{
	uint8_t *snapshot = frame->snapshot;
	size_t left = GW_FRAME_SNAPSHOT;

	memset(frame, 0, sizeof(*frame));
	assert_true(count >= 1 && count <= GW_FRAME_SEGS);
	frame->memmap = memmap;
	frame->seg = frame->own;
	frame->seg_count = (uint16_t)count;
	for (unsigned int i = 0; i < count; i++) {
		size_t part = seg[i].iov_len < left ? seg[i].iov_len : left;

		frame->own[i] = seg[i];
		frame->len += (uint32_t)seg[i].iov_len;
		memcpy(snapshot, seg[i].iov_base, part);
		snapshot += part;
		left -= part;
	}
}

void host_wait(struct gw_port *port, unsigned int wants, unsigned int timeout_ms)
{
	struct pollfd poll_fd[GW_QUEUE_FDS];
	unsigned int poll_us = 0;
	bool busy;

	host_visit_begin(port);
	busy = port->driver->arm && port->driver->arm(&port->queue, wants, &poll_us);
	for (unsigned int i = 0; i < GW_QUEUE_FDS; i++) {
		poll_fd[i].fd = port->queue.fd[i].fd;
		poll_fd[i].events = (short)(port->queue.fd[i].events & (EPOLLIN | EPOLLOUT));
	}
	host_visit_end(port);
	if (busy)
		return;
	if (poll_us && poll_us / 1000 + 1 < timeout_ms)
		timeout_ms = poll_us / 1000 + 1;
	poll(poll_fd, GW_QUEUE_FDS, (int)timeout_ms);
	if (!port->driver->arm)
		return;
	host_visit_begin(port);
	port->driver->arm(&port->queue, 0, &poll_us);
	host_visit_end(port);
}

void host_send(struct gw_port *port, struct gw_frame *frame)
{
	uint64_t end_ms = host_now_ms() + HOST_SEND_LIMIT_MS;
	unsigned int taken = 0;

	while (!taken && host_now_ms() < end_ms) {
		host_visit_begin(port);
		if (!port->paused)
			taken = port->driver->tx(&port->queue, &frame, 1);
		host_visit_end(port);
		if (!taken)
			host_wait(port, GW_WANT_TX, 10);
	}
	if (!taken)
		fail_msg("%s: tx takes nothing: %s", port->name,
			 gw_reason_name(port->queue.refusal));
}

unsigned int host_reap(struct gw_port *port, struct gw_done *done, unsigned int count,
		       unsigned int timeout_ms)
{
	uint64_t end_ms = host_now_ms() + timeout_ms;
	struct gw_done batch[GW_BATCH];
	unsigned int sum = 0;

	for (;;) {
		unsigned int want = count - sum < GW_BATCH ? count - sum : GW_BATCH, n;

		host_visit_begin(port);
		n = port->driver->reap(&port->queue, batch, want);
		host_visit_end(port);
		assert_true(n <= want);
		if (done)
			memcpy(done + sum, batch, n * sizeof(*done));
		sum += n;
		if (sum == count || host_now_ms() >= end_ms)
			return sum;
		if (!n)
			host_wait(port, GW_WANT_REAP, 10);
	}
}

unsigned int host_receive(struct gw_port *port, struct gw_frame **frames, unsigned int count,
			  unsigned int timeout_ms)
{
	uint64_t end_ms = host_now_ms() + timeout_ms;
	unsigned int sum = 0;

	for (;;) {
		unsigned int want = count - sum < GW_BATCH ? count - sum : GW_BATCH, n = 0;

		host_visit_begin(port);
		if (!port->paused)
			n = port->driver->rx(&port->queue, frames + sum, want);
		host_visit_end(port);
		assert_true(n <= want);
		sum += n;
		if (sum == count || host_now_ms() >= end_ms)
			return sum;
		if (!n)
			host_wait(port, GW_WANT_RX, 10);
	}
}

void host_release(struct gw_port *port, struct gw_frame **frames, unsigned int count)
{
	host_visit_begin(port);
	port->driver->release(&port->queue, frames, count);
	host_visit_end(port);
}

void *host_arena_buffer(struct gw_port *port)
{
	struct gw_error err = { 0 };
	void *buffer = gw_port_arena_take(port, 1, &err);

	if (!buffer)
		fail_msg("arena buffer: %s", err.text);
	return buffer;
}

/* ---- the services of driver.h ---- */

const char *gw_port_name(const struct gw_port *port)
{
	return port->name;
}

const char *gw_port_target(const struct gw_port *port)
{
	return port->target;
}

const char *gw_port_option(const struct gw_port *port, const char *name)
{
	const struct gw_option *option;

	for (unsigned int i = 0; i < port->option_count; i++)
		if (!strcmp(port->option[i].name, name))
			return port->option[i].value;
	for (option = port->driver->options; option && option->name; option++)
		if (!strcmp(option->name, name))
			return option->fallback;
	fail_msg("option %s is not in the table of %s", name, port->driver->name);
	return NULL;
}

int gw_port_option_u64(const struct gw_port *port, const char *name, uint64_t min, uint64_t max,
		       uint64_t *value, struct gw_error *err)
{
	const char *text = gw_port_option(port, name);

	assert_non_null(text);
	return gw_text_u64(name, text, min, max, value, err);
}

int gw_port_option_word(const struct gw_port *port, const char *name, const char *const *words,
			unsigned int *index, struct gw_error *err)
{
	const char *text = gw_port_option(port, name);

	assert_non_null(text);
	for (unsigned int i = 0; words[i]; i++) {
		if (strcmp(words[i], text))
			continue;
		*index = i;
		return 0;
	}
	return gw_error_set(err, -EINVAL, "%s=%s: no such word", name, text);
}

void *gw_port_priv(const struct gw_port *port)
{
	return port->priv;
}

void gw_port_set_priv(struct gw_port *port, void *priv)
{
	port->priv = priv;
}

struct gw_parcel *gw_port_parcel(const struct gw_port *port)
{
	return NULL;
}

unsigned int gw_port_queue_count(const struct gw_port *port)
{
	return 1;
}

unsigned int gw_port_first_queue(const struct gw_port *port)
{
	return 0;
}

void gw_queue_apply(struct gw_queue *queue, void (*fn)(void *arg), void *arg)
{
	gw_port_apply(queue->port, fn, arg);
}

struct gw_queue *gw_port_queue(struct gw_port *port, unsigned int index)
{
	assert_int_equal(index, 0);
	return &port->queue;
}

void gw_port_set_offloads(struct gw_port *port, const struct gw_offloads *offloads)
{
	port->record.offloads = *offloads;
}

void gw_port_set_max_len(struct gw_port *port, uint32_t len)
{
	port->record.max_len = len;
}

void gw_port_set_reads(struct gw_port *port, enum gw_reads reads)
{
	port->record.reads = reads;
}

void gw_port_set_place(struct gw_port *port, unsigned int pair, unsigned int index)
{
	assert_true(pair < GW_QUEUE_PAIRS_MAX);
	assert_int_equal(index, 0);
}

void gw_port_set_status(struct gw_port *port, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(port->record.status, sizeof(port->record.status), format, args);
	va_end(args);
}

void gw_port_apply(struct gw_port *port, void (*fn)(void *arg), void *arg)
{
	host_visit_begin(port);
	port->record.applies++;
	fn(arg);
	host_visit_end(port);
}

void gw_port_pause(struct gw_port *port)
{
	host_visit_begin(port);
	assert_false(port->paused);
	port->paused = true;
	port->record.pauses++;
	host_visit_end(port);
}

void gw_port_resume(struct gw_port *port)
{
	host_visit_begin(port);
	assert_true(port->paused);
	port->paused = false;
	port->record.resumes++;
	host_visit_end(port);
}

void gw_port_requery_refused(struct gw_port *port)
{
	__atomic_fetch_add(&port->record.requeries, 1, __ATOMIC_RELAXED);
}

void gw_port_requery(struct gw_port *port)
{
	__atomic_fetch_add(&port->record.requeries, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&port->record.doubts, 1, __ATOMIC_RELAXED);
}

/* Appends the line; the older half goes when the buffer is full. */
void gw_port_log(const struct gw_port *const_port, int level, const char *format, ...)
{
	struct gw_port *port = (struct gw_port *)const_port;
	struct host_record *record = &port->record;
	size_t used, half = sizeof(record->log) / 2;
	va_list args;

	pthread_mutex_lock(&port->record_lock);
	used = strlen(record->log);
	if (used > half) {
		used -= half;
		memmove(record->log, record->log + half, used + 1);
	}
	va_start(args, format);
	vsnprintf(record->log + used, sizeof(record->log) - used - 1, format, args);
	va_end(args);
	strcat(record->log, "\n");
	record->log_lines++;
	pthread_mutex_unlock(&port->record_lock);
	if (getenv("HOST_LOG"))
		print_message("%s <%d> %s", port->name, level, record->log + used);
}

void gw_queue_drop(struct gw_queue *queue, const struct gw_frame *frame, enum gw_reason reason)
{
	assert_true(reason < GW_REASON_COUNT);
	queue->port->record.drops[reason]++;
}

void gw_queue_rx_drop(struct gw_queue *queue, enum gw_reason reason, unsigned int n)
{
	assert_true(reason < GW_REASON_COUNT);
	queue->port->record.rx_drops[reason] += n;
}

struct iovec gw_port_arena(const struct gw_port *port)
{
	return arena_range(arena_get());
}

void *gw_port_arena_take(struct gw_port *port, unsigned int count, struct gw_error *err)
{
	struct arena_run *run = &port->run[port->run_count];

	assert_true(port->run_count < HOST_RUNS_MAX);
	run->base = arena_take(arena_get(), count);
	run->count = count;
	if (!run->base) {
		gw_error_set(err, -ENOMEM, "port %s: no %u buffers left in the arena", port->name,
			     count);
		return NULL;
	}
	port->run_count++;
	return run->base;
}
