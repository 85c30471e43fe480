/* SPDX-License-Identifier: BSD-2-Clause */
/* The two modes. Each fills the summary, errors and all; main judges and prints it. */
#pragma once

#include "guest_options.h"
#include "guest_summary.h"
#include "pacer.h"

void run_guest(const struct guest_options *options, struct pacer *pacer,
	       struct guest_summary *summary);
void run_interface(const struct guest_options *options, struct pacer *pacer,
		   struct guest_summary *summary);

/* Tells --ready-fd, if there is one. */
void run_ready(const struct guest_options *options);
