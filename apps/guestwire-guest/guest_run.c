/* SPDX-License-Identifier: BSD-2-Clause */
#include "guest_run.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_spec.h"

#define REPLY_TIMEOUT_MS 5000

static uint64_t feature_bit(int bit)
{
	return 1ull << bit;
}

/* Features that an option of their own asks for, and without which it fails. */
static uint64_t chosen_features(const struct guest_options *o)
{
	return (o->ring == DRIVER_RING_PACKED ? feature_bit(VIRTIO_F_RING_PACKED) : 0) |
	       (o->in_order ? feature_bit(VIRTIO_F_IN_ORDER) : 0) |
	       (o->iommu ? feature_bit(VIRTIO_F_ACCESS_PLATFORM) : 0) |
	       (o->queues > 1 ? feature_bit(VIRTIO_NET_F_MQ) : 0);
}

static uint64_t chosen_protocol(const struct guest_options *o)
{
	return (o->inflight ? feature_bit(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) : 0) |
	       (o->inflight && o->suspend_ms
			? feature_bit(VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT) |
				  feature_bit(VHOST_USER_PROTOCOL_F_GET_VRING_BASE_SKIP_DRAIN)
			: 0) |
	       (o->reset_ms ? feature_bit(VHOST_USER_PROTOCOL_F_RESET_DEVICE) : 0) |
	       (o->iommu ? feature_bit(VHOST_USER_PROTOCOL_F_BACKEND_REQ) : 0) |
	       (o->slots ? feature_bit(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) : 0) |
	       (o->log ? feature_bit(VHOST_USER_PROTOCOL_F_LOG_SHMFD) : 0);
}

static struct front_end_config front_end_config(const struct guest_options *o)
{
	uint64_t wanted = chosen_features(o), wanted_protocol = chosen_protocol(o);

	for (const struct front_end_feature *f = front_end_features; f->name; f++)
		if (f->kind == FEATURE_PROTOCOL)
			wanted_protocol |= feature_bit(f->bit);
		else if (f->kind == FEATURE_VIRTIO)
			wanted |= feature_bit(f->bit);
	return (struct front_end_config){
		.path = o->socket,
		.listen = o->listen,
		.connect_timeout_ms = (int)(o->connect_timeout_s * 1000),
		.reply_timeout_ms = REPLY_TIMEOUT_MS,
		.wanted = (wanted | o->offloads) & ~o->features_off,
		.wanted_protocol = wanted_protocol & ~o->protocol_off,
		.required = chosen_features(o),
		.required_protocol = chosen_protocol(o),
		.resume = (enum front_end_resume)o->resume,
		.inflight_own = o->inflight_own,
		.ack_all = o->ack == ACK_ALL,
		.enable_last = o->order == ORDER_ENABLE_LAST,
		.trace = o->trace,
	};
}

static int open_nics(struct guest_run *run, const struct guest_options *o, struct fail *fail)
{
	uint32_t pairs = (uint32_t)o->queues;
	int rc = 0;

	run->nic = calloc(pairs, sizeof(*run->nic));
	run->wait = calloc(3 + 4 * (size_t)pairs, sizeof(*run->wait));
	if (!run->nic || !run->wait)
		return fail_set(fail, -ENOMEM, "no memory for %u pairs of queues", pairs);
	for (; !rc && run->pairs < pairs; run->pairs++) {
		struct guest_nic *nic = &run->nic[run->pairs];

		rc = guest_nic_open(nic, o, run->pairs, &run->memory, run->summary->tally, fail);
		run->rings.ring[run->rings.count++] = &nic->rx.ring;
		run->rings.ring[run->rings.count++] = &nic->tx.ring;
	}
	return rc;
}

int guest_run_open(struct guest_run *run, const struct guest_options *o,
		   struct guest_summary *summary)
{
	struct guest_memory_config memory = { .size = o->memory_mib << 20,
					      .region_count = (uint32_t)o->regions,
					      .adjacent = o->adjacent,
					      .hugetlb = o->hugetlb,
					      .seal = !o->no_seal,
					      .iommu = o->iommu };
	struct fail fail;
	int rc;

	memset(run, 0, sizeof(*run));
	run->summary = summary;
	run->fe.sock = run->memory.fd = run->inflight.fd = run->iommu.fd = -1;
	run->inflight.queue_size = (uint16_t)o->ring_size;
	run->config = front_end_config(o);
	run->config.inflight = o->inflight ? &run->inflight : NULL;
	rc = guest_memory_open(&run->memory, &memory, &fail);
	if (!rc)
		rc = open_nics(run, o, &fail);
	if (rc) {
		summary_error(summary, EXIT_WRONG, "%s", fail.text);
		return rc;
	}
	rc = front_end_open(&run->fe, &run->config);
	if (rc)
		summary_error(summary, EXIT_PROTOCOL, "%s", run->fe.fail.text);
	return rc;
}

void guest_run_close(struct guest_run *run)
{
	front_end_close(&run->fe);
	guest_iommu_close(run);
	if (run->inflight.fd >= 0)
		close(run->inflight.fd);
	for (uint32_t i = 0; i < run->pairs; i++)
		guest_nic_close(&run->nic[i]);
	guest_log_close(&run->log);
	free(run->nic);
	free(run->wait);
	guest_memory_close(&run->memory);
}

static int prepare_nics(struct guest_run *run)
{
	struct fail fail;

	run->summary->features = run->fe.features;
	run->summary->protocol = run->fe.protocol;
	for (uint32_t i = 0; i < run->pairs; i++) {
		int rc = guest_nic_prepare(&run->nic[i], run->fe.features, &fail);

		if (rc) {
			summary_error(run->summary, EXIT_WRONG, "%s", fail.text);
			return rc;
		}
	}
	return 0;
}

int guest_run_start(struct guest_run *run)
{
	struct front_end *fe = &run->fe;
	int rc = front_end_negotiate(fe, &run->rings);

	if (!rc && prepare_nics(run) < 0)
		return -ENOMEM;
	if (!rc)
		rc = guest_iommu_open(run);
	if (!rc)
		rc = front_end_start(fe, &run->memory, &run->rings);
	if (rc) {
		summary_error(run->summary, EXIT_PROTOCOL, "%s", fe->fail.text);
		return rc;
	}
	guest_run_kick(run);
	return 0;
}

bool guest_run_said(struct guest_run *run, int rc, const char *what)
{
	if (!rc)
		return true;
	if (rc == -ECONNRESET || rc == -EPIPE)
		run->lost = true;
	else
		summary_error(run->summary, EXIT_PROTOCOL, "%s: %s", what, run->fe.fail.text);
	return false;
}

void guest_run_kick(struct guest_run *run)
{
	/* The first kick starts a ring ("Ring states"); RX has buffers to show. */
	for (uint32_t i = 0; i < run->rings.count; i++)
		driver_ring_kick_always(run->rings.ring[i]);
}

uint32_t guest_run_sending(const struct guest_run *run)
{
	uint32_t out = 0;

	for (uint32_t i = 0; i < run->pairs; i++)
		out += driver_ring_out(&run->nic[i].tx.ring);
	return out;
}

/* The device would go on where used ends, and has forgotten none. Some fill only the lower
 * half of a packed ring's base. */
static bool at_rest(const struct driver_ring *ring, uint32_t base)
{
	uint16_t used = driver_ring_used_idx(ring);

	return (uint16_t)base == used && (base >> 16 == 0 || base >> 16 == used) &&
	       !driver_ring_lost(ring, base);
}

static struct summary_ring ring_summary(const struct driver_ring *ring, uint32_t base)
{
	return (struct summary_ring){ driver_ring_used_idx(ring), driver_ring_avail_idx(ring),
				      (uint16_t)base, driver_ring_lost(ring, base) };
}

/* Both rings have stopped; what is in them is taken, and compared. */
static void judge_stop(struct guest_run *run, uint32_t pair, uint32_t rx_base, uint32_t tx_base)
{
	struct guest_summary *s = run->summary;
	struct summary_queue *q = &s->queues[pair];
	struct guest_nic *nic = &run->nic[pair];

	while (guest_nic_reap(nic) || guest_nic_receive(nic))
		;
	q->rx = ring_summary(&nic->rx.ring, rx_base);
	q->tx = ring_summary(&nic->tx.ring, tx_base);
	q->clean = at_rest(&nic->tx.ring, tx_base) && at_rest(&nic->rx.ring, rx_base);
	/* Nobody cut us short, so every head must be back. */
	if (!s->interrupted && s->exit == EXIT_GOOD)
		q->clean = q->clean && q->tx.used_idx == q->tx.avail_idx;
	s->clean = s->clean && q->clean;
	if (!q->clean)
		summary_error(s, EXIT_WRONG,
			      "not a clean stop of pair %u: tx used %u, base %u, available %u, "
			      "%u lost; rx used %u, base %u, %u lost",
			      pair, q->tx.used_idx, q->tx.base, q->tx.avail_idx, q->tx.lost,
			      q->rx.used_idx, q->rx.base, q->rx.lost);
}

static int stop_rings(struct guest_run *run, uint32_t *bases)
{
	int rc = front_end_stop(&run->fe);

	for (uint32_t i = 0; !rc && i < run->rings.count; i++)
		rc = front_end_stop_ring(&run->fe, i, &bases[i]);
	return rc;
}

void guest_run_stop(struct guest_run *run)
{
	uint32_t bases[FRONT_END_MAX_RINGS] = { 0 };
	int rc;

	if (run->lost)
		return;
	rc = stop_rings(run, bases);
	if (rc == -ECONNRESET || rc == -EPIPE) {
		run->lost = true;
		return;
	}
	if (rc) {
		summary_error(run->summary, EXIT_PROTOCOL, "stopping the rings: %s",
			      run->fe.fail.text);
		return;
	}
	run->summary->stopped = run->summary->clean = true;
	for (uint32_t i = 0; i < run->pairs; i++)
		judge_stop(run, i, bases[2 * i], bases[2 * i + 1]);
	guest_migration_end(run);
}
