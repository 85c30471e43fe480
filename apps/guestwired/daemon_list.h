/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

#include <stdio.h>

/* --list-drivers: the drivers of this build, their options, and all reasons, from the tables. */
void daemon_list_drivers(FILE *out);
