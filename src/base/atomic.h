/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Atomics: the only file that names memory orders.
 *
 * Everything shared between threads, or with a guest or the kernel through
 * memory, goes through one of these. Pairs are lettered: the comment at the use
 * names the letter and says what breaks without it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Memory that another party writes: read once, exactly one access, no order. */
#define gw_read_once(p)     (*(const volatile __typeof__(*(p)) *)(p))
#define gw_write_once(p, v) (*(volatile __typeof__(*(p)) *)(p) = (v))

/*
 * A copy of memory that another party writes, at any alignment. The bytes may be
 * torn, but the compiler reads none of them a second time: what is checked in the
 * copy is what is used. The few lengths that are read for each frame are words, each
 * read once, so that of other memory nothing has to be read anew; the end of the last
 * word of 14 bytes lies over the one before.
 */
#define gw_copy_once(dst, src, len) gw_copy_once_inline((dst), (src), (len))

struct gw_word64 {
	uint64_t word;
} __attribute__((packed, may_alias));

struct gw_word16 {
	uint16_t word;
} __attribute__((packed, may_alias));

static inline __attribute__((always_inline)) void gw_copy_once_inline(void *dst, const void *src,
								      size_t len)
{
	const volatile struct gw_word64 *first = src;
	struct gw_word64 *to = dst;

	if (__builtin_constant_p(len) && len == sizeof(uint16_t)) {
		((struct gw_word16 *)dst)->word = ((const volatile struct gw_word16 *)src)->word;
	} else if (__builtin_constant_p(len) && len > sizeof(*to) && len <= 2 * sizeof(*to)) {
		size_t rest = len - sizeof(*to);
		const volatile struct gw_word64 *last = (const void *)((const uint8_t *)src + rest);
		uint64_t head = first->word, tail = last->word;

		to->word = head;
		((struct gw_word64 *)((uint8_t *)dst + rest))->word = tail;
	} else {
		__builtin_memcpy(dst, src, len);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
}

/* Eight bytes at any alignment, which are stored once, in no order. */
static inline void gw_write_word(void *dst, uint64_t word)
{
	((volatile struct gw_word64 *)dst)->word = word;
}

/* Hints: memory that will be read soon, or written. Any address is allowed. */
#define gw_prefetch(p) __builtin_prefetch(p)
#ifdef __x86_64__
/* Elsewhere the built-in does it; here it would fetch for reading. A no-op where not known. */
#define gw_prefetch_write(p) __asm__ volatile("prefetchw %0" : : "m"(*(const char *)(p)))
#else
#define gw_prefetch_write(p) __builtin_prefetch((p), 1)
#endif

/* Acquire and release on plain memory shared with a guest or the kernel (rings). */
#define gw_load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define gw_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define gw_load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define gw_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

/* Full barrier: store to one place before load from another (event idx, flags). */
static inline void gw_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* A counter with one writer and any number of readers: no locked instruction. */
typedef uint64_t gw_counter;

static inline void gw_counter_add(gw_counter *c, uint64_t n)
{
	gw_store_relaxed(c, gw_load_relaxed(c) + n);
}

static inline uint64_t gw_counter_read(const gw_counter *c)
{
	return gw_load_relaxed(c);
}

/* A count of references, held by any thread. */
struct gw_ref {
	uint32_t count;
};

static inline void gw_ref_init(struct gw_ref *ref)
{
	gw_store_relaxed(&ref->count, 1);
}

static inline void gw_ref_get(struct gw_ref *ref)
{
	__atomic_fetch_add(&ref->count, 1, __ATOMIC_RELAXED);
}

/* True if this was the last one. Order: all uses happen before the last put returns. */
static inline bool gw_ref_put(struct gw_ref *ref)
{
	return __atomic_fetch_sub(&ref->count, 1, __ATOMIC_ACQ_REL) == 1;
}

/* A number that any thread counts up (answer generations, flags). */
#define gw_atomic_add(p, v)      __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define gw_atomic_exchange(p, v) __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
/* Sets bits that another party takes away; what was stored before is seen by who finds them. */
#define gw_atomic_or(p, v)       __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)

/*
 * For memory that is looked at after this process was killed: what it stored before the
 * kill arrives there in any case, so only the compiler has to keep the order.
 */
static inline void gw_compiler_barrier(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}
