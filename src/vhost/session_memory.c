/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory table: mapped and checked first, then rings are stopped, then the
 * memmaps change places, then the rings go on where they were.
 *
 * In this order a table that cannot be mapped changes nothing, and nobody uses a
 * memmap that the session has given up: rings hold references of their own, and
 * so does whoever has loans out of it. QEMU sends the table again whenever a
 * piece of its memory layout moves; most of the time ours is the same then, and
 * keeping the memmap keeps the device's registrations of it too.
 */
#include "session_state.h"

#include "log.h"

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

int session_set_mem_table(struct session *session, struct message *message, struct gw_error *err)
{
	struct memmap_region regions[VHOST_USER_MAX_REGIONS];
	unsigned int count = regions_of(message, regions);
	int ret;

	if (session->memmap && memmap_same(session->memmap, regions, count))
		return 0;
	ret = memmap_create(regions, count, session->config.arena, &session->op_memmap, err);
	if (ret)
		return ret;
	session_choose_all(session);
	return session_op_begin(session, SESSION_OP_MEMORY);
}

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
