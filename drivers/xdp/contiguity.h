/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages of a guest's memory are contiguous for a device.
 *
 * A zero-copy NIC that takes one descriptor for a frame takes one across the end of a
 * page only if both pages lie side by side for its DMA. What can be known of that:
 *
 *   - hugetlb: each page is contiguous by nature;
 *   - transparent huge pages: a page of 2 MiB can be split, but not while it is pinned.
 *     So what is mapped as such after the memory was registered stays contiguous for
 *     as long as it is. All of the memory, or none: one frame that the kernel refuses
 *     costs the socket;
 *   - an IOMMU that translates: the kernel maps each 4 KiB page by itself, wherever
 *     there is room. Nothing is contiguous then, whatever it is made of.
 */
#pragma once

#include "netdev.h"
#include <guestwire/driver.h>

/* Of any memory. */
#define CONTIGUOUS_BYTES_LEAST 4096u

/* Whether an IOMMU translates what the device reads; false if that cannot be found out. */
bool contiguity_translated(const struct netdev_info *netdev);
/* Bytes that lie side by side in memory that is pinned: 4096, 2 MiB or 1 GiB. */
uint32_t contiguity_of_window(const struct gw_window *window);
