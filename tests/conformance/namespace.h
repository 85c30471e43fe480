/* SPDX-License-Identifier: BSD-2-Clause */
/* A network namespace with something to test on. */
#pragma once

#include <stddef.h>

/*
 * Moves this process, which has one thread, into a new network namespace (and a
 * user namespace, if it is not root's), and makes there, all up and with that MTU:
 * a veth pair gw0 - gw1, and a persistent tap device gwtap0. The namespace ends
 * with the process. 0, or -1 and why not.
 */
int namespace_enter(unsigned int mtu, char *why, size_t why_bytes);
