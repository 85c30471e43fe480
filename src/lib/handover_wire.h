/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parcels on a socket: a head, the bytes, then the descriptors, HANDOVER_FDS beside one
 * byte each time. The last head has no name. Both ends are this program, of this or
 * another build; what comes in is checked all the same.
 */
#pragma once

#include <guestwire/driver.h>
#include <guestwire/guestwire.h>

/* One parcel as it was received; the descriptors are the caller's. */
struct handover_parcel {
	char port[GW_NAME_BYTES];
	char driver[GW_NAME_BYTES];
	struct gw_parcel parcel; /* bytes and fds: handover_parcel_free */
};

/* How long one send or receive may take from now on. 0 or -errno. */
int handover_patience(int socket, unsigned int ms);
int handover_send(int socket, const char *port, const char *driver, const struct gw_parcel *parcel,
		  struct gw_error *err);
int handover_send_end(int socket, struct gw_error *err);
/* 1: one has come; 0: the end; or -errno with a text. */
int handover_receive(int socket, struct handover_parcel *parcel, struct gw_error *err);
/* The memory; the descriptors too, if they were not taken. NULL members are fine. */
void handover_parcel_free(struct handover_parcel *parcel);
/*
 * The end, one byte each way. "My ports are up", says who takes, and runs none yet; "they
 * are yours", says who leaves, and touches none any more. Who does not hear that runs
 * nothing, since the other one may have gone on himself.
 */
int handover_answer(int socket, struct gw_error *err);
int handover_wait_answer(int socket, struct gw_error *err);
int handover_agree(int socket, struct gw_error *err);
int handover_wait_agreed(int socket, struct gw_error *err);
