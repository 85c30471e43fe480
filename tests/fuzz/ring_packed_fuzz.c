/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a guest with a packed ring: see ring_rig.h. */
#include "ring_rig.h"

#include <linux/virtio_config.h>

#define PLACE_AT_MASK 0x7fffu
#define PLACE_WRAP    0x8000u
#define FLAG_AVAIL    (1u << VRING_PACKED_DESC_F_AVAIL)
#define FLAG_USED     (1u << VRING_PACKED_DESC_F_USED)
#define CHAIN_MAX     4u

static uint32_t packed_size(uint8_t any)
{
	return 1 + any % RIG_SIZE_MAX;
}

static uint16_t packed_start(uint8_t any, uint32_t size)
{
	return (uint16_t)((any & 0x80 ? PLACE_WRAP : 0) | (any & 0x7f) % size);
}

/* A table has no order but its own. */
static void packed_fill(struct fuzz_input *input, struct ring_rig *rig)
{
	struct vring_packed_desc desc = { 0 };
	struct rig_buffer buffer;

	(void)rig;
	for (unsigned int i = 0; i < RIG_TABLE_LEN; i++) {
		buffer = ring_rig_buffer(input);
		desc.addr = buffer.addr;
		desc.len = buffer.len;
		desc.flags = buffer.flags;
		mock_write(&ring_rig_memory, RIG_TABLE_ADDR + i * sizeof(desc), &desc,
			   sizeof(desc));
	}
}

/* The next descriptor in ring order, with the flags of its lap. */
static void append(struct fuzz_input *input, struct mock_driver *driver, uint16_t id, bool last)
{
	uint16_t place = driver->avail_place, at = place & PLACE_AT_MASK;
	struct rig_buffer buffer = ring_rig_buffer(input);
	uint16_t flags = buffer.flags & (uint16_t)~VRING_DESC_F_NEXT;

	if (!last && !(flags & VRING_DESC_F_INDIRECT))
		flags |= VRING_DESC_F_NEXT;
	driver->slot[at] = (struct vring_packed_desc){
		.addr = buffer.addr,
		.len = buffer.len,
		.id = id,
		.flags = flags | (place & PLACE_WRAP ? FLAG_AVAIL : FLAG_USED),
	};
	driver->avail_place =
		at + 1u == driver->size ? (place & PLACE_WRAP) ^ PLACE_WRAP : (uint16_t)(place + 1);
}

/* Descriptors that the device has not given back. */
static uint32_t out(const struct ring_rig *rig)
{
	uint32_t used = ring_base(rig->ring) >> 16, avail = rig->driver.avail_place;

	return (avail & PLACE_AT_MASK) - (used & PLACE_AT_MASK) +
	       ((avail ^ used) & PLACE_WRAP ? rig->driver.size : 0);
}

static uint16_t free_id(const struct ring_rig *rig, uint16_t id)
{
	for (uint32_t i = 0; i < rig->held_count; i++)
		if (rig->held[i] == id)
			return free_id(rig, (uint16_t)((id + 1) % rig->driver.size));
	return id;
}

/* A chain as it should be, but now and then. */
static void offer(struct fuzz_input *input, struct ring_rig *rig, uint8_t value)
{
	uint32_t count = 1 + value % CHAIN_MAX;
	uint16_t id = value % rig->driver.size;
	bool sound = value >> 4;

	if (sound && (out(rig) + count > rig->driver.size || rig->held_count == rig->driver.size))
		return;
	if (sound)
		id = free_id(rig, id);
	for (uint32_t i = 0; i < count; i++)
		append(input, &rig->driver, id, i + 1 == count);
}

static void packed_step(struct fuzz_input *input, struct ring_rig *rig)
{
	struct mock_driver *driver = &rig->driver;
	uint8_t what = fuzz_u8(input), value = fuzz_u8(input);
	struct vring_packed_desc *slot = &driver->slot[value % driver->size];

	switch (what % 8) {
	case 0:
		slot->id = fuzz_u8(input) % (driver->size + 1);
		break;
	case 1:
		slot->flags ^= (uint16_t)(fuzz_u8(input) << (what & 8));
		break;
	case 2:
		*driver->driver_event = (uint32_t)fuzz_u64(input);
		break;
	case 3:
		ring_rig_poke(input, (uint16_t)(value << 4 | what >> 4));
		break;
	default:
		offer(input, rig, value);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct ring_rig_guest guest = {
		.features = 1ull << VIRTIO_F_RING_PACKED,
		.size = packed_size,
		.start = packed_start,
		.fill = packed_fill,
		.step = packed_step,
	};

	return ring_rig_run(&guest, bytes, len);
}
