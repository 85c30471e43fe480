/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device behind drivers/loop: a simulated transmit queue with faults.
 *
 * It is what a NIC's descriptor ring is to its driver. It is given addresses,
 * never bytes; it fetches the bytes at the moment it completes a descriptor, not
 * before; and it answers with the cookie it was given. Frames that it holds can
 * be completed in any order, late, twice, as failed, or never, and it can be made
 * to answer with cookies that nobody gave it. What a driver makes of that is the
 * driver's business (loop_queue.c).
 *
 * Threads: one at a time.
 */
#pragma once

#include <guestwire/driver.h>
#include <stdbool.h>

enum loop_order { LOOP_ORDER_FIFO = 0, LOOP_ORDER_REVERSE, LOOP_ORDER_RANDOM };

/* "Each Nth": 0 is never, 1 is all. */
struct loop_faults {
	bool hold;         /* complete nothing by itself */
	uint64_t delay_ms; /* complete so long after submission */
	enum loop_order order;
	uint64_t lose;      /* each Nth descriptor is never completed */
	uint64_t fail;      /* each Nth is completed as failed, its bytes not read */
	uint64_t duplicate; /* each Nth completion comes twice */
};

struct loop_completion {
	uint64_t cookie;
	bool failed;
};

/* A descriptor that waits in the device. */
struct loop_descriptor {
	uint64_t cookie;
	uint64_t due_ns;
	struct iovec *seg; /* the device's own copy of the addresses */
	unsigned int seg_count;
	uint32_t len;
	struct virtio_net_hdr_v1 header;
	bool lost, fails;
};

/* Gets each frame as the device transmits it. */
struct loop_wire {
	void (*fn)(void *arg, const uint8_t *bytes, uint32_t len,
		   const struct virtio_net_hdr_v1 *header);
	void *arg;
};

struct loop_device;

/* A ring of so many descriptors, each of up to segs segments. NULL: no memory. */
struct loop_device *loop_device_open(unsigned int ring, unsigned int segs);
void loop_device_close(struct loop_device *device); /* NULL is fine */
/* May be changed at any time; each descriptor's fate is settled when it is submitted. */
struct loop_faults *loop_device_faults(struct loop_device *device);
void loop_device_set_wire(struct loop_device *device, struct loop_wire wire);

/* False if the ring is full. */
bool loop_device_submit(struct loop_device *device, uint64_t cookie, const struct gw_frame *frame,
			uint64_t now_ns);
/* Completes what is due, in the order that is set. */
void loop_device_run(struct loop_device *device, uint64_t now_ns);
/* Takes one completion off the completion ring. */
bool loop_device_next(struct loop_device *device, struct loop_completion *completion);
/* True if loop_device_run and loop_device_next would find something now; else when (0: never). */
bool loop_device_has_work(const struct loop_device *device, uint64_t now_ns, uint64_t *due_ns);
/* Ends all: what is merely held or late is transmitted, what was lost is returned as failed. */
void loop_device_drain(struct loop_device *device);

/* Descriptors in the device, in order of submission, and what can be done to one by hand. */
unsigned int loop_device_held(const struct loop_device *device);
const struct loop_descriptor *loop_device_peek(const struct loop_device *device,
					       unsigned int index);
void loop_device_complete(struct loop_device *device, unsigned int index, bool failed);
/* A completion that belongs to no descriptor (or to one that is over). False: no room. */
bool loop_device_bogus(struct loop_device *device, uint64_t cookie);
