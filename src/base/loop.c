/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control loop: epoll for descriptors, a list sorted by time for timers, and
 * a queue of calls from other threads with an eventfd that wakes the loop.
 *
 * Who touches what: epoll set, timers and the batch belong to the loop's thread
 * (to anybody while it does not run); the queue of calls, `running`, `lent` and
 * the `done` of a waited-for call are protected by `lock`.
 *
 * Stopping a watch inside a callback is what event loops get wrong: events of
 * the same epoll batch may already name a watch whose owner is being freed. So
 * the batch lives in the loop, and gw_watch_stop strikes the watch out of it.
 *
 * gw_loop_call while the loop does not run: the function runs on the caller's
 * thread, which stands in for the loop meanwhile (`lent`): gw_loop_run and other
 * callers wait for its end, so that it never overlaps a callback.
 *
 * Limits: few timers (start is linear in their number); a control-plane loop.
 */
#include "loop.h"

#include "atomic.h"
#include "fd.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define LOOP_BATCH 32
#define NS_PER_MS  1000000u
#define NS_PER_S   1000000000u

/* A posted function. Allocated for post, on the waiting thread's stack for call. */
struct posted {
	struct gw_list node;
	void (*fn)(void *arg);
	void *arg;
	bool waited;
	bool done;
};

struct gw_loop {
	int epoll_fd;
	int wake_fd;
	struct gw_watch wake;
	struct gw_list watches;
	struct gw_list timers; /* soonest first */
	struct epoll_event batch[LOOP_BATCH];
	int batch_next, batch_count;

	pthread_mutex_t lock;
	pthread_cond_t finished; /* some waited-for call is done */
	struct gw_list posts;
	bool running;
	bool lent; /* a caller's thread runs a function in the loop's place */
	bool quit; /* atomic: set by any thread, taken by gw_loop_run */
};

/* The loop that this thread runs, or stands in for. */
static _Thread_local const struct gw_loop *current_loop;

uint64_t gw_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- creation and end ---- */

static void on_wake(struct gw_watch *watch, uint32_t events)
{
	gw_eventfd_clear(watch->fd);
}

int gw_loop_create(struct gw_loop **result)
{
	struct gw_loop *loop = calloc(1, sizeof(*loop));
	int rc;

	if (!loop)
		return -ENOMEM;
	gw_list_init(&loop->watches);
	gw_list_init(&loop->timers);
	gw_list_init(&loop->posts);
	pthread_mutex_init(&loop->lock, NULL);
	pthread_cond_init(&loop->finished, NULL);
	loop->wake_fd = gw_eventfd();
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	rc = loop->epoll_fd < 0 ? -errno : loop->wake_fd < 0 ? loop->wake_fd : 0;
	if (!rc)
		rc = gw_watch_start(loop, &loop->wake, loop->wake_fd, EPOLLIN, on_wake);
	if (rc) {
		gw_loop_destroy(loop);
		return rc;
	}
	*result = loop;
	return 0;
}

void gw_loop_destroy(struct gw_loop *loop)
{
	struct gw_list *pos, *next;

	if (!loop)
		return;
	/* Nobody is left to run these for. */
	gw_list_for_each_safe(pos, next, &loop->posts)
		free(gw_container_of(pos, struct posted, node));
	gw_fd_close(&loop->epoll_fd);
	gw_fd_close(&loop->wake_fd);
	pthread_cond_destroy(&loop->finished);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

/* ---- watches ---- */

/* Owners zero their structs or set fd to -1; both mean inactive. */
static bool watch_is_active(const struct gw_watch *watch)
{
	return watch->node.next && watch->fd >= 0;
}

static int watch_control(struct gw_loop *loop, int op, struct gw_watch *watch)
{
	struct epoll_event event = { .events = watch->events, .data.ptr = watch };

	return epoll_ctl(loop->epoll_fd, op, watch->fd, &event) < 0 ? -errno : 0;
}

int gw_watch_start(struct gw_loop *loop, struct gw_watch *watch, int fd, uint32_t events,
		   void (*fn)(struct gw_watch *watch, uint32_t events))
{
	int rc;

	if (watch_is_active(watch))
		return -EEXIST;
	watch->fd = fd;
	watch->events = events;
	watch->fn = fn;
	rc = watch_control(loop, EPOLL_CTL_ADD, watch);
	if (rc) {
		watch->fd = -1;
		return rc;
	}
	gw_list_add_tail(&loop->watches, &watch->node);
	return 0;
}

int gw_watch_change(struct gw_loop *loop, struct gw_watch *watch, uint32_t events)
{
	uint32_t before = watch->events;
	int rc;

	if (!watch_is_active(watch))
		return -ENOENT;
	watch->events = events;
	rc = watch_control(loop, EPOLL_CTL_MOD, watch);
	if (rc)
		watch->events = before;
	return rc;
}

void gw_watch_stop(struct gw_loop *loop, struct gw_watch *watch)
{
	if (!watch_is_active(watch))
		return;
	for (int i = loop->batch_next; i < loop->batch_count; i++)
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].data.ptr = NULL;
	watch_control(loop, EPOLL_CTL_DEL, watch);
	gw_list_del(&watch->node);
	watch->fd = -1;
}

/* ---- timers ---- */

void gw_timer_start(struct gw_loop *loop, struct gw_timer *timer, uint64_t delay_ms,
		    void (*fn)(struct gw_timer *timer))
{
	struct gw_list *after;

	gw_timer_stop(loop, timer);
	timer->due_ns = gw_now_ns() + delay_ms * NS_PER_MS;
	timer->fn = fn;
	gw_list_for_each(after, &loop->timers)
		if (gw_container_of(after, struct gw_timer, node)->due_ns > timer->due_ns)
			break;
	/* The tail of the part that ends at `after`. */
	gw_list_add_tail(after, &timer->node);
}

void gw_timer_stop(struct gw_loop *loop, struct gw_timer *timer)
{
	if (!timer->due_ns)
		return;
	gw_list_del(&timer->node);
	timer->due_ns = 0;
}

static struct gw_timer *first_timer(struct gw_loop *loop)
{
	if (gw_list_empty(&loop->timers))
		return NULL;
	return gw_container_of(loop->timers.next, struct gw_timer, node);
}

/* Rounded up: a timer must not find itself early and spin. */
static int wait_ms(struct gw_loop *loop)
{
	struct gw_timer *timer = first_timer(loop);
	uint64_t now_ns, left_ms;

	if (!timer)
		return -1;
	now_ns = gw_now_ns();
	if (timer->due_ns <= now_ns)
		return 0;
	left_ms = (timer->due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static bool must_quit(struct gw_loop *loop)
{
	return gw_load_relaxed(&loop->quit);
}

/* Those due at the beginning only: one that starts itself anew waits for its turn. */
static void run_timers(struct gw_loop *loop)
{
	struct gw_timer *timer;
	uint64_t now_ns;

	if (gw_list_empty(&loop->timers))
		return;
	now_ns = gw_now_ns();
	while (!must_quit(loop) && (timer = first_timer(loop)) && timer->due_ns <= now_ns) {
		gw_timer_stop(loop, timer);
		timer->fn(timer);
	}
}

/* ---- calls from other threads ---- */

int gw_loop_post(struct gw_loop *loop, void (*fn)(void *arg), void *arg)
{
	struct posted *post = malloc(sizeof(*post));

	if (!post)
		return -ENOMEM;
	*post = (struct posted){ .fn = fn, .arg = arg };
	pthread_mutex_lock(&loop->lock);
	gw_list_add_tail(&loop->posts, &post->node);
	/* Under the lock: after it the loop may run this post, quit and be destroyed. */
	gw_eventfd_signal(loop->wake_fd);
	pthread_mutex_unlock(&loop->lock);
	return 0;
}

/* Runs fn on this thread, in the loop's place. The lock is held, and again on return. */
static void call_lent(struct gw_loop *loop, void (*fn)(void *arg), void *arg)
{
	const struct gw_loop *outer = current_loop;

	loop->lent = true;
	pthread_mutex_unlock(&loop->lock);
	current_loop = loop;
	fn(arg);
	current_loop = outer;
	pthread_mutex_lock(&loop->lock);
	loop->lent = false;
	pthread_cond_broadcast(&loop->finished);
}

/* Has the loop run fn. The lock is held, and again on return. */
static void call_running(struct gw_loop *loop, void (*fn)(void *arg), void *arg)
{
	struct posted post = { .fn = fn, .arg = arg, .waited = true };

	gw_list_add_tail(&loop->posts, &post.node);
	gw_eventfd_signal(loop->wake_fd);
	while (!post.done)
		pthread_cond_wait(&loop->finished, &loop->lock);
}

void gw_loop_call(struct gw_loop *loop, void (*fn)(void *arg), void *arg)
{
	if (gw_loop_is_current(loop)) {
		fn(arg);
		return;
	}
	pthread_mutex_lock(&loop->lock);
	while (loop->lent)
		pthread_cond_wait(&loop->finished, &loop->lock);
	if (loop->running)
		call_running(loop, fn, arg);
	else
		call_lent(loop, fn, arg);
	pthread_mutex_unlock(&loop->lock);
}

static void run_post(struct gw_loop *loop, struct posted *post)
{
	post->fn(post->arg);
	if (!post->waited) {
		free(post);
		return;
	}
	pthread_mutex_lock(&loop->lock);
	post->done = true;
	pthread_cond_broadcast(&loop->finished);
	pthread_mutex_unlock(&loop->lock);
}

/* Takes the oldest post, or NULL; with `last` the loop ceases to run if there is none. */
static struct posted *take_post(struct gw_loop *loop, bool last)
{
	struct posted *post = NULL;

	pthread_mutex_lock(&loop->lock);
	if (!gw_list_empty(&loop->posts)) {
		post = gw_container_of(loop->posts.next, struct posted, node);
		gw_list_del(&post->node);
	} else if (last) {
		loop->running = false;
		gw_store_relaxed(&loop->quit, false);
	}
	pthread_mutex_unlock(&loop->lock);
	return post;
}

/* As many as one batch of events, so that posts that post again starve nobody. */
static void run_posts(struct gw_loop *loop)
{
	struct posted *post;

	for (int i = 0; i < LOOP_BATCH && !must_quit(loop); i++) {
		post = take_post(loop, false);
		if (!post)
			return;
		run_post(loop, post);
	}
	gw_eventfd_signal(loop->wake_fd); /* perhaps more: come back at once */
}

/* ---- running ---- */

bool gw_loop_is_current(const struct gw_loop *loop)
{
	return current_loop == loop;
}

void gw_loop_quit(struct gw_loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	gw_store_relaxed(&loop->quit, true);
	gw_eventfd_signal(loop->wake_fd);
	pthread_mutex_unlock(&loop->lock);
}

static void run_batch(struct gw_loop *loop)
{
	struct gw_watch *watch;
	uint32_t events;

	loop->batch_next = 0;
	while (loop->batch_next < loop->batch_count && !must_quit(loop)) {
		watch = loop->batch[loop->batch_next].data.ptr;
		events = loop->batch[loop->batch_next].events;
		loop->batch_next++;
		if (watch)
			watch->fn(watch, events);
	}
	loop->batch_count = 0;
}

static void begin_run(struct gw_loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	while (loop->lent)
		pthread_cond_wait(&loop->finished, &loop->lock);
	loop->running = true;
	pthread_mutex_unlock(&loop->lock);
}

void gw_loop_run(struct gw_loop *loop)
{
	const struct gw_loop *outer = current_loop;
	struct posted *post;
	int count;

	begin_run(loop);
	current_loop = loop;
	while (!must_quit(loop)) {
		count = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH, wait_ms(loop));
		loop->batch_count = count > 0 ? count : 0;
		run_batch(loop);
		run_timers(loop);
		run_posts(loop);
	}
	/* Somebody may wait for a call that was queued: none is left behind. */
	while ((post = take_post(loop, true)))
		run_post(loop, post);
	current_loop = outer;
}
