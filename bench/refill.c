/* SPDX-License-Identifier: BSD-2-Clause */
#include "refill.h"

#include "atomic.h"
#include "driver_table.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_LINE 64u
#define PAGE_BYTES 4096u

extern const struct gw_driver gw_driver_guest, gw_driver_null;

static struct gw_driver refill_driver;
const struct gw_driver *const gw_driver_table[] = { &gw_driver_guest, &refill_driver, NULL };

static struct refill refills[REFILL_MAX];

struct refill *refill_of(unsigned int number)
{
	return &refills[number];
}

/* ---- the sink ---- */

/* Each of its queues is a worker's, and knows which rings come to it. */
static int refill_start(struct gw_port *port, struct gw_error *err)
{
	struct refill *refill = refill_of((unsigned int)atoi(gw_port_target(port)));

	for (unsigned int i = 0; i < gw_port_queue_count(port); i++)
		gw_port_queue(port, i)->priv = &refill->lane[i];
	return gw_driver_null.start(port, err);
}

/*
 * What was given back until now is available once more. What is in this batch is not yet
 * among it, so a ring has always less than all of its entries before it, and never none.
 */
static void refill_lane(struct refill_lane *lane)
{
	uint64_t frames = 0;

	for (unsigned int i = 0; i < lane->ring_count; i++) {
		struct mock_driver *driver = &lane->ring[i]->driver;
		uint16_t used = gw_load_acquire(&driver->used->idx);

		frames += (uint16_t)(used - lane->used[i]);
		lane->used[i] = used;
		gw_store_release(&driver->avail->idx, (uint16_t)(used + driver->size));
	}
	gw_store_relaxed(&lane->frames, lane->frames + frames);
}

static unsigned int refill_tx(struct gw_queue *queue, struct gw_frame *const *frames,
			      unsigned int count)
{
	struct refill_lane *lane = queue->priv;

	if (gw_load_acquire(&lane->on))
		refill_lane(lane);
	return gw_driver_null.tx(queue, frames, count);
}

void refill_init(void)
{
	refill_driver = gw_driver_null;
	refill_driver.name = "refill";
	refill_driver.target = "NUMBER";
	refill_driver.start = refill_start;
	refill_driver.tx = refill_tx;
}

/* ---- rings ---- */

static uint32_t slot_bytes(uint32_t len)
{
	return (VM_HEADER + len + CACHE_LINE - 1) & ~(CACHE_LINE - 1);
}

static uint64_t table_bytes(uint32_t size)
{
	return (mock_ring_bytes(size) + CACHE_LINE - 1) & ~(uint64_t)(CACHE_LINE - 1);
}

uint64_t refill_ring_room(uint32_t size, uint32_t len)
{
	uint64_t bytes = table_bytes(size) + (uint64_t)size * slot_bytes(len);

	return (bytes + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
}

/* Heads in their order, each with a frame of its own. */
static void fill(struct vm *vm, struct vm_ring *ring, uint64_t slots, uint32_t len)
{
	for (uint32_t i = 0; i < ring->driver.size; i++) {
		uint64_t addr = slots + (uint64_t)i * slot_bytes(len);
		struct mock_buffer buffer = { addr, VM_HEADER + len, false };
		uint8_t *at = mock_at(&vm->memory, addr);

		memset(at, 0, VM_HEADER);
		vm_frame(at + VM_HEADER, len, 0xdd, 1, 0x55);
		MOCK_CHECK(mock_chain(&ring->driver, &buffer, 1) == (int)i);
		ring->driver.avail->ring[i] = (uint16_t)i;
	}
}

void refill_add(struct refill_lane *lane, struct vm *vm, struct vm_ring *ring, unsigned int index,
		uint32_t size, uint64_t addr, uint32_t len)
{
	MOCK_CHECK(lane->ring_count < REFILL_RINGS_MAX);
	vm_start_ring(vm, ring, index, size, addr);
	fill(vm, ring, addr + table_bytes(size), len);
	lane->ring[lane->ring_count++] = ring;
}

/*
 * Of a lane that is over. All but the first ring are filled by the sink, when the first batch
 * comes to it: two may not move one index.
 */
void refill_begin(struct refill_lane *lane)
{
	const uint64_t one = 1;
	struct mock_driver *driver = &lane->ring[0]->driver;

	for (unsigned int i = 0; i < lane->ring_count; i++)
		lane->used[i] = lane->ring[i]->driver.used->idx;
	gw_store_release(&lane->on, true);
	gw_store_release(&driver->avail->idx, (uint16_t)(lane->used[0] + driver->size));
	for (unsigned int i = 0; i < lane->ring_count; i++)
		MOCK_CHECK(write(lane->ring[i]->kick_fd, &one, sizeof(one)) == sizeof(one));
}

void refill_end(struct refill_lane *lane)
{
	gw_store_relaxed(&lane->on, false);
}

/* The sink is never entered without a frame that is yet to be given back. */
bool refill_is_over(const struct refill_lane *lane)
{
	for (unsigned int i = 0; i < lane->ring_count; i++) {
		const struct mock_driver *driver = &lane->ring[i]->driver;

		if (gw_load_acquire(&driver->used->idx) != gw_load_acquire(&driver->avail->idx))
			return false;
	}
	return true;
}
