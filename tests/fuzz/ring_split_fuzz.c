/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a guest with a split ring: see ring_rig.h. */
#include "ring_rig.h"

static struct vring_desc any_desc(struct fuzz_input *input, uint32_t count)
{
	struct rig_buffer buffer = ring_rig_buffer(input);
	uint8_t next = fuzz_u8(input);

	/* 255 is beyond each table. */
	return (struct vring_desc){
		.addr = buffer.addr,
		.len = buffer.len,
		.flags = buffer.flags,
		.next = next == UINT8_MAX ? next : (uint16_t)(next % count),
	};
}

static uint32_t split_size(uint8_t any)
{
	return 1u << any % 6;
}

static uint16_t split_start(uint8_t any, uint32_t size)
{
	(void)size;
	return any < 128 ? 0 : 65530;
}

static void split_fill(struct fuzz_input *input, struct ring_rig *rig)
{
	struct vring_desc desc;

	for (unsigned int i = 0; i < RIG_TABLE_LEN; i++) {
		desc = any_desc(input, RIG_TABLE_LEN);
		mock_write(&ring_rig_memory, RIG_TABLE_ADDR + i * sizeof(desc), &desc,
			   sizeof(desc));
	}
	for (uint32_t i = 0; i < rig->driver.size; i++)
		*mock_desc(&rig->driver, (uint16_t)i) = any_desc(input, rig->driver.size);
	for (uint32_t i = 0; i < rig->driver.size; i++)
		rig->driver.avail->ring[i] = (uint16_t)i;
}

static void split_step(struct fuzz_input *input, struct ring_rig *rig)
{
	struct mock_driver *driver = &rig->driver;
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
		ring_rig_poke(input, (uint16_t)(value << 4 | what >> 4));
		break;
	default:
		driver->avail->idx += what == 4 ? value : 1 + value % 2;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct ring_rig_guest guest = {
		.size = split_size,
		.start = split_start,
		.fill = split_fill,
		.step = split_step,
	};

	return ring_rig_run(&guest, bytes, len);
}
