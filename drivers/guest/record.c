/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is in flight, written down where it outlives this process: if we are killed, the
 * next process goes on without losing a descriptor or completing one twice. Either the
 * front-end keeps the record (INFLIGHT_SHMFD), or we do, in a file for each port
 * (src/vhost/record_file.h), since QEMU keeps none for network devices.
 *
 * Frames that the dead process had taken are taken again: it may have sent them. They
 * are counted (taken_again). No device of the dead one reads guest memory any more by
 * then: guests are served when all ports have started, and an xdp port starts when its
 * queues can be bound, which proves that the sockets that had them are gone.
 */
#include "guest.h"

#include "fd.h"
#include "log.h"
#include "ring_record.h"
#include "services.h"
#include <errno.h>

int record_open(struct guest *guest, struct gw_error *err)
{
	const char *dir = port_state_dir(guest->port);
	struct gw_error why = { 0 };
	int ret;

	guest->record_dir = -1;
	guest->record_broken = false;
	if (!dir)
		return 0;
	guest->record_dir = record_dir_open(dir, &why);
	if (guest->record_dir < 0) {
		gw_port_log(guest->port, LOG_NOTICE,
			    "what is in flight is not recorded, so a guest loses frames if this "
			    "process is killed: %s",
			    why.text);
		return 0;
	}
	ret = record_file_open(guest->record_dir, gw_port_target(guest->port), 2 * guest->pairs_max,
			       &guest->record, &why);
	if (!ret)
		return 0;
	gw_fd_close(&guest->record_dir);
	return gw_error_set(err, ret, "port %s: %s", gw_port_name(guest->port), why.text);
}

void record_close(struct guest *guest)
{
	record_file_close(guest->record);
	guest->record = NULL;
	gw_fd_close(&guest->record_dir);
}

void record_strike(struct guest *guest, unsigned int index, void *kept)
{
	gw_port_log(guest->port, LOG_NOTICE,
		    "ring %u: what was in flight when it was stopped is still in a dead device, "
		    "and is not taken again here",
		    index);
	ring_record_end(kept);
}

void record_begin(struct guest *guest, unsigned int index, struct ring_config *config)
{
	struct gw_error err = { 0 };
	bool continues;

	if (!guest->record)
		return;
	if (config->record) {
		record_file_ring_stopped(guest->record, index);
		return;
	}
	config->record = record_file_ring(guest->record, index, config, &continues, &err);
	if (!config->record)
		gw_port_log(guest->port, LOG_WARNING, "ring %u is not recorded: %s", index,
			    err.text);
}

void record_tell(struct guest *guest, unsigned int index, const struct ring *ring)
{
	const char *refused = ring_record_refused(ring);
	uint32_t again = ring_resubmitted(ring);

	if (refused)
		gw_port_log(guest->port, LOG_NOTICE,
			    "ring %u: the record of a run before is not "
			    "its own: %s",
			    index, refused);
	if (!again)
		return;
	gw_port_log(guest->port, LOG_NOTICE,
		    "ring %u: %u buffers were in flight when the process before this one ended, "
		    "and are taken again",
		    index, again);
	if (ring_transmits(index))
		port_count_again(guest->port, again);
}

void record_look(struct guest *guest)
{
	if (!guest->record || guest->record_broken || !record_file_broken(guest->record))
		return;
	guest->record_broken = true;
	gw_port_log(guest->port, LOG_ERR,
		    "what is in flight is not recorded any more: somebody has shortened the file; "
		    "start the daemon anew to have one");
}

static void forget(struct guest *guest, unsigned int index, void *kept)
{
	if (kept)
		ring_record_end(kept);
	else if (guest->record)
		record_file_ring_stopped(guest->record, index);
}

void record_end(struct guest *guest, unsigned int index, const struct ring *ring, void *kept,
		bool clean)
{
	bool handed = session_hands_runs(guest->session);
	bool left = ring_resubmit_left(ring);

	/* What a dead device may still read is not taken again, but for who goes on elsewhere. */
	guest->record_left[index] = handed ? left || !clean : left && clean;
	if (session_gives_base(guest->session) || (clean && !session_ends_runs(guest->session)))
		return;
	forget(guest, index, kept);
}

void record_over(struct guest *guest, unsigned int index, void *kept, bool reset)
{
	/* It is counted as consumed, and still to be done. */
	if (!reset && guest->record_left[index])
		return;
	/* A record of nothing would still have a place of its own (ring_record.h). */
	forget(guest, index, kept);
}
