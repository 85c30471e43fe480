/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first half of a migration, as QEMU makes it: the back-end is told to log what it
 * writes while its rings run, the log is read again and again, and once more when the
 * rings have stopped. Nothing is moved anywhere; what is in the log is compared with
 * what was seen written (guest_log.h).
 */
#include <errno.h>

#include "guest_run.h"

#define TAKE_NS 20000000ll /* from one look at the log to the next */

/* What the device may write, log or not. */
static void note_allowed(struct guest_log *log, const struct guest_nic *nic)
{
	const struct driver_ring *rings[] = { &nic->rx.ring, &nic->tx.ring };

	for (uint32_t i = 0; i < nic->rx.ring.size; i++)
		guest_log_may(log, nic->rx.slots[i].span.gpa, nic->rx.room);
	for (size_t i = 0; i < 2; i++) {
		guest_log_may(log, rings[i]->used_span.gpa, driver_ring_used_bytes(rings[i]));
		if (rings[i]->kind == DRIVER_RING_PACKED)
			guest_log_may(log, rings[i]->desc_span.gpa,
				      sizeof(struct vring_packed_desc) * rings[i]->size);
	}
}

static void set_log(struct guest_run *run)
{
	for (uint32_t i = 0; i < run->pairs; i++) {
		run->nic[i].log = &run->log;
		run->nic[i].rx.ring.log = run->nic[i].tx.ring.log = &run->log;
		note_allowed(&run->log, &run->nic[i]);
	}
}

/* What was written before the log was on is taken first, and not noted. */
static void take_old(struct guest_run *run)
{
	for (uint32_t i = 0; i < run->pairs; i++)
		while (guest_nic_reap(&run->nic[i]) || guest_nic_receive(&run->nic[i]))
			;
}

bool guest_migration_begin(struct guest_run *run)
{
	struct front_end_log shared;
	struct fail fail;
	int rc;

	if (!run->nic->options->log)
		return true;
	if (!run->log.bytes && guest_log_open(&run->log, &run->memory, &fail) < 0) {
		summary_error(run->summary, EXIT_WRONG, "%s", fail.text);
		return false;
	}
	shared = (struct front_end_log){ run->log.fd, run->log.bytes };
	run->log.on = false;
	rc = front_end_log(&run->fe, &shared, &run->rings);
	if (rc) {
		run->lost = rc == -ECONNRESET || rc == -EPIPE;
		if (!run->lost)
			summary_error(run->summary, EXIT_PROTOCOL, "the dirty log: %s",
				      run->fe.fail.text);
		return false;
	}
	take_old(run);
	set_log(run);
	run->log.on = true;
	return true;
}

void guest_migration_tick(struct guest_run *run, int64_t now_ns)
{
	if (!run->log.on || now_ns < run->next_log_ns)
		return;
	run->next_log_ns = now_ns + TAKE_NS;
	guest_log_take(&run->log);
}

void guest_migration_end(struct guest_run *run)
{
	if (!run->log.on)
		return;
	run->summary->logged = true;
	run->summary->log = guest_log_judge(&run->log);
	summary_count_error(run->summary, run->summary->log.missing,
			    "pages that the device wrote are not in its dirty log");
}
