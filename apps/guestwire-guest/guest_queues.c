/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pairs of queues taken out of use and put back while frames run, as a guest does that
 * changes its number of queues (VIRTIO 1.2 section 5.1.6.5.5, vhost-user
 * SET_VRING_ENABLE).
 *
 * One pair at a time, the first one excepted if there are others. A back-end throws away
 * what it finds on a disabled transmit ring, so the pair first sends nothing more
 * until all is home. Frames for the guest then come by the other pairs. The message is
 * waited for where REPLY_ACK allows it, as QEMU does since 8.2: a kick may overtake it.
 */
#include "guest_run.h"

#define NS_PER_MS 1000000ll

static struct guest_nic *next_pair(struct guest_run *run)
{
	struct guest_toggle *t = &run->toggle;

	t->pair++;
	if (t->pair >= run->pairs)
		t->pair = run->pairs > 1 ? 1 : 0;
	return &run->nic[t->pair];
}

static bool set_pair(struct guest_run *run, struct guest_nic *nic, bool enable)
{
	if (front_end_enable_ring(&run->fe, 2 * nic->index + FRONT_END_RX, enable, true) < 0 ||
	    front_end_enable_ring(&run->fe, 2 * nic->index + FRONT_END_TX, enable, true) < 0) {
		run->lost = true;
		return false;
	}
	nic->state = enable ? NIC_ON : NIC_OFF;
	run->summary->toggles++;
	if (enable) {
		driver_ring_kick_always(&nic->rx.ring);
		driver_ring_kick_always(&nic->tx.ring);
	}
	return true;
}

bool guest_queues_tick(struct guest_run *run, int64_t now_ns)
{
	int64_t period_ns = (int64_t)run->nic->options->toggle_ms * NS_PER_MS;
	struct guest_nic *nic = &run->nic[run->toggle.pair];

	if (!period_ns)
		return true;
	if (nic->state == NIC_DRAINING && !driver_ring_out(&nic->tx.ring)) {
		run->toggle.next_ns = now_ns + period_ns;
		return set_pair(run, nic, false);
	}
	if (now_ns < run->toggle.next_ns || nic->state == NIC_DRAINING)
		return true;
	run->toggle.next_ns = now_ns + period_ns;
	if (nic->state == NIC_OFF)
		return set_pair(run, nic, true);
	next_pair(run)->state = NIC_DRAINING;
	return true;
}
