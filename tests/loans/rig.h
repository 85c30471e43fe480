/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole library in the test's process: a context with guest ports, whose
 * guests are played by the test (tests/mock/vm.h), and loop ports, whose devices
 * are under its hands (drivers/loop/loop_test_api.h).
 */
#pragma once

#include "loop_test_api.h"
#include "vm.h"
#include <guestwire/guestwire.h>

/* Of each frame of rig_send. */
#define RIG_LEN 1000u

struct rig {
	struct gw_context *context;
	char folder[64]; /* of sockets */
};

/*
 * For how long loans are waited for before a device is stopped for them. What a test
 * says of this wait holds on a machine that does other things meanwhile if it is the
 * longest there is; the usual one is for tests of what comes then.
 */
#define RIG_STOP_MS     300u
#define RIG_STOP_MAX_MS 2000u

/*
 * Starts a context with the ports of the NULL-ended list. "%s" in a
 * specification becomes the folder for sockets. With GW_TEST_SPREAD in the environment
 * there are two workers, and guests whose name begins with `a` have another one than
 * everybody else.
 */
void rig_start(struct rig *rig, const char *const *ports);
void rig_start_with(struct rig *rig, const char *const *ports, unsigned int stop_ms);
/* Stops; returns what gw_stop returned. */
int rig_stop(struct rig *rig);
void rig_free(struct rig *rig);
/* A guest for the port whose socket is FOLDER/name, with both rings running. */
void rig_guest_with(struct rig *rig, struct vm *vm, const char *name,
		    const struct vm_options *options);
void rig_guest(struct rig *rig, struct vm *vm, const char *name);

/* The pair's part of a snapshot, copied. */
struct gw_pair_info rig_pair(struct rig *rig, const char *source, const char *egress);
struct gw_port_info rig_port(struct rig *rig, const char *name);
/* Sends one frame from the guest and waits until the driver of `egress` has answered. */
void rig_settle(struct rig *rig, struct vm *vm, const char *source, const char *egress);
/* One frame of RIG_LEN bytes, filled with `fill`, to 02:00:00:00:00:DESTINATION; its head. */
uint16_t rig_send(struct vm *vm, uint8_t destination, uint8_t fill);
/* Fills a device, which holds what it gets from now on, until it takes no more loans. */
void rig_fill_up(struct rig *rig, struct vm *vm, struct loop *loop, const char *source,
		 const char *egress, unsigned int loans);
/* Waits until the device holds exactly count frames. */
void rig_wait_held(struct loop *loop, unsigned int count);
/* Waits until the pair's lent + copied + dropped frames are at least count. */
void rig_wait_decided(struct rig *rig, const char *source, const char *egress, uint64_t count);
