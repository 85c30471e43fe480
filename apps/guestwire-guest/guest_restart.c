/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back-end has died, and the guest goes on with the next one.
 *
 * As QEMU with reconnect=: the rings and what is out on them stay as they are, the
 * socket is tried again and again, and the next back-end is told all that the first
 * one was told. What was used before the death and not seen is taken first: the dead
 * write no more. Then the books must come out: each chain that was out comes home
 * once, whoever brings it, and the rings judge that by themselves.
 *
 * A back-end that dies again during the handshake is one more death.
 */
#include <poll.h>
#include <time.h>

#include "guest_run.h"

#define TRY_MS    200 /* the socket, before signals and deadline are looked at */
#define PAUSE_MS  10
#define NS_PER_MS 1000000ll
#define MS_PER_S  1000.0

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ll + ts.tv_nsec / NS_PER_MS;
}

static void settle(struct guest_run *run)
{
	struct guest_summary *s = run->summary;

	front_end_close(&run->fe);
	for (uint32_t i = 0; i < run->pairs; i++) {
		struct guest_nic *nic = &run->nic[i];

		guest_nic_settle(nic);
		s->out_at_restarts += driver_ring_out(&nic->tx.ring);
		nic->state = NIC_ON; /* all rings are enabled at a start */
	}
	/* What was negotiated stays: the guest knows nothing of this. */
	run->config.wanted = run->config.required = s->features;
	run->config.wanted_protocol = s->protocol;
	run->config.required_protocol = s->protocol;
}

static int try_once(struct guest_run *run, int64_t left_ms)
{
	int rc;

	/* Who listens must not go away again while somebody connects. */
	run->config.connect_timeout_ms =
		run->config.listen || left_ms < TRY_MS ? (int)left_ms : TRY_MS;
	rc = front_end_open(&run->fe, &run->config);
	if (!rc)
		rc = front_end_negotiate(&run->fe, &run->rings);
	if (!rc)
		rc = guest_iommu_open(run);
	if (!rc)
		rc = front_end_start(&run->fe, &run->memory, &run->rings);
	if (rc)
		front_end_close(&run->fe);
	return rc;
}

bool guest_restart(struct guest_run *run, struct pacer *pacer)
{
	struct guest_summary *s = run->summary;
	int64_t from_ms = now_ms();
	int64_t limit_ms = (int64_t)(run->nic->options->reconnect_s * MS_PER_S);
	int64_t took_ms = 0;

	settle(run);
	while (try_once(run, limit_ms - took_ms) < 0) {
		poll(NULL, 0, PAUSE_MS);
		took_ms = now_ms() - from_ms;
		pacer_read_signal(pacer);
		if (pacer->interrupted || took_ms >= limit_ms) {
			summary_error(s, EXIT_PROTOCOL, "no back-end came back within %lld ms: %s",
				      (long long)took_ms, run->fe.fail.text);
			return false;
		}
	}
	took_ms = now_ms() - from_ms;
	s->restarts++;
	if ((uint64_t)took_ms > s->restart_ms_max)
		s->restart_ms_max = (uint64_t)took_ms;
	run->lost = false;
	guest_run_kick(run);
	return true;
}
