/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory on the wire: one table of at most 8 regions, or, with CONFIGURE_MEM_SLOTS,
 * one message for each ("Front-end message types", ADD_MEM_REG). */
#include "front_end.h"

#include <errno.h>

#include "vhost_user_spec.h"

struct mem_region_wire {
	uint64_t gpa;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct mem_table_wire {
	uint32_t count;
	uint32_t padding;
	struct mem_region_wire regions[VHOST_USER_MAX_REGIONS];
};

struct mem_reg_wire {
	uint64_t padding;
	struct mem_region_wire region;
};

static int set_table(struct front_end *fe, const struct guest_memory *memory)
{
	struct mem_table_wire table = { .count = memory->region_count };
	int fds[VHOST_USER_MAX_REGIONS];
	uint32_t size = 8;

	for (uint32_t i = 0; i < memory->region_count; i++) {
		const struct guest_region *r = &memory->regions[i];

		table.regions[i] =
			(struct mem_region_wire){ r->gpa, r->size, (uintptr_t)r->host, r->offset };
		fds[i] = r->fd;
		size += sizeof(table.regions[i]);
	}
	return front_end_request(fe, VHOST_USER_SET_MEM_TABLE, &table, size, fds,
				 memory->region_count, true);
}

static int change_slot(struct front_end *fe, uint32_t request, const struct guest_region *r)
{
	struct mem_reg_wire wire = { 0, { r->gpa, r->size, (uintptr_t)r->host, r->offset } };

	return front_end_request(fe, request, &wire, sizeof(wire), &r->fd,
				 request == VHOST_USER_ADD_MEM_REG, true);
}

static int add_slots(struct front_end *fe, const struct guest_memory *memory)
{
	uint64_t most;
	int rc = front_end_get_u64(fe, VHOST_USER_GET_MAX_MEM_SLOTS, &most);

	if (!rc && most < memory->region_count)
		rc = fail_set(&fe->fail, -ENOTSUP, "the back-end has %llu memory slots, not %u",
			      (unsigned long long)most, memory->region_count);
	for (uint32_t i = 0; !rc && i < memory->region_count; i++)
		rc = change_slot(fe, VHOST_USER_ADD_MEM_REG, &memory->regions[i]);
	return rc;
}

int front_end_set_memory(struct front_end *fe, const struct guest_memory *memory)
{
	if (front_end_has(fe, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		return add_slots(fe, memory);
	return set_table(fe, memory);
}

int front_end_plug(struct front_end *fe, const struct guest_memory *memory)
{
	if (!front_end_has(fe, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		return set_table(fe, memory);
	return change_slot(fe, VHOST_USER_ADD_MEM_REG, &memory->regions[memory->region_count - 1]);
}

int front_end_unplug(struct front_end *fe, const struct guest_memory *memory)
{
	struct guest_memory less = *memory;

	if (front_end_has(fe, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		return change_slot(fe, VHOST_USER_REM_MEM_REG,
				   &memory->regions[memory->region_count - 1]);
	less.region_count--;
	return set_table(fe, &less);
}
