/* SPDX-License-Identifier: BSD-2-Clause */
/* What a port tap:IFNAME would do, before there is one. */
#pragma once

#include "finding.h"

/* What an interface says that may be a tap. */
struct tap_facts {
	bool tap;         /* it is one */
	bool packet_info; /* its flags */
	bool vnet_header;
	bool multi_queue; /* made for several descriptors */
	bool carrier; /* a program has it: the kernel takes the carrier away when the last leaves */
	bool has_owner, has_group;
	unsigned int owner, group;
	bool in_group; /* we are in that group */
};

/* Findings from facts; facts NULL: about the host. */
void tap_probe_judge(const struct gw_probe_question *question, const struct tap_facts *facts);
/* struct gw_driver.probe */
void tap_probe(const struct gw_probe_question *question);
