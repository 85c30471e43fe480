/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A veth pair in a network namespace of the test's own, and its far end: a raw
 * socket that sees what a driver sends through the near end, and sends to it.
 *
 * Failures fail the test, except where there can be no namespace: that is a skip.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* EtherType of test frames: local experimental (IEEE 802). */
#define VETH_TYPE 0x88b5

/*
 * Moves the process, which must have one thread, into a new network namespace; and
 * into a user namespace of its own, root there, if it is not root. False with the
 * cause if that is not possible here.
 */
bool veth_enter(char *why, size_t why_bytes);
/* True if this process may load BPF programs. */
bool veth_privileged(void);
/* Makes and ends a pair, both ends up, with this MTU. */
void veth_add(const char *near, const char *far, unsigned int mtu);
/* The same, each end with so many queues. */
void veth_add_queues(const char *near, const char *far, unsigned int mtu, unsigned int queues);
void veth_delete(const char *near);
/*
 * Switches off all that a device can do about checksums and segmentation, so that the
 * kernel does it in software before it sends.
 */
void veth_offloads_off(const char *ifname);
/* Whether TCP segmentation is left to the device. */
bool veth_has_tso(const char *ifname);
/* Runs a command of a shell that must succeed. */
void veth_run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A raw socket on an interface, for frames of an EtherType, or all if it is 0. With
 * vnet_header each frame begins with a struct virtio_net_hdr (10 bytes).
 */
int far_open(const char *ifname, uint16_t type, bool vnet_header);
void far_send(int fd, const void *frame, size_t len);
/* The next frame that the other end sent; its length, 0 after timeout_ms. */
size_t far_receive(int fd, void *frame, size_t size, unsigned int timeout_ms);

/* A test frame: broadcast, VETH_TYPE (as far as len goes), and bytes that follow from number. */
void pattern_fill(uint8_t *frame, size_t len, uint32_t number);
bool pattern_holds(const uint8_t *frame, size_t len, uint32_t number);
