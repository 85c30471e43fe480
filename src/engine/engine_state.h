/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the engine is made of, for the files that are its rooms:
 *
 *   engine.c        made, given ports, read, freed
 *   engine_start.c  the start, of all that runs
 *   engine_stop.c   the stop, of whatever there is
 *   engine_host.c   what ports are given by it (struct port_host)
 *   engine_trace.c  traces
 *   question.c      may a device read this memory?
 *   retire.c        memory that is not to be lent from any more
 *   renew.c         memory that is mapped anew
 *   reopen.c        a port's device is stopped, and started again
 *   links.c         interfaces that come and go
 *   move.c          a queue pair goes to another worker
 *   handover.c      ports that are left for another process, or taken
 */
#pragma once

#include "chore.h"
#include "disposal.h"
#include "engine.h"
#include "engine_trace.h"
#include "link_watch.h"
#include "loop.h"
#include "worker.h"
#include <assert.h>
#include <pthread.h>

/* The engine's record of a port. */
struct holder {
	struct engine *engine;
	struct gw_port *port;
	struct network *network;
	bool opened, started; /* start and stop, and the port's chores */
	bool taken;           /* from another process, at this start */
	struct chore_queue chores;
	struct disposal *disposal;
	/* stop and reopen; one at a time, and never both */
	struct chore_job stop_job, reopen_job;
	unsigned int stop_deadline_ms, stop_held;
	struct gw_parcel parcel; /* from another process, for the next start */
	struct gw_parcel left;   /* for another process; the driver's */
	struct gw_list recalls;  /* control loop: what waits for this reopen */
	bool reopening;          /* control loop */
	bool again;              /* control loop: once more when this reopen is over */
	bool link_seen;          /* control loop: since the last look at all interfaces */
	unsigned int ifindex;    /* control loop: of the target, if that is one; 0: not known */
	uint32_t closing;        /* atomic: the engine stops, nothing is started again */
	struct gw_timer retry;
};

/*
 * The engine's record of a pair: questions. Mappings are one for all lanes, and so is
 * what is below them: the record of the first lane's pair has it.
 */
struct pair_record {
	struct engine *engine;
	struct pair *pair;
	struct chore_job ask_job, retire_job, renew_job;
	struct gw_list retiring; /* retire.c: its notes; under engine->lock */
	uint32_t drained;        /* atomic: the worker saw the last loan come home */
	/* See renew.c. */
	uint64_t stale_copies; /* control: because of pages that went, at the last look */
	uint64_t map_spent_ns; /* chores: of the thread, when mapping began */
	uint64_t rest_till_ns; /* chores write: before that time it is not mapped anew */
	/* question.c: before that time no other memory is mapped; chores write */
	uint64_t other_till_ns;
	struct gw_timer other_rest; /* control */
};

struct engine {
	struct engine_config config;
	char *state_dir;
	bool running, control_running;
	struct gw_arena *arena;
	struct gw_loop *loop;
	pthread_t control;
	struct chores chores;
	pthread_mutex_t lock; /* of pair_record.retiring */

	struct holder *holder[ENGINE_PORTS_MAX];
	unsigned int port_count;
	struct network *network[ENGINE_PORTS_MAX];
	unsigned int network_count;
	struct worker *worker[ENGINE_WORKERS_MAX];
	struct pair_record *pair;
	unsigned int pair_count;

	/* Workers' questions: a flag on the pair, one eventfd for all. */
	int ask_fd;
	struct gw_watch ask_watch;

	struct link_watch links;
	struct gw_timer nudge; /* of workers that are stuck */
	struct gw_timer wake;  /* of ports that rest after a hand-over */

	/* Of the two below, and of changing taps. No worker takes it. */
	pthread_mutex_t trace_lock;
	struct gw_trace *trace[GW_TRACES_MAX];
	bool traceable;
};

static inline struct holder *holder_of(const struct gw_port *port)
{
	return port->engine;
}

static inline struct pair_record *pair_record_of(const struct pair *pair)
{
	return &holder_of(pair->egress)->engine->pair[pair->record];
}

/* Lanes go to workers in turn, from another one on for each network. */
static inline unsigned int lane_worker(const struct engine *engine, const struct network *network,
				       unsigned int lane)
{
	assert(engine->config.workers > 0);
	return (network->number + lane) % engine->config.workers;
}

/* What is between the same ports in another lane. The first has what is one for all. */
static inline struct pair *pair_in(const struct pair *pair, unsigned int lane)
{
	return pair->egress->queue[lane]->pair_from[pair->source->slot];
}

static inline bool pair_is_first(const struct pair *pair)
{
	return !pair->to->queue.index;
}

/* question.c */
int questions_open(struct engine *engine, struct gw_error *err);
void questions_close(struct engine *engine);
void question_ask(struct pair *pair); /* worker */
/* Control: what was asked and not yet heard becomes a chore, before any that is added now. */
void question_hear(struct pair_record *record);
/*
 * Chore: the worker goes by this answer about this memory from now on, or forgets what it
 * was answered (NULL). A question that is under way stays open.
 */
void question_publish(struct pair *pair, const struct gw_answer *answer, struct gw_memmap *memmap,
		      uint64_t stamp);
/* Chore: the worker does not ask the pair's witness any more: it goes. */
void question_dismiss_witness(struct pair *pair);

/* retire.c: memory that is not to be lent from any more (port_host retire, discarded, drained) */
void retire_memory(struct gw_port *port, struct gw_memmap *memmap); /* control */
void retire_stale(struct gw_port *port, struct gw_memmap *memmap);  /* control */
void retire_drained(struct pair *pair);                             /* worker */
/* Control: loans came home. */
void retire_go_on(struct pair_record *record);
/* Chore: whether this memory is about to be unmapped. */
bool retire_is_due(struct pair_record *record, const struct gw_memmap *memmap);
/* Chore: unmaps what is mapped, and has it asked about anew. */
void retire_to_map_again(struct pair_record *record);
/* Nothing runs any more: unmaps, and forgets what was to be unmapped. */
void retire_at_end(struct pair_record *record);

/* renew.c */
/* Control, now and then: maps anew what has lost so many pages that it pays. */
void renew_look(struct engine *engine);
/* Chore: before and after the pair's memory is mapped; it rests then for a while. */
void renew_begin(struct pair_record *record);
void renew_end(struct pair_record *record);
/* Of this thread, the processor's time: a busy machine makes no rest longer. */
uint64_t renew_spent_ns(void);

/* reopen.c */
void reopen_recall(struct gw_port *port, void (*fn)(void *arg), void *arg);
int reopen_start(struct holder *holder, struct gw_error *err);
/* Control: started again after a while, if it does not run and is not to stop. */
void reopen_later(void *holder);
/*
 * Control: after delay_ms the port is stopped, if it runs, and started, unless its
 * interface is gone.
 */
void reopen_for_link(struct holder *holder, unsigned int delay_ms);
/* Control: a port that waits to be tried again is tried now. */
void reopen_retry_now(struct holder *holder);
/*
 * Stops a port's device; returns and records what it holds. With `left` it is left for
 * another process (gw_driver leave). On the port's chore.
 */
unsigned int reopen_stop(struct holder *holder, unsigned int deadline_ms, struct gw_parcel *left);

/* links.c. Without a socket for it, nothing is noticed. */
void links_open(struct engine *engine);
void links_close(struct engine *engine);
/* Control. See link_watch.h. */
void links_heard(struct engine *engine, const struct link_news *news);
void links_whole(struct engine *engine, bool done);

/* handover.c: what was left for this port and is not taken, or all of it. */
void handover_forget(struct holder *holder);
/* All ports are open: if one took something, nobody sends before all can receive. */
void handover_begin(struct engine *engine);

/* engine_host.c */
extern const struct port_host engine_host;

/* engine_stop.c */
/* Control: no port is reopened from here on. */
void engine_closing_call(void *arg);
/* fn on the chore of each port, all at the same time. */
void engine_on_all(struct engine *engine, void (*fn)(struct chore_job *job),
		   unsigned int deadline_ms);
