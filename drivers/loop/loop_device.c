/* SPDX-License-Identifier: BSD-2-Clause */
#include "loop_device.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS 1000000u

/* Room in the completion ring, in rings: each descriptor once, the rest for what should not be. */
#define COMPLETION_RINGS 4u

struct loop_device {
	struct loop_faults faults;
	struct loop_wire wire;
	unsigned int ring, segs;
	struct loop_descriptor *descriptor; /* [ring] */
	struct iovec *seg_memory;           /* [ring * segs] */
	unsigned int *idle;                 /* stack of free descriptors */
	unsigned int idle_count;
	unsigned int *waiting; /* descriptors in order of submission */
	unsigned int waiting_count;
	uint64_t due_ns;     /* of those that are not lost, the first; UINT64_MAX: none */
	unsigned int *ready; /* scratch of loop_device_run */
	struct loop_completion *completion; /* a ring */
	unsigned int completion_head, completion_count;
	uint64_t submitted, completed; /* for "each Nth" */
	uint64_t random;
	uint8_t bytes[GW_FRAME_LEN_MAX]; /* what the device fetched last */
};

static bool is_nth(uint64_t n, uint64_t count)
{
	return n && count % n == 0;
}

/* xorshift64: the same order in every run. */
static uint64_t next_random(struct loop_device *device)
{
	device->random ^= device->random << 13;
	device->random ^= device->random >> 7;
	device->random ^= device->random << 17;
	return device->random;
}

struct loop_device *loop_device_open(unsigned int ring, unsigned int segs)
{
	struct loop_device *device = calloc(1, sizeof(*device));

	if (!device)
		return NULL;
	device->ring = device->idle_count = ring;
	device->segs = segs;
	device->random = 0x6c6f6f70;
	device->due_ns = UINT64_MAX;
	device->descriptor = calloc(ring, sizeof(*device->descriptor));
	device->seg_memory = calloc((size_t)ring * segs, sizeof(*device->seg_memory));
	device->idle = calloc(ring, sizeof(*device->idle));
	device->waiting = calloc(ring, sizeof(*device->waiting));
	device->ready = calloc(ring, sizeof(*device->ready));
	device->completion = calloc((size_t)ring * COMPLETION_RINGS, sizeof(*device->completion));
	if (!device->descriptor || !device->seg_memory || !device->idle || !device->waiting ||
	    !device->ready || !device->completion) {
		loop_device_close(device);
		return NULL;
	}
	for (unsigned int i = 0; i < ring; i++) {
		device->descriptor[i].seg = device->seg_memory + (size_t)i * segs;
		device->idle[i] = ring - 1 - i;
	}
	return device;
}

void loop_device_close(struct loop_device *device)
{
	if (!device)
		return;
	free(device->descriptor);
	free(device->seg_memory);
	free(device->idle);
	free(device->waiting);
	free(device->ready);
	free(device->completion);
	free(device);
}

struct loop_faults *loop_device_faults(struct loop_device *device)
{
	return &device->faults;
}

void loop_device_set_wire(struct loop_device *device, struct loop_wire wire)
{
	device->wire = wire;
}

bool loop_device_submit(struct loop_device *device, uint64_t cookie, const struct gw_frame *frame,
			uint64_t now_ns)
{
	struct loop_descriptor *descriptor;
	unsigned int index;

	if (!device->idle_count)
		return false;
	assert(frame->seg_count <= device->segs);
	index = device->idle[--device->idle_count];
	descriptor = &device->descriptor[index];
	device->submitted++;
	descriptor->cookie = cookie;
	descriptor->due_ns = now_ns + device->faults.delay_ms * NS_PER_MS;
	descriptor->seg_count = frame->seg_count;
	descriptor->len = frame->len;
	descriptor->header = frame->header;
	descriptor->lost = is_nth(device->faults.lose, device->submitted);
	descriptor->fails = is_nth(device->faults.fail, device->submitted);
	memcpy(descriptor->seg, frame->seg, frame->seg_count * sizeof(*frame->seg));
	device->waiting[device->waiting_count++] = index;
	if (!descriptor->lost && descriptor->due_ns < device->due_ns)
		device->due_ns = descriptor->due_ns;
	return true;
}

static void push_completion(struct loop_device *device, uint64_t cookie, bool failed)
{
	unsigned int size = device->ring * COMPLETION_RINGS;
	unsigned int at = (device->completion_head + device->completion_count) % size;

	assert(device->completion_count < size);
	device->completion[at] = (struct loop_completion){ cookie, failed };
	device->completion_count++;
}

/* Completions that should not be leave room for those that should: one for each descriptor. */
bool loop_device_bogus(struct loop_device *device, uint64_t cookie)
{
	if (device->completion_count >= device->ring * (COMPLETION_RINGS - 1))
		return false;
	push_completion(device, cookie, false);
	return true;
}

/* This is the moment at which the device reads memory that is not its own. */
static void transmit(struct loop_device *device, const struct loop_descriptor *descriptor)
{
	uint32_t len = 0;

	assert(descriptor->len <= sizeof(device->bytes));
	for (unsigned int i = 0; i < descriptor->seg_count; i++) {
		const struct iovec *seg = &descriptor->seg[i];

		assert(seg->iov_len <= descriptor->len - len);
		memcpy(device->bytes + len, seg->iov_base, seg->iov_len);
		len += (uint32_t)seg->iov_len;
	}
	if (device->wire.fn)
		device->wire.fn(device->wire.arg, device->bytes, len, &descriptor->header);
}

static void finish(struct loop_device *device, unsigned int index, bool failed)
{
	struct loop_descriptor *descriptor = &device->descriptor[index];

	if (!failed)
		transmit(device, descriptor);
	device->completed++;
	push_completion(device, descriptor->cookie, failed);
	if (is_nth(device->faults.duplicate, device->completed))
		loop_device_bogus(device, descriptor->cookie);
	device->idle[device->idle_count++] = index;
}

static void reorder(struct loop_device *device, unsigned int *ready, unsigned int count)
{
	if (device->faults.order == LOOP_ORDER_FIFO)
		return;
	for (unsigned int i = 0; i + 1 < count; i++) {
		unsigned int other = i + (unsigned int)(next_random(device) % (count - i));
		unsigned int index = ready[i];

		if (device->faults.order == LOOP_ORDER_REVERSE) {
			other = count - 1 - i;
			if (other <= i)
				return;
		}
		ready[i] = ready[other];
		ready[other] = index;
	}
}

static void find_due(struct loop_device *device)
{
	device->due_ns = UINT64_MAX;
	for (unsigned int i = 0; i < device->waiting_count; i++) {
		const struct loop_descriptor *descriptor = &device->descriptor[device->waiting[i]];

		if (!descriptor->lost && descriptor->due_ns < device->due_ns)
			device->due_ns = descriptor->due_ns;
	}
}

/* A worker comes here in each round, for ever if the device is slow: mostly nothing is due. */
void loop_device_run(struct loop_device *device, uint64_t now_ns)
{
	unsigned int ready = 0, kept = 0;

	if (device->faults.hold || now_ns < device->due_ns)
		return;
	for (unsigned int i = 0; i < device->waiting_count; i++) {
		unsigned int index = device->waiting[i];
		const struct loop_descriptor *descriptor = &device->descriptor[index];

		if (!descriptor->lost && descriptor->due_ns <= now_ns)
			device->ready[ready++] = index;
		else
			device->waiting[kept++] = index;
	}
	device->waiting_count = kept;
	find_due(device);
	reorder(device, device->ready, ready);
	for (unsigned int i = 0; i < ready; i++)
		finish(device, device->ready[i], device->descriptor[device->ready[i]].fails);
}

bool loop_device_next(struct loop_device *device, struct loop_completion *completion)
{
	if (!device->completion_count)
		return false;
	*completion = device->completion[device->completion_head];
	device->completion_head = (device->completion_head + 1) % (device->ring * COMPLETION_RINGS);
	device->completion_count--;
	return true;
}

bool loop_device_has_work(const struct loop_device *device, uint64_t now_ns, uint64_t *due_ns)
{
	*due_ns = 0;
	if (device->completion_count)
		return true;
	if (device->faults.hold || device->due_ns == UINT64_MAX)
		return false;
	if (device->due_ns <= now_ns)
		return true;
	*due_ns = device->due_ns;
	return false;
}

void loop_device_drain(struct loop_device *device)
{
	while (device->waiting_count) {
		const struct loop_descriptor *first = loop_device_peek(device, 0);

		loop_device_complete(device, 0, first->lost || first->fails);
	}
}

unsigned int loop_device_held(const struct loop_device *device)
{
	return device->waiting_count;
}

const struct loop_descriptor *loop_device_peek(const struct loop_device *device, unsigned int index)
{
	return index < device->waiting_count ? &device->descriptor[device->waiting[index]] : NULL;
}

void loop_device_complete(struct loop_device *device, unsigned int index, bool failed)
{
	unsigned int descriptor;

	assert(index < device->waiting_count);
	descriptor = device->waiting[index];
	memmove(&device->waiting[index], &device->waiting[index + 1],
		(device->waiting_count - index - 1) * sizeof(*device->waiting));
	device->waiting_count--;
	find_due(device);
	finish(device, descriptor, failed);
}
