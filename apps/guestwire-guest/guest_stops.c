/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rings that are stopped while frames run.
 *
 * --suspend: all of them are asked for their base, with GET_VRING_BASE_SKIP_DRAIN where
 * that was negotiated, and go on from there, as when a machine is paused. What is
 * out stays out; the back-end may have left some of it in the in-flight file, and has to
 * give it back, once, when it goes on.
 *
 * --reset: RESET_DEVICE, as when a guest is started anew or its driver is loaded again.
 * What the device had not taken is the driver's again. Here it is given again, on rings
 * that begin at their beginning, so that each frame still goes out once.
 */
#include "guest_run.h"

#include "vhost_user_spec.h"

#define NS_PER_MS 1000000ll

/* Chains that are out and lie before the base: only a record may know of them. */
static void judge_base(struct guest_run *run, uint32_t index, uint32_t base)
{
	const struct driver_ring *ring = run->rings.ring[index];
	uint32_t left = 0;

	while (guest_nic_reap(&run->nic[index / 2]) || guest_nic_receive(&run->nic[index / 2]))
		;
	left = driver_ring_lost(ring, base);
	run->summary->left_in_flight += left;
	if (left && !front_end_has(&run->fe, VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN))
		summary_error(run->summary, EXIT_WRONG,
			      "ring %u stopped at %u with %u chains that the back-end forgot",
			      index, base, left);
}

static bool suspend(struct guest_run *run)
{
	uint32_t bases[FRONT_END_MAX_RINGS];
	int rc = 0;

	for (uint32_t i = 0; !rc && i < run->rings.count; i++)
		rc = front_end_suspend_ring(&run->fe, i, &bases[i]);
	for (uint32_t i = 0; !rc && i < run->rings.count; i++)
		judge_base(run, i, bases[i]);
	if (!rc)
		rc = front_end_go_on(&run->fe, &run->rings, bases);
	if (!guest_run_said(run, rc, "rings that are suspended"))
		return false;
	run->summary->suspends++;
	guest_run_kick(run);
	return true;
}

static bool begin_anew(struct guest_run *run)
{
	struct fail fail;
	uint32_t frames;

	for (uint32_t i = 0; i < run->pairs; i++) {
		if (guest_nic_reset(&run->nic[i], &frames, &fail) < 0) {
			summary_error(run->summary, EXIT_WRONG, "%s", fail.text);
			return false;
		}
		run->summary->taken_back += frames;
		run->nic[i].state = NIC_ON;
	}
	return true;
}

static bool reset(struct guest_run *run)
{
	static const char what[] = "a device that is reset";

	if (!guest_run_said(run, front_end_reset(&run->fe), what) || !begin_anew(run) ||
	    !guest_run_said(run, front_end_start(&run->fe, NULL, &run->rings), what))
		return false;
	run->summary->resets++;
	guest_run_kick(run);
	return true;
}

static bool due(int64_t *next_ns, uint64_t period_ms, int64_t now_ns)
{
	bool first = !*next_ns;

	if (!period_ms || now_ns < *next_ns)
		return false;
	*next_ns = now_ns + (int64_t)period_ms * NS_PER_MS;
	return !first;
}

bool guest_stops_tick(struct guest_run *run, int64_t now_ns)
{
	const struct guest_options *o = run->nic->options;

	if (due(&run->next_suspend_ns, o->suspend_ms, now_ns) && !suspend(run))
		return false;
	return !due(&run->next_reset_ns, o->reset_ms, now_ns) || reset(run);
}
