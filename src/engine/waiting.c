/* SPDX-License-Identifier: BSD-2-Clause */
#include "waiting.h"

static void publish(struct waiting *waiting)
{
	gw_store_relaxed(&waiting->window_now_ns, patience_window_ns(&waiting->patience));
	gw_store_relaxed(&waiting->sleep_cost_ns, waiting->patience.cost_ns);
	gw_store_relaxed(&waiting->polls_now, (uint32_t)waiting->polls);
}

void waiting_begin(struct waiting *waiting, uint64_t now_ns)
{
	waiting->worked = waiting->idle = waiting->slept = false;
	waiting->round_ns = waiting->spent_till_ns = now_ns;
	waiting->looked_ns = waiting->looked_all_ns = now_ns;
}

void waiting_want(struct waiting *waiting, bool polls, uint64_t budget_ns)
{
	bool same = budget_ns == waiting->patience.asked_ns && waiting->patience.windows;

	waiting->polls = polls;
	if (!same) {
		patience_init(&waiting->patience, budget_ns);
		waiting->window_ns = patience_window_ns(&waiting->patience);
	}
	publish(waiting);
}

static void spend(struct waiting *waiting, enum waiting_spent on, uint64_t now_ns)
{
	gw_counter_add(&waiting->spent_ns[on], now_ns - waiting->spent_till_ns);
	waiting->spent_till_ns = now_ns;
}

void waiting_round(struct waiting *waiting, uint64_t now_ns)
{
	spend(waiting, waiting->worked ? WAITING_BUSY : WAITING_POLLING, now_ns);
	gw_counter_add(&waiting->rounds, 1);
	if (waiting->worked)
		histogram_add(&waiting->round, now_ns - waiting->round_ns, 1);
	waiting->round_ns = now_ns;
}

static void found_work(struct waiting *waiting, uint64_t now_ns)
{
	gw_counter_add(&waiting->rounds_worked, 1);
	if (!waiting->idle)
		return;
	waiting->idle = false;
	gw_counter_add(&waiting->wakes_worked, waiting->slept);
	patience_end(&waiting->patience, now_ns - waiting->idle_since_ns);
	publish(waiting);
}

/* It stays awake. */
static enum waiting_step look(struct waiting *waiting, uint64_t now_ns)
{
	if (waiting->idle && now_ns - waiting->looked_all_ns >= WAITING_LOOK_ALL_NS) {
		waiting->looked_ns = waiting->looked_all_ns = now_ns;
		return WAITING_LOOK_ALL;
	}
	if (now_ns - waiting->looked_ns >= WAITING_LOOK_NS) {
		waiting->looked_ns = now_ns;
		return WAITING_LOOK;
	}
	return WAITING_POLL;
}

enum waiting_step waiting_next(struct waiting *waiting, uint64_t now_ns, bool work)
{
	waiting->worked = work;
	if (work) {
		found_work(waiting, now_ns);
		return look(waiting, now_ns);
	}
	if (!waiting->idle) {
		waiting->idle = true;
		waiting->slept = false;
		waiting->idle_since_ns = waiting->looked_all_ns = now_ns;
		waiting->window_ns = patience_begin(&waiting->patience);
	}
	if (!waiting->polls && now_ns - waiting->idle_since_ns >= waiting->window_ns)
		return WAITING_SLEEP;
	return look(waiting, now_ns);
}

void waiting_sleeps(struct waiting *waiting, uint64_t now_ns)
{
	spend(waiting, WAITING_POLLING, now_ns);
}

void waiting_woken(struct waiting *waiting, uint64_t now_ns, uint64_t cost_ns)
{
	spend(waiting, WAITING_ASLEEP, now_ns);
	gw_counter_add(&waiting->sleeps, 1);
	waiting->slept = true;
	waiting->looked_ns = now_ns;
	if (cost_ns)
		patience_slept(&waiting->patience, cost_ns);
}

void waiting_read(const struct waiting *waiting, struct gw_worker_info *info)
{
	*info = (struct gw_worker_info){
		.busy_ns = gw_counter_read(&waiting->spent_ns[WAITING_BUSY]),
		.polling_ns = gw_counter_read(&waiting->spent_ns[WAITING_POLLING]),
		.asleep_ns = gw_counter_read(&waiting->spent_ns[WAITING_ASLEEP]),
		.rounds = gw_counter_read(&waiting->rounds),
		.rounds_worked = gw_counter_read(&waiting->rounds_worked),
		.sleeps = gw_counter_read(&waiting->sleeps),
		.wakes_worked = gw_counter_read(&waiting->wakes_worked),
		.polls = gw_load_relaxed(&waiting->polls_now),
		.window_ns = gw_counter_read(&waiting->window_now_ns),
		.sleep_cost_ns = gw_counter_read(&waiting->sleep_cost_ns),
	};
	histogram_read(&waiting->round, &info->round);
}
