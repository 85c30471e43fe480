/* SPDX-License-Identifier: BSD-2-Clause */
/* What the card's files have of each other. */
#pragma once

#include "guest_nic.h"

/* Writes the frame that a slot will hold for good. */
void guest_nic_build_fixed(struct guest_nic *nic, uint32_t number);

/* guest_nic_run.c. tx.plain is NULL if frames are sent one by one. */
int guest_nic_prepare_runs(struct guest_nic *nic, struct fail *fail);
/* Adds up to limit frames; returns how many. */
uint32_t guest_nic_send_run(struct guest_nic *nic, uint32_t limit);
/* Takes completions; 0 says nothing. */
uint32_t guest_nic_reap_run(struct guest_nic *nic);
