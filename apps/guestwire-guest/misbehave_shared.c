/* SPDX-License-Identifier: BSD-2-Clause */
/* Misdeeds of the front-end with what it shares beside memory: dirty log, in-flight file,
 * memory slots. */
#include "misbehave.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vhost_user_spec.h"

#define BATCH     64u
#define REPEATS   50u
#define PAGE      4096ull
#define SLOTS_MAX 600u /* more than anybody takes */
#define SLOT_GPA  (1ull << 40)
#define SLOT_SIZE (2ull << 20)

static void send_some(struct guest_run *run)
{
	guest_nic_send(run->nic, BATCH);
	driver_ring_kick_always(&run->nic->tx.ring);
}

static void send_log(struct guest_run *run, uint64_t size, uint64_t offset)
{
	uint64_t area[] = { size, offset };

	front_end_request(&run->fe, VHOST_USER_SET_LOG_BASE, area, sizeof(area), &run->log.fd, 1,
			  false);
}

/* The log is switched on and shortened to arg bytes while frames come and go. */
static void log_cut(struct guest_run *run, uint64_t arg)
{
	if (!guest_migration_begin(run))
		return;
	send_some(run);
	if (ftruncate(run->log.fd, (off_t)arg) < 0)
		summary_error(run->summary, EXIT_WRONG, "cannot truncate the dirty log");
	send_some(run);
	munmap(run->log.shared, run->log.bytes);
	run->log.shared = NULL;
}

/* A log of arg bytes, for memory that needs more. */
static void log_small(struct guest_run *run, uint64_t arg)
{
	if (!guest_migration_begin(run))
		return;
	send_log(run, arg, 0);
	send_some(run);
}

static void log_again(struct guest_run *run, uint64_t arg)
{
	if (!guest_migration_begin(run))
		return;
	for (uint32_t i = 0; i < REPEATS; i++) {
		send_some(run);
		send_log(run, run->log.bytes, 0);
		guest_nic_reap(run->nic);
	}
	(void)arg;
}

/* More than the file has, from an offset that makes it so. */
static void log_beyond(struct guest_run *run, uint64_t arg)
{
	if (!guest_migration_begin(run))
		return;
	send_log(run, run->log.bytes, arg ? arg : run->log.bytes);
	send_some(run);
}

static void inflight_cut(struct guest_run *run, uint64_t arg)
{
	send_some(run);
	if (ftruncate(run->inflight.fd, (off_t)arg) < 0)
		summary_error(run->summary, EXIT_WRONG, "cannot truncate the in-flight file");
	send_some(run);
}

/* Asked for again and again, and none of them given back. */
static void inflight_again(struct guest_run *run, uint64_t arg)
{
	struct {
		uint64_t size, offset;
		uint16_t queues, queue_size;
		uint32_t padding;
	} wire = { 0, 0, 2, (uint16_t)run->inflight.queue_size, 0 };
	int fd;

	(void)arg;
	for (uint32_t i = 0; i < REPEATS; i++) {
		if (front_end_request(&run->fe, VHOST_USER_GET_INFLIGHT_FD, &wire, sizeof(wire),
				      NULL, 0, false) < 0 ||
		    front_end_receive_fd(&run->fe, VHOST_USER_GET_INFLIGHT_FD, &wire, 20,
					 sizeof(wire), &fd) < 0)
			return;
		close(fd);
		wire.size = wire.offset = 0;
	}
	send_some(run);
}

/* The file that is in use, for other rings than there are: arg queues, arg >> 16 entries. */
static void inflight_counts(struct guest_run *run, uint64_t arg)
{
	struct {
		uint64_t size, offset;
		uint16_t queues, queue_size;
		uint32_t padding;
	} wire = { run->inflight.mmap_size, run->inflight.mmap_offset, (uint16_t)arg,
		   (uint16_t)(arg >> 16), 0 };

	front_end_request(&run->fe, VHOST_USER_SET_INFLIGHT_FD, &wire, sizeof(wire),
			  &run->inflight.fd, 1, true);
	send_some(run);
}

struct mem_reg {
	uint64_t padding, gpa, size, user, offset;
};

static int slot(struct guest_run *run, uint32_t request, uint64_t at, uint64_t size)
{
	struct mem_reg reg = { 0, SLOT_GPA + at, size, SLOT_GPA + at, 0 };

	return front_end_request(&run->fe, request, &reg, sizeof(reg), &run->memory.fd,
				 request == VHOST_USER_ADD_MEM_REG, true);
}

/* Regions without end, all of the same page of the file. */
static void slots_many(struct guest_run *run, uint64_t arg)
{
	for (uint32_t i = 0; i < SLOTS_MAX; i++)
		if (slot(run, VHOST_USER_ADD_MEM_REG, i * arg, SLOT_SIZE) < 0)
			break;
	send_some(run);
}

static void slot_unknown(struct guest_run *run, uint64_t arg)
{
	slot(run, VHOST_USER_REM_MEM_REG, arg, SLOT_SIZE);
	send_some(run);
}

/* The region of the rings themselves goes away while they run. */
static void slot_of_rings(struct guest_run *run, uint64_t arg)
{
	const struct guest_region *r = &run->memory.regions[0];
	struct mem_reg reg = { 0, r->gpa, r->size, (uintptr_t)r->host, r->offset };

	(void)arg;
	send_some(run);
	front_end_request(&run->fe, VHOST_USER_REM_MEM_REG, &reg, sizeof(reg), NULL, 0, true);
	send_some(run);
}

#define R           STAGE_RUNNING
#define RINGS(q, n) ((uint64_t)(q) | (uint64_t)(n) << 16)

/* clang-format off */
const struct misdeed misdeeds_shared[] = {
	{ "log-truncated", R, NEEDS_LOG | WAITS_FOR_END, log_cut, 0, "the dirty log is cut to nothing while running" },
	{ "log-truncated-half", R, NEEDS_LOG, log_cut, PAGE, "the dirty log is cut to a page while running" },
	{ "log-small", R, NEEDS_LOG, log_small, 1, "a dirty log of one byte" },
	{ "log-repeated", R, NEEDS_LOG, log_again, 0, "SET_LOG_BASE again and again while running" },
	{ "log-beyond-file", R, NEEDS_LOG, log_beyond, 0, "a dirty log behind the end of its file" },
	{ "log-offset-odd", R, NEEDS_LOG, log_beyond, 123, "a dirty log at an odd offset, that ends behind its file" },
	{ "inflight-truncated", R, NEEDS_INFLIGHT | WAITS_FOR_END, inflight_cut, 0, "the in-flight file is cut to nothing while running" },
	{ "inflight-truncated-half", R, NEEDS_INFLIGHT | WAITS_FOR_END, inflight_cut, 64, "the in-flight file is cut to 64 bytes while running" },
	{ "inflight-repeated", R, NEEDS_INFLIGHT, inflight_again, 0, "GET_INFLIGHT_FD again and again while running" },
	{ "inflight-more-queues", R, NEEDS_INFLIGHT, inflight_counts, RINGS(200, 256), "the in-flight file for 200 rings while running" },
	{ "inflight-no-queues", R, NEEDS_INFLIGHT, inflight_counts, RINGS(0, 256), "the in-flight file for no rings while running" },
	{ "inflight-more-entries", R, NEEDS_INFLIGHT, inflight_counts, RINGS(2, 32768), "the in-flight file for 32768 entries while running" },
	{ "slots-many", R, NEEDS_SLOTS, slots_many, SLOT_SIZE, "600 memory slots while running" },
	{ "slots-overlap", R, NEEDS_SLOTS, slots_many, SLOT_SIZE / 2, "memory slots that overlap" },
	{ "slot-unknown", R, NEEDS_SLOTS, slot_unknown, 0, "a memory slot is removed that never was" },
	{ "slot-of-rings", R, NEEDS_SLOTS, slot_of_rings, 0, "the region of the rings is removed while they run" },
	{ 0 },
};
/* clang-format on */
