/* SPDX-License-Identifier: BSD-2-Clause */
#include "sigbus.h"

#include "atomic.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Written by control threads under slots_lock, read by handlers at any time.
 * `sequence` is odd while the slot changes and 0 before its first use: a handler
 * passes over a slot that changes under its eyes. That is no loss: the slot of
 * the memory that it faulted on cannot change, because the thread that it
 * interrupted holds a reference.
 */
struct slot {
	uint32_t sequence;
	uint32_t count; /* regions; 0: free */
	uint32_t hit;   /* set by handlers */
	uintptr_t begin;
	uintptr_t end[MEMMAP_REGIONS_MAX];
	size_t granule; /* of a view: bytes that go at a time; else 0 */
	uint64_t *gone; /* of a view: a bit for each granule */
};

static struct slot slots[SIGBUS_SLOTS];
static uint32_t slots_used; /* one past the highest slot that was ever used */
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;

static struct sigaction previous;
static bool installed; /* by slots_lock */

/* ---- the registry ---- */

static unsigned int find_free(void)
{
	unsigned int i;

	for (i = 0; i < SIGBUS_SLOTS; i++)
		if (!slots[i].count)
			break;
	return i;
}

/* Pair B: a handler that sees the even number sees all that was written before it. */
static void begin_change(struct slot *slot)
{
	gw_store_relaxed(&slot->sequence, slot->sequence + 1);
	gw_fence();
}

static void end_change(struct slot *slot)
{
	gw_store_release(&slot->sequence, slot->sequence + 1);
}

static int enter(uintptr_t begin, const uintptr_t *end, unsigned int count, size_t granule,
		 uint64_t *gone)
{
	struct slot *slot;
	unsigned int i;

	pthread_mutex_lock(&slots_lock);
	i = find_free();
	if (i < SIGBUS_SLOTS) {
		slot = &slots[i];
		begin_change(slot);
		gw_store_relaxed(&slot->hit, 0);
		gw_store_relaxed(&slot->begin, begin);
		for (unsigned int r = 0; r < count; r++)
			gw_store_relaxed(&slot->end[r], end[r]);
		gw_store_relaxed(&slot->granule, granule);
		gw_store_relaxed(&slot->gone, gone);
		gw_store_relaxed(&slot->count, count);
		end_change(slot);
		if (i >= slots_used)
			gw_store_release(&slots_used, i + 1);
	}
	pthread_mutex_unlock(&slots_lock);
	return i < SIGBUS_SLOTS ? (int)i : -ENOSPC;
}

int sigbus_enter(uintptr_t begin, const uintptr_t *end, unsigned int count)
{
	return enter(begin, end, count, 0, NULL);
}

int sigbus_enter_view(uintptr_t begin, uintptr_t end, size_t granule, uint64_t *gone)
{
	return enter(begin, &end, 1, granule, gone);
}

void sigbus_leave(int i)
{
	if (i < 0)
		return;
	pthread_mutex_lock(&slots_lock);
	begin_change(&slots[i]);
	gw_store_relaxed(&slots[i].count, 0);
	end_change(&slots[i]);
	pthread_mutex_unlock(&slots_lock);
}

bool sigbus_was_hit(int i)
{
	return gw_load_relaxed(&slots[i].hit);
}

/* ---- in the handler ---- */

/* The region of this slot that address lies in, if the slot stood still. */
static bool find_region(const struct slot *slot, uintptr_t address, uintptr_t *begin,
			uintptr_t *end)
{
	uint32_t sequence = gw_load_acquire(&slot->sequence);
	uint32_t count = gw_load_relaxed(&slot->count);
	uint32_t r;

	*begin = *end = gw_load_relaxed(&slot->begin);
	if (sequence % 2 || address < *begin)
		return false;
	for (r = 0; r < count && r < MEMMAP_REGIONS_MAX; r++) {
		*begin = *end;
		*end = gw_load_relaxed(&slot->end[r]);
		if (address < *end)
			break;
	}
	gw_fence();
	return address < *end && gw_load_relaxed(&slot->sequence) == sequence;
}

/* A bare system call; POSIX does not list mmap as safe here, Linux makes it so. */
static bool zero_pages(uintptr_t begin, uintptr_t end, int prot)
{
	return mmap((void *)begin, end - begin, prot,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static void mark_gone(uint64_t *gone, size_t granule)
{
	gw_atomic_or(&gone[granule / 64], 1ull << granule % 64);
}

/* One granule; all of the view if the process has no room for more mappings. */
static bool granule_goes(const struct slot *slot, uintptr_t address, uintptr_t begin, uintptr_t end)
{
	const size_t bytes = slot->granule, count = (end - begin + bytes - 1) / bytes;
	const size_t granule = (address - begin) / bytes;
	const uintptr_t from = begin + granule * bytes;

	if (zero_pages(from, end - from < bytes ? end : from + bytes, PROT_READ)) {
		mark_gone(slot->gone, granule);
		return true;
	}
	for (size_t i = 0; i < count; i++)
		mark_gone(slot->gone, i);
	return zero_pages(begin, end, PROT_READ);
}

bool memmap_fault(void *address)
{
	uint32_t used = gw_load_acquire(&slots_used);
	uintptr_t begin, end;

	for (uint32_t i = 0; i < used; i++) {
		if (!find_region(&slots[i], (uintptr_t)address, &begin, &end))
			continue;
		gw_store_relaxed(&slots[i].hit, 1);
		if (slots[i].granule)
			return granule_goes(&slots[i], (uintptr_t)address, begin, end);
		return zero_pages(begin, end, PROT_READ | PROT_WRITE);
	}
	return false;
}

/* The disposition before ours, as if we were not there. */
static void chain(int number, siginfo_t *info, void *context)
{
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(number, info, context);
		return;
	}
	if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(number);
		return;
	}
	if (previous.sa_handler == SIG_IGN && info->si_code <= 0)
		return;
	/* The access is repeated and kills the process; a signal by kill() is sent anew. */
	sigaction(SIGBUS, &previous, NULL);
	if (info->si_code <= 0)
		raise(SIGBUS);
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	/* BUS_MCEERR_AO only tells of a bad page that nobody has touched yet. */
	bool access = info->si_code == BUS_ADRERR || info->si_code == BUS_MCEERR_AR;

	if (!access || !memmap_fault(info->si_addr))
		chain(number, info, context);
	errno = saved;
}

bool sigbus_is_handled(void)
{
	bool handled;

	pthread_mutex_lock(&slots_lock);
	handled = installed;
	pthread_mutex_unlock(&slots_lock);
	return handled;
}

int memmap_install_sigbus(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
	int rc = 0;

	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&slots_lock);
	/*
	 * Once only: whoever took over since then may chain to us, and a circle would
	 * be endless.
	 */
	if (!installed) {
		rc = sigaction(SIGBUS, &action, &previous) < 0 ? -errno : 0;
		installed = !rc;
	}
	pthread_mutex_unlock(&slots_lock);
	return rc;
}
