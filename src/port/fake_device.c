/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_device.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

struct fake fake_template;

void fake_template_reset(void)
{
	memset(&fake_template, 0, sizeof(fake_template));
	fake_template.budget = UINT32_MAX;
	fake_template.refusal = GW_DROP_EGRESS_FULL;
	fake_template.answer = (struct gw_answer){
		.verdict = GW_YES,
		.reads = GW_READS_DMA,
		.max_segs = GW_FRAME_SEGS_MAX,
	};
}

/* ---- control ---- */

static int fake_open(struct gw_port *port, struct gw_error *err)
{
	struct fake *fake = malloc(sizeof(*fake));

	if (!fake)
		return gw_error_sys(err, -ENOMEM, "fake");
	*fake = fake_template;
	fake->port = port;
	fake->opens++;
	gw_port_set_priv(port, fake);
	gw_port_queue(port, 0)->priv = fake;
	if (!fake->fail_open)
		return 0;
	return gw_error_set(err, -EIO, "port %s: told to fail in open", gw_port_name(port));
}

static int fake_start(struct gw_port *port, struct gw_error *err)
{
	struct fake *fake = fake_of(port);

	gw_atomic_add(&fake->starts, 1u);
	if (fake->fail_start) {
		fake->fail_start--;
		return gw_error_set(err, -EIO, "port %s: told to fail in start",
				    gw_port_name(port));
	}
	return 0;
}

static void give_back(void *arg)
{
	struct fake *fake = arg;

	fake->complete = fake->keep_at_stop ? 0 : fake->held_count;
}

static int fake_stop(struct gw_port *port, unsigned int deadline_ms)
{
	struct fake *fake = fake_of(port);

	gw_atomic_add(&fake->stops, 1u);
	gw_port_apply(port, give_back, fake);
	return 0;
}

static void fake_close(struct gw_port *port)
{
	free(fake_of(port));
	gw_port_set_priv(port, NULL);
}

static void fake_query(struct gw_port *port, struct gw_memmap *memmap, struct gw_answer *answer)
{
	struct fake *fake = fake_of(port);

	gw_atomic_add(&fake->queries, 1u);
	if (fake->in_query)
		fake->in_query(fake->in_arg);
	*answer = fake->answer;
	if (!memmap)
		answer->needs_map = false;
}

static int fake_map(struct gw_port *port, struct gw_memmap *memmap, struct gw_error *err)
{
	struct fake *fake = fake_of(port);

	gw_atomic_add(&fake->maps, 1u);
	if (fake->in_map)
		fake->in_map(fake->in_arg);
	return gw_load_relaxed(&fake->fail_map) ? gw_error_set(err, -ENOMEM, "told to fail in map")
						: 0;
}

static int fake_remap(struct gw_port *port, struct gw_memmap *memmap, struct gw_error *err)
{
	struct fake *fake = gw_port_priv(port);

	gw_atomic_add(&fake->remaps, 1u);
	return gw_load_relaxed(&fake->fail_remap) ? gw_error_set(err, -ENOMEM, "told to fail") : 0;
}

static void fake_unmap(struct gw_port *port, struct gw_memmap *memmap)
{
	gw_atomic_add(&fake_of(port)->unmaps, 1u);
}

/* ---- worker ---- */

static unsigned int fake_rx(struct gw_queue *queue, struct gw_frame **frames, unsigned int max)
{
	struct fake *fake = queue->priv;
	unsigned int count = 0;

	gw_counter_add(&fake->rx_calls, 1);
	while (count < max && fake->lend_next < fake->lend_count) {
		struct gw_frame *frame = &fake->frame[fake->lend[fake->lend_next++ % FAKE_FRAMES]];

		frames[count++] = frame;
		/* The home keeps long arrays for one visit only (drivers/guest/lender.c). */
		if (frame->seg != frame->own)
			break;
	}
	return count;
}

static void fake_release(struct gw_queue *queue, struct gw_frame *const *frames, unsigned int count)
{
	struct fake *fake = queue->priv;

	for (unsigned int i = 0; i < count; i++) {
		fake->came_home[frames[i]->id]++;
		fake->home[fake->home_count++ % FAKE_FRAMES] = frames[i]->id;
	}
}

static void read_beginning(struct fake *fake, const struct gw_frame *frame)
{
	size_t got = 0;

	for (unsigned int i = 0; i < frame->seg_count && got < sizeof(fake->last); i++) {
		size_t part = frame->seg[i].iov_len;

		if (part > sizeof(fake->last) - got)
			part = sizeof(fake->last) - got;
		memcpy(fake->last + got, frame->seg[i].iov_base, part);
		got += part;
	}
}

static unsigned int fake_tx(struct gw_queue *queue, struct gw_frame *const *frames,
			    unsigned int count)
{
	struct fake *fake = queue->priv;
	unsigned int i;

	gw_counter_add(&fake->tx_calls, 1);
	for (i = 0; i < count && fake->budget; i++) {
		fake->budget--;
		gw_counter_add(&fake->taken, 1);
		fake->taken_bytes += frames[i]->len;
		read_beginning(fake, frames[i]);
		if (fake->in_tx)
			fake->in_tx(fake->in_arg, frames[i]);
		if (fake->drop) {
			fake->drop--;
			gw_queue_drop(queue, frames[i], GW_DROP_RX_TOO_SMALL);
		}
		assert(fake->held_count < FAKE_FRAMES);
		if (queue->port->driver->reap)
			fake->held[fake->held_count++] = frames[i];
	}
	if (i < count)
		queue->refusal = fake->refusal;
	return i;
}

static bool is_due(struct fake *fake, const struct gw_frame *frame)
{
	if (frame->bounce && fake->copies_go)
		return true;
	if (!fake->complete)
		return false;
	fake->complete--;
	return true;
}

static unsigned int fake_reap(struct gw_queue *queue, struct gw_done *done, unsigned int max)
{
	struct fake *fake = queue->priv;
	unsigned int count = 0, kept = 0;

	for (unsigned int i = 0; i < fake->held_count; i++) {
		if (count < max && is_due(fake, fake->held[i]))
			done[count++] = (struct gw_done){ fake->held[i], fake->status };
		else
			fake->held[kept++] = fake->held[i];
	}
	fake->held_count = kept;
	return count;
}

static bool fake_arm(struct gw_queue *queue, unsigned int wants, unsigned int *poll_us)
{
	struct fake *fake = queue->priv;

	gw_counter_add(&fake->arms, 1);
	return wants & GW_WANT_RX && fake->lend_next < fake->lend_count;
}

static struct gw_frame *fake_bounce(struct gw_queue *queue, uint32_t len)
{
	struct fake *fake = queue->priv;
	struct gw_frame *frame;

	if (fake->slots_used == 8 || len > sizeof(fake->slot_bytes[0]))
		return NULL;
	frame = &fake->slot[fake->slots_used];
	frame->own[0] = (struct iovec){ fake->slot_bytes[fake->slots_used++], len };
	frame->seg = frame->own;
	frame->seg_count = 1;
	return frame;
}

static void fake_unbounce(struct gw_queue *queue, struct gw_frame *frame)
{
	struct fake *fake = queue->priv;

	fake->slots_used--;
	assert(frame == &fake->slot[fake->slots_used]);
}

/* ---- frames ---- */

struct gw_frame *fake_frame(struct fake *fake, unsigned int id, struct gw_memmap *memmap,
			    struct iovec *seg, unsigned int count)
{
	struct gw_frame *frame = &fake->frame[id];
	size_t got = 0;

	*frame = (struct gw_frame){ .home = gw_port_queue(fake->port, 0),
				    .memmap = memmap,
				    .seg = seg,
				    .seg_count = (uint16_t)count,
				    .id = id,
				    /* The core's: whatever was left in it (desk_enter). */
				    .holders = 7,
				    .loans = 7,
				    .bounce = 1,
				    .dropped = 1,
				    .cut = CUT_BEGUN };
	if (count <= GW_FRAME_SEGS) {
		memcpy(frame->own, seg, count * sizeof(*seg));
		frame->seg = frame->own;
	}
	for (unsigned int i = 0; i < count; i++) {
		frame->len += (uint32_t)seg[i].iov_len;
		for (size_t k = 0; k < seg[i].iov_len && got < GW_FRAME_SNAPSHOT; k++)
			frame->snapshot[got++] = ((const uint8_t *)seg[i].iov_base)[k];
	}
	return frame;
}

void fake_lend(struct fake *fake, unsigned int id)
{
	fake->went_out[id]++;
	fake->lend[fake->lend_count++ % FAKE_FRAMES] = id;
}

/* ---- tables ---- */

#define FAKE_COMMON(which)                                                          \
	.name = which, .help = "a test's", .open = fake_open, .start = fake_start,  \
	.stop = fake_stop, .close = fake_close, .query = fake_query, .rx = fake_rx, \
	.release = fake_release, .tx = fake_tx, .arm = fake_arm

const struct gw_driver fake_device = {
	FAKE_COMMON("fake"),
	.map = fake_map,
	.unmap = fake_unmap,
	.reap = fake_reap,
};

const struct gw_driver fake_live = {
	FAKE_COMMON("live"), .map = fake_map,   .remap = fake_remap,
	.unmap = fake_unmap, .reap = fake_reap,
};

const struct gw_driver fake_sink = {
	FAKE_COMMON("sink"),
};

const struct gw_driver fake_ring = {
	FAKE_COMMON("ring"),
	.reap = fake_reap,
	.bounce = fake_bounce,
	.unbounce = fake_unbounce,
};

const struct gw_driver fake_nic = {
	FAKE_COMMON("nic"),
	.target = "IFNAME",
	.reap = fake_reap,
	.target_is_interface = true,
};

const struct gw_driver *const fake_drivers[] = { &fake_device, &fake_live, &fake_sink,
						 &fake_ring,   &fake_nic,  NULL };

/* ---- ports ---- */

static void ask_nobody(struct pair *pair)
{
}

static void apply_here(struct gw_port *port, void (*fn)(void *arg), void *arg)
{
	fn(arg);
}

const struct port_host fake_host = { .apply = apply_here, .ask = ask_nobody };

struct gw_port *fake_port_open_in(const char *spec, const struct port_host *host,
				  struct gw_arena *arena, unsigned int lanes, unsigned int first)
{
	struct gw_error err = { 0 };
	struct gw_port *port;

	if (port_parse(spec, fake_drivers, &port, &err))
		fail_msg("%s", err.text);
	if (lanes > 1 && port_set_lanes(port, lanes, first, &err))
		fail_msg("%s", err.text);
	port->host = host;
	port->arena = arena;
	port->up = true;
	if (port->driver->open(port, &err))
		fail_msg("%s", err.text);
	return port;
}

struct gw_port *fake_port_open(const char *spec, const struct port_host *host,
			       struct gw_arena *arena)
{
	return fake_port_open_in(spec, host, arena, 1, 0);
}

void fake_port_close(struct gw_port *port)
{
	port->driver->close(port);
	port_free(port);
}
