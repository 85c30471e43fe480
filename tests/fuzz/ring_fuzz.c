/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a guest: they become descriptors, tables and the available ring,
 * and then a list of what the guest and the device do. Whatever the guest wrote,
 * each chain that the ring lets through lies in guest memory and adds up, each
 * head is out at most once, and a broken ring stays broken.
 */
#include "fuzz.h"

#include "checksum.h"
#include "mock_driver.h"
#include "net_header.h"
#include <linux/virtio_config.h>
#include <stdlib.h>

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* Two regions that touch, and one apart. Small, so that random addresses hit the borders. */
#define LOW_BYTES    4096u
#define HIGH_BYTES   8192u
#define APART_ADDR   0x10000u
#define APART_BYTES  4096u
#define RING_ADDR    0u
#define TABLE_ADDR   (LOW_BYTES - 40u) /* the border cuts its third descriptor */
#define TABLE_LEN    8u
#define SIZE_LOG_MAX 5u
#define STEPS_MAX    512u

struct fuzz_ring {
	struct mock_driver driver;
	struct ring *ring;
	uint16_t held[1u << SIZE_LOG_MAX]; /* heads that we have popped, oldest first */
	uint32_t held_count;
	uint32_t since_push; /* of these, popped after the last push: may be unpopped */
};

static struct mock_memory memory;

static void open_memory(void)
{
	static const struct mock_region regions[] = {
		{ .guest_addr = 0, .bytes = LOW_BYTES },
		{ .guest_addr = LOW_BYTES, .bytes = HIGH_BYTES },
		{ .guest_addr = APART_ADDR, .bytes = APART_BYTES },
	};

	mock_memory_open(&memory, regions, 3, (struct memmap_arena){ .fd = -1 });
}

/* ---- the guest ---- */

/* A descriptor out of six bytes: sound more often than chance has it. */
static struct vring_desc any_desc(struct fuzz_input *input, uint32_t count)
{
	uint8_t shape = fuzz_u8(input), low = fuzz_u8(input), high = fuzz_u8(input);
	uint8_t len = fuzz_u8(input), flags = fuzz_u8(input), next = fuzz_u8(input);
	struct vring_desc desc = {
		.addr = (uint64_t)(high % 0x40) << 8 | low,
		.len = len,
		.flags = flags & (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE),
		.next = (uint16_t)(next % (count + (shape == 1))),
	};

	if (shape % 16 == 2) {
		desc.flags = VRING_DESC_F_INDIRECT;
		desc.addr = TABLE_ADDR;
		desc.len = 16u * (len % (TABLE_LEN + 1));
	}
	if (shape == 3)
		desc.flags = (uint16_t)(flags << 8 | next);
	if (shape == 4)
		desc.len = (uint32_t)fuzz_u64(input);
	if (shape == 5)
		desc.addr = fuzz_u64(input);
	return desc;
}

static void write_memory(struct fuzz_input *input, struct mock_driver *driver)
{
	struct vring_desc desc;

	for (unsigned int i = 0; i < TABLE_LEN; i++) {
		desc = any_desc(input, TABLE_LEN);
		mock_write(&memory, TABLE_ADDR + i * sizeof(desc), &desc, sizeof(desc));
	}
	for (uint32_t i = 0; i < driver->size; i++)
		*mock_desc(driver, (uint16_t)i) = any_desc(input, driver->size);
	for (uint32_t i = 0; i < driver->size; i++)
		driver->avail->ring[i] = (uint16_t)i;
}

static void guest_step(struct fuzz_input *input, struct fuzz_ring *f)
{
	struct mock_driver *driver = &f->driver;
	uint8_t what = fuzz_u8(input), value = fuzz_u8(input);
	uint16_t i = value % driver->size;

	switch (what % 8) {
	case 0:
		driver->avail->ring[i] = fuzz_u8(input) % (driver->size + 1);
		break;
	case 1:
		*mock_desc(driver, i) = any_desc(input, driver->size);
		break;
	case 2:
		driver->avail->ring[driver->size] = value; /* used_event */
		driver->avail->flags = value & 1;
		break;
	case 3:
		*(uint8_t *)mock_at(&memory, (uint16_t)(value << 4 | what >> 4) %
						     (LOW_BYTES + HIGH_BYTES)) = fuzz_u8(input);
		break;
	default:
		driver->avail->idx += what == 4 ? value : 1 + value % 2;
	}
}

/* ---- the device ---- */

/* Adds up the segments of one direction; each lies in the guest's part of the window. */
static uint64_t check_segments(const struct iovec *seg, unsigned int count)
{
	const volatile uint8_t *base;
	struct gw_window window;
	uint64_t sum = 0;
	uintptr_t offset;

	gw_memmap_window(memory.memmap, &window);
	for (unsigned int i = 0; i < count; i++) {
		base = seg[i].iov_base;
		offset = (uintptr_t)base - (uintptr_t)window.base;
		CHECK(seg[i].iov_len && offset < window.len &&
		      seg[i].iov_len <= window.len - offset);
		(void)base[0];
		(void)base[seg[i].iov_len - 1];
		sum += seg[i].iov_len;
	}
	return sum;
}

/* What a port does with it next. */
static void use_header(struct iovec *seg, const struct ring_chain *chain, uint64_t features)
{
	struct virtio_net_hdr_v1 header;
	uint8_t frame[256] = { 0 };
	const struct iovec linear = { frame, sizeof(frame) };
	uint32_t frame_len;
	unsigned int first;

	if (!net_header_strip(seg, chain->read_count, 12, &header, &first))
		return;
	frame_len = (uint32_t)(chain->read_bytes - 12);
	CHECK(check_segments(seg + first, chain->read_count - first) == frame_len);
	if (!net_header_valid(&header, features, frame_len))
		return;
	if (frame_len <= sizeof(frame))
		CHECK(checksum_complete(&linear, 1, frame_len, &header));
}

static void pop(struct fuzz_ring *f)
{
	struct iovec seg[GW_FRAME_SEGS];
	struct ring_chain chain;
	enum ring_fault before = ring_fault(f->ring);
	int rc = ring_pop(f->ring, &chain, seg, GW_FRAME_SEGS);

	CHECK(before ? rc == -1 : true);
	CHECK((rc == -1) == (ring_fault(f->ring) != RING_FAULT_NONE));
	if (rc != 1)
		return;
	for (uint32_t i = 0; i < f->held_count; i++)
		CHECK(f->held[i] != chain.head);
	CHECK(chain.head < f->driver.size && f->held_count < f->driver.size);
	CHECK(chain.read_count + chain.write_count <= GW_FRAME_SEGS);
	CHECK(check_segments(seg, chain.read_count) == chain.read_bytes);
	CHECK(check_segments(seg + chain.read_count, chain.write_count) == chain.write_bytes);
	f->held[f->held_count++] = chain.head;
	f->since_push++;
	use_header(seg, &chain, f->driver.features);
}

static void push(struct fuzz_ring *f, uint8_t which)
{
	uint32_t i;

	if (!f->held_count)
		return;
	i = which % f->held_count;
	ring_push(f->ring, f->held[i], which);
	memmove(&f->held[i], &f->held[i + 1], (f->held_count - i - 1) * sizeof(f->held[0]));
	f->held_count--;
	f->since_push = 0;
}

static void device_step(struct fuzz_input *input, struct fuzz_ring *f)
{
	uint8_t what = fuzz_u8(input);

	switch (what % 8) {
	case 0:
		push(f, what >> 3);
		break;
	case 1:
		ring_flush(f->ring);
		break;
	case 2:
		ring_want_kick(f->ring);
		break;
	case 3:
		ring_no_kick(f->ring);
		break;
	case 4:
		if (f->since_push) {
			ring_unpop(f->ring, 1);
			f->held_count--;
			f->since_push--;
		}
		break;
	default:
		pop(f);
	}
	CHECK(ring_in_flight(f->ring) == f->held_count);
	CHECK(!ring_has_avail(f->ring) || !ring_fault(f->ring));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct fuzz_input input = { bytes, len };
	uint8_t shape = fuzz_u8(&input);
	uint64_t features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_CSUM;
	struct ring_config config;
	struct fuzz_ring f = { 0 };

	if (!memory.count)
		open_memory();
	for (unsigned int i = 0; i < memory.count; i++)
		memset(memory.region[i].view, 0, memory.region[i].bytes);
	if (shape & 0x80)
		features |= 1ull << VIRTIO_RING_F_EVENT_IDX;
	if ((shape & 0x60) != 0)
		features |= 1ull << VIRTIO_RING_F_INDIRECT_DESC;
	mock_driver_open(&f.driver, &memory, 1u << shape % (SIZE_LOG_MAX + 1), RING_ADDR, features,
			 fuzz_u8(&input) < 128 ? 0 : 65530);
	config = mock_driver_config(&f.driver);
	CHECK(ring_create(&config, &f.ring, NULL) == 0);
	write_memory(&input, &f.driver);
	for (unsigned int step = 0; input.len && step < STEPS_MAX; step++) {
		guest_step(&input, &f);
		device_step(&input, &f);
		device_step(&input, &f);
	}
	while (f.held_count)
		push(&f, 0);
	ring_flush(f.ring);
	CHECK(ring_in_flight(f.ring) == 0);
	ring_destroy(f.ring);
	mock_driver_close(&f.driver);
	return 0;
}
