/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory orders of the driver's side of a ring: the three that VIRTIO 1.2
 * sections 2.7 and 2.8 ask for, and plain single accesses. The only atomics here.
 */
#pragma once

#include <stdint.h>

/*
 * A hint: a line that will be written soon comes as one that may be. On x86 the built-in
 * would fetch it for reading, and the store would wait for the other processor after all.
 */
#ifdef __x86_64__
#define fetch_to_write(p) __asm__ volatile("prefetchw %0" : : "m"(*(const char *)(p)))
#else
#define fetch_to_write(p) __builtin_prefetch((p), 1)
#endif

/* One access, not torn and not repeated by the compiler. */
static inline uint16_t load_once16(const uint16_t *from)
{
	return __atomic_load_n(from, __ATOMIC_RELAXED);
}

static inline uint32_t load_once32(const uint32_t *from)
{
	return __atomic_load_n(from, __ATOMIC_RELAXED);
}

static inline void store_once16(uint16_t *to, uint16_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELAXED);
}

/* A word of a dirty log, emptied at once: the device sets bits meanwhile. */
static inline uint64_t take_all64(uint64_t *from)
{
	return __atomic_exchange_n(from, 0, __ATOMIC_ACQ_REL);
}

/* Pairs with the device's release of used->idx, or of a packed descriptor's flags: the
 * used elements it covers, and what it wrote into buffers, are read after it (2.7.14). */
static inline uint16_t load_acquire16(const uint16_t *from)
{
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

/* The same for a packed descriptor's second half, flags and all. */
static inline uint64_t load_acquire64(const uint64_t *from)
{
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

/* Pairs with the device's acquire of avail->idx, or of a packed descriptor's flags: other
 * descriptors and avail elements are written before it (2.7.13.3.1, 2.8.21). */
static inline void store_release16(uint16_t *to, uint16_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

static inline void store_release64(uint64_t *to, uint64_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

/* Store own index, then load the other's wish (2.7.13.4.1); without the fence both
 * sides can miss each other and sleep for ever. */
static inline void order_full(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
