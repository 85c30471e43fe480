/* SPDX-License-Identifier: BSD-2-Clause */
#include "log_limit.h"

#include "atomic.h"

static void lock(struct log_limit *limit)
{
	while (gw_atomic_exchange(&limit->busy, 1u))
		;
}

static void unlock(struct log_limit *limit)
{
	gw_store_release(&limit->busy, 0u);
}

static void refill(struct log_limit *limit, uint64_t now_ns)
{
	uint64_t lines;

	/* Two threads may come in another order than they read the clock. */
	if (now_ns < limit->refilled_ns)
		return;
	lines = (now_ns - limit->refilled_ns) / LOG_LIMIT_REFILL_NS;
	if (lines >= limit->spent) {
		limit->spent = 0;
		limit->refilled_ns = now_ns;
		return;
	}
	limit->spent -= (uint32_t)lines;
	limit->refilled_ns += lines * LOG_LIMIT_REFILL_NS;
}

static bool take(struct log_limit *limit, uint64_t now_ns, uint32_t *suppressed)
{
	refill(limit, now_ns);
	if (limit->spent == LOG_LIMIT_BURST)
		return false;
	limit->spent++;
	*suppressed = limit->suppressed;
	limit->suppressed = 0;
	return true;
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_ns, uint32_t *suppressed)
{
	bool pass;

	lock(limit);
	pass = take(limit, now_ns, suppressed);
	limit->suppressed += !pass && limit->suppressed < UINT32_MAX;
	unlock(limit);
	return pass;
}

uint32_t log_limit_rest(struct log_limit *limit, uint64_t now_ns)
{
	uint32_t suppressed = 0;

	lock(limit);
	if (limit->suppressed)
		take(limit, now_ns, &suppressed);
	unlock(limit);
	return suppressed;
}
