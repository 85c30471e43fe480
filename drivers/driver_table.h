/* SPDX-License-Identifier: BSD-2-Clause */
/* The drivers of this build. Made from the list in drivers/meson.build. */
#pragma once

#include <guestwire/driver.h>

/* In the order of the list, ended by NULL. */
extern const struct gw_driver *const gw_driver_table[];
