/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that comes and goes while frames run, as a DIMM that is plugged and unplugged.
 *
 * A region of a file of its own is added to the guest's memory (ADD_MEM_REG, or the
 * table once more where slots were not negotiated), and transmitted frames then lie
 * there in turn with those of the rest. Before it is taken away again nothing is
 * sent from it any more, and all that was is home, as a guest's kernel does it.
 */
#include <errno.h>
#include <string.h>

#include "guest_run.h"

#define NS_PER_MS  1000000ll
#define PLUG_BYTES (2ull << 20)

static bool tell(struct guest_run *run, int rc)
{
	return guest_run_said(run, rc, "memory that changes");
}

static bool plug(struct guest_run *run)
{
	struct fail fail;

	if (guest_memory_plug(&run->memory, PLUG_BYTES, &fail) < 0) {
		summary_error(run->summary, EXIT_WRONG, "%s", fail.text);
		return true;
	}
	if (!tell(run, front_end_plug(&run->fe, &run->memory)))
		return false;
	for (uint32_t i = 0; i < run->pairs; i++)
		run->nic[i].plugged = guest_memory_plugged(&run->memory, i, run->pairs,
							   &run->nic[i].plugged_bytes);
	run->summary->plugs++;
	return true;
}

static bool in_use(const struct guest_run *run)
{
	for (uint32_t i = 0; i < run->pairs; i++)
		for (uint32_t n = 0; n < run->nic[i].tx.ring.size; n++)
			if (run->nic[i].tx.slots[n].out && run->nic[i].tx.slots[n].in_plugged)
				return true;
	return false;
}

bool guest_plug_tick(struct guest_run *run, int64_t now_ns)
{
	int64_t period_ns = (int64_t)run->nic->options->plug_ms * NS_PER_MS;
	int rc;

	if (!period_ns || now_ns < run->next_plug_ns)
		return true;
	if (!run->memory.plugged) {
		run->next_plug_ns = now_ns + period_ns;
		return plug(run);
	}
	for (uint32_t i = 0; i < run->pairs; i++)
		run->nic[i].plugged_bytes = 0;
	if (in_use(run))
		return true;
	run->next_plug_ns = now_ns + period_ns;
	rc = front_end_unplug(&run->fe, &run->memory);
	if (!tell(run, rc))
		return false;
	guest_memory_unplug(&run->memory);
	run->summary->plugs++;
	return true;
}
