/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's own segmentation in software, to compare with: a super-frame is written
 * to a tap with its virtio-net header, a bridge passes it to a veth whose offloads are
 * off, so the kernel cuts it, and at the veth's peer the frames are read.
 *
 *	write --> kctap -- kcbr -- kcveth == kcpeer --> read
 */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* False where the kernel has no bridges for this user. */
bool kernel_cut_possible(void);
/* In the process's own network namespace (veth_enter). Fails the test if it cannot. */
void kernel_cut_open(void);
void kernel_cut_close(void);
/* False: the kernel refused the header (EINVAL). */
bool kernel_cut_send(const struct virtio_net_hdr_v1 *header, const uint8_t *bytes, uint32_t len);
/* The next frame, VLAN tags in place; its length, 0 after timeout_ms. */
uint32_t kernel_cut_receive(uint8_t *bytes, size_t size, unsigned int timeout_ms);
