/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest without a machine: memory and two rings of the mock driver, behind a
 * vhost-user socket, in the test's own process and under its hands.
 *
 * It says to the back-end what QEMU says, in QEMU's order, with a REPLY_ACK after
 * each request, so that whatever a call asked for has happened when it returns.
 * Memory is one region, laid out as: transmit ring, receive ring, then VM_SLOTS
 * slots of VM_SLOT_BYTES for each of them.
 *
 * Everything fails loudly through cmocka, and every wait has a deadline.
 */
#pragma once

#include "mock_driver.h"
#include <stdbool.h>
#include <stdint.h>

#define VM_RING_SIZE    256u
#define VM_SLOTS        256u
#define VM_SLOT_BYTES   4096u
#define VM_HEADER       12u /* bytes of the virtio-net header */
#define VM_MEMORY_ADDR  0x100000ull
#define VM_DEADLINE_MS  5000u
/* What rings and slots take of the memory; what is beyond is the test's. */
#define VM_MEMORY_BYTES (4u << 20)

struct vm_options {
	uint64_t features;     /* negotiated if offered, beside those of each vm */
	uint64_t memory_bytes; /* 0: VM_MEMORY_BYTES */
	bool iommu;            /* rings and buffers have I/O addresses: those of guest memory */
	bool inflight;         /* keeps the record of what is in flight, and may skip drains */
	bool multiqueue;       /* may have several queue pairs (vm_start_ring) */
};

struct vm_ring {
	struct mock_driver driver;
	int kick_fd, call_fd, err_fd;
	uint64_t slots_addr;            /* guest address of slot 0 */
	uint16_t slot_of[VM_RING_SIZE]; /* by head */
	unsigned int next_slot;
};

struct vm {
	int fd; /* the socket; -1: not connected */
	struct vm_options options;
	uint64_t features;
	struct mock_memory memory;
	struct vm_ring tx, rx;
	unsigned int reply_fds; /* descriptors that came back from the back-end: never any */
	int channel_fd;         /* options.iommu: the back-end's questions */
	int inflight_fd;        /* options.inflight: records of both rings, one after the other */
	uint8_t *inflight;
};

/* Connects (a listening back-end), negotiates, shares memory, starts and enables both rings. */
void vm_start_with(struct vm *vm, const char *socket_path, const struct vm_options *options);
/* The steps of it. */
void vm_connect(struct vm *vm, const char *socket_path);
void vm_share_memory(struct vm *vm);
void vm_start_rings(struct vm *vm);
/* SET_VRING_ENABLE of a ring that runs (0 receive, 1 transmit). */
void vm_enable(struct vm *vm, unsigned int index, bool on);
/* A stopped transmit ring, anew and empty: the guest's driver was loaded again. */
void vm_start_tx(struct vm *vm);
/*
 * Any ring, of any size at any place, enabled: number index is of pair index / 2. The
 * test fills it through its driver, and closes it.
 */
void vm_start_ring(struct vm *vm, struct vm_ring *ring, unsigned int index, uint32_t size,
		   uint64_t addr);
void vm_close_ring(struct vm_ring *ring);
/* GET_VRING_BASE of a ring (0 receive, 1 transmit); returns the base. */
uint16_t vm_stop_ring(struct vm *vm, unsigned int index);
/* RESET_OWNER: no ring goes on with what it had. */
void vm_reset_owner(struct vm *vm);
/* The two halves of a stop, and whether an answer came within wait_ms. */
void vm_stop_begin(struct vm *vm, unsigned int index);
bool vm_answered(struct vm *vm, unsigned int wait_ms);
uint16_t vm_stop_end(struct vm *vm, unsigned int index);
/*
 * options.iommu: the back-end is told where these I/O addresses lie; that they are taken
 * away (and waits for the answer). vm_start_with maps the rings, the rest is the test's.
 */
void vm_map(struct vm *vm, uint64_t addr, uint64_t bytes);
void vm_unmap_begin(struct vm *vm, uint64_t addr, uint64_t bytes);
void vm_unmap_end(struct vm *vm);
/* Waits for the back-end's next question; the address that it misses. */
uint64_t vm_wait_miss(struct vm *vm);
/* GET_VRING_BASE_SKIP_DRAIN of the transmit ring; returns the base. options.inflight. */
uint16_t vm_suspend_tx(struct vm *vm);
/* A stopped ring goes on where it was; the guest's driver knows nothing of it. */
void vm_go_on(struct vm *vm, unsigned int index, uint16_t base);
/* Heads of a ring that the record, if it is one, says are in flight. */
unsigned int vm_recorded(const struct vm *vm, unsigned int index);
/* Writes the record of a process that had taken the next so many, and was killed. */
void vm_record(struct vm *vm, unsigned int index, unsigned int count);
/* Hands the records to the back-end, before rings start; vm_start_with does. */
void vm_share_inflight(struct vm *vm);
/* As QEMU with reconnect=1: all anew, but for memory and rings; the base is what is used. */
void vm_come_again(struct vm *vm, const char *socket_path);
/* Closes the socket without a word, as a killed process does. Memory stays. */
void vm_disconnect(struct vm *vm);
/* All of it. Safe on one that was never started (zeroed). */
void vm_free(struct vm *vm);

/*
 * Sends a frame of len bytes: `frame` is copied into the next slot behind a zero
 * header, made available, kicked. Returns the head. vm_slot is where it lies.
 */
uint16_t vm_send(struct vm *vm, const uint8_t *frame, uint32_t len);
/*
 * The same, seen by the device after vm_publish: up to GW_BATCH are then taken in one
 * visit. One by one, a device that gives nothing back may be stalled before the last.
 */
uint16_t vm_send_later(struct vm *vm, const uint8_t *frame, uint32_t len);
/*
 * The same with what lies in these buffers, its virtio-net header first. -1: no
 * descriptors. The device sees it after vm_publish.
 */
int vm_send_buffers(struct vm *vm, const struct mock_buffer *buffers, unsigned int count);
void vm_publish(struct vm *vm);
uint8_t *vm_sent_bytes(struct vm *vm, uint16_t head);
/* Waits until the back-end has given back a transmit head; returns it. */
uint16_t vm_wait_used(struct vm *vm);
/* What has been given back by now: heads into `heads`, at most max. */
unsigned int vm_poll_used(struct vm *vm, uint16_t *heads, unsigned int max);
/* Makes count receive buffers of VM_SLOT_BYTES available. */
void vm_offer_rx(struct vm *vm, unsigned int count);
/* Those that the test has offered to rx.driver are there now. */
void vm_publish_rx(struct vm *vm);
/* Waits for a receive buffer to come back: its head, and the bytes that were written. */
uint32_t vm_wait_received(struct vm *vm, uint16_t *head);
/* Waits for a received frame; its bytes without header. Returns the length. */
uint32_t vm_receive(struct vm *vm, uint8_t *bytes, uint32_t size);
/* True if nothing was received by now. */
bool vm_nothing_received(struct vm *vm);

/* A frame from `source` to `destination` (last bytes of 02:00:00:00:00:xx), filled with `fill`. */
void vm_frame(uint8_t *frame, uint32_t len, uint8_t destination, uint8_t source, uint8_t fill);

/* Waits until check(arg) is true; fails the test naming `what` after VM_DEADLINE_MS. */
void vm_wait(bool (*check)(void *arg), void *arg, const char *what);
