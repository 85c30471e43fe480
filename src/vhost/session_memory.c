/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory table: mapped and checked first, then rings are stopped, then the
 * memmaps change places, then the rings go on where they were. A memory slot that is
 * added or removed is a new memmap out of the regions of the one before.
 *
 * In this order a table that cannot be mapped changes nothing, and nobody uses a
 * memmap that the session has given up: rings hold references of their own, and
 * so does whoever has loans out of it. QEMU sends the table again whenever a
 * piece of its memory layout moves; most of the time ours is the same then, and
 * keeping the memmap keeps the device's registrations of it too.
 */
#include "session_state.h"

#include "log.h"
#include <errno.h>

static unsigned int regions_of(const struct message *message, struct memmap_region *regions)
{
	const struct message_memory *memory = &message->payload.memory;

	for (unsigned int i = 0; i < memory->count; i++)
		regions[i] = (struct memmap_region){
			.guest_addr = memory->region[i].guest_addr,
			.size = memory->region[i].size,
			.user_addr = memory->region[i].user_addr,
			.mmap_offset = memory->region[i].mmap_offset,
			.fd = message->fds[i],
		};
	return memory->count;
}

/* Makes the memmap to come, and stops all rings for it. count 0: none. */
static int change_memory(struct session *session, struct message *message,
			 const struct memmap_region *regions, unsigned int count,
			 struct gw_error *err)
{
	int ret = 0;

	if (count)
		ret = memmap_create(regions, count, session->config.arena, &session->op_memmap,
				    err);
	if (ret)
		return ret;
	/* Files of memory, since each that came is of a region; REM_MEM_REG needs none. */
	message->fds_prompt = message->request != VHOST_USER_REM_MEM_REG;
	session_choose_all(session);
	return session_op_begin(session, SESSION_OP_MEMORY);
}

int session_set_mem_table(struct session *session, struct message *message, struct gw_error *err)
{
	struct memmap_region regions[VHOST_USER_MAX_REGIONS] = { 0 };
	unsigned int count = regions_of(message, regions);

	if (session->memmap && memmap_same(session->memmap, regions, count)) {
		message->fds_prompt = true;
		return 0;
	}
	return change_memory(session, message, regions, count, err);
}

/* ---- memory slots ---- */

int session_get_max_mem_slots(struct session *session, struct message *message,
			      struct gw_error *err)
{
	return session_reply_u64(session, message->request, VHOST_USER_MAX_MEM_SLOTS);
}

static struct memmap_region slot_of(const struct message *message)
{
	const struct message_region *region = &message->payload.mem_reg.region;

	return (struct memmap_region){
		.guest_addr = region->guest_addr,
		.size = region->size,
		.user_addr = region->user_addr,
		.mmap_offset = region->mmap_offset,
		.fd = message->fd_count ? message->fds[0] : -1,
	};
}

static unsigned int regions_now(const struct session *session, struct memmap_region *regions)
{
	return session->memmap ? memmap_regions(session->memmap, regions) : 0;
}

/* "identified by guest address, user address and size. The mmap offset is ignored." */
static unsigned int find_slot(const struct memmap_region *regions, unsigned int count,
			      const struct memmap_region *slot)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		if (regions[i].guest_addr == slot->guest_addr && regions[i].size == slot->size &&
		    regions[i].user_addr == slot->user_addr)
			break;
	return i;
}

int session_add_mem_reg(struct session *session, struct message *message, struct gw_error *err)
{
	struct memmap_region regions[MEMMAP_REGIONS_MAX + 1] = { 0 };
	const struct memmap_region slot = slot_of(message);
	unsigned int count = regions_now(session, regions);
	unsigned int i = find_slot(regions, count, &slot);

	_Static_assert(VHOST_USER_MAX_MEM_SLOTS == MEMMAP_REGIONS_MAX, "all slots in one memmap");
	if (count == MEMMAP_REGIONS_MAX && i == count)
		return gw_error_set(err, -ENOSPC,
				    "vhost-user ADD_MEM_REG: all %u memory slots are in use",
				    MEMMAP_REGIONS_MAX);
	regions[i] = slot;
	if (i < count && memmap_same(session->memmap, regions, count)) {
		message->fds_prompt = true;
		return 0; /* it has come again */
	}
	return change_memory(session, message, regions, i < count ? count : count + 1, err);
}

/* A descriptor beside it is of no use, and goes with the message. */
int session_rem_mem_reg(struct session *session, struct message *message, struct gw_error *err)
{
	struct memmap_region regions[MEMMAP_REGIONS_MAX] = { 0 };
	const struct memmap_region slot = slot_of(message);
	unsigned int count = regions_now(session, regions);
	unsigned int i = find_slot(regions, count, &slot);

	if (i == count)
		return gw_error_set(err, -ENOENT,
				    "vhost-user REM_MEM_REG: no region at guest address 0x%llx of "
				    "0x%llx bytes",
				    (unsigned long long)slot.guest_addr,
				    (unsigned long long)slot.size);
	for (; i + 1 < count; i++)
		regions[i] = regions[i + 1];
	return change_memory(session, message, regions, count - 1, err);
}

/* ---- the second half ---- */

int session_memory_swap(struct session *session, struct gw_error *err)
{
	struct gw_memmap *before = session->memmap;

	session->memmap = session->op_memmap;
	session->op_memmap = NULL;
	session->config.ops->memory(session->config.arg, session->memmap);
	memmap_put(before);
	return session_rings_try_start(session, err);
}

void session_memory_drop(struct session *session)
{
	if (!session->memmap)
		return;
	session->config.ops->memory(session->config.arg, NULL);
	memmap_put(session->memmap);
	session->memmap = NULL;
}
