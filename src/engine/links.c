/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports and the interfaces that they are named after.
 *
 * A port belongs to the interface that has its target's name now (drivers say whether
 * the target is one: gw_driver.target_is_interface). If that is unplugged, deleted,
 * renamed or taken to another namespace, the port is stopped: loans come home, and
 * frames are dropped (egress_down). When there is one of that name again, the port is
 * started, as if by a reopen (reopen.c). All this without a frame: an idle port notices
 * too.
 *
 * An interface that is down, or has no carrier, stays with its port: drivers live with
 * that. It is only shown, and logged.
 */
#include "engine_state.h"

#include "log.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Whoever makes an interface sets it up in the next moments. */
#define SETTLE_MS 100u

static bool is_concerned(const struct holder *holder)
{
	return holder->port->driver->target_is_interface;
}

static void set_link(struct holder *holder, enum gw_link link)
{
	gw_store_release(&holder->port->link, (uint32_t)link);
}

/* ---- news ---- */

static void lost(struct holder *holder, const char *called)
{
	struct gw_port *port = holder->port;

	if (port_link(port) == GW_LINK_GONE)
		return;
	holder->ifindex = 0;
	set_link(holder, GW_LINK_GONE);
	gw_port_log(port, LOG_WARNING,
		    "interface %s%s%s: there is none of that name now; its frames are dropped "
		    "until there is",
		    port->target, called ? " is called " : " is gone", called ? called : "");
	reopen_for_link(holder, 0);
}

static void show_state(struct holder *holder, enum gw_link before, enum gw_link now)
{
	struct gw_port *port = holder->port;

	set_link(holder, now);
	if (now == before || (now == GW_LINK_UP && before == GW_LINK_NONE))
		return;
	gw_port_log(port, LOG_NOTICE, "interface %s %s", port->target,
		    now == GW_LINK_UP     ? "is up"
		    : now == GW_LINK_DOWN ? "is down"
					  : "has no carrier");
}

static void found(struct holder *holder, const struct link_news *news)
{
	struct gw_port *port = holder->port;
	enum gw_link before = port_link(port);
	enum gw_link now = !news->up        ? GW_LINK_DOWN
			   : !news->carrier ? GW_LINK_NO_CARRIER
					    : GW_LINK_UP;
	bool other =
		before == GW_LINK_GONE || (holder->ifindex && holder->ifindex != news->ifindex);

	holder->ifindex = news->ifindex;
	holder->link_seen = true;
	if (other) {
		set_link(holder, now);
		gw_port_log(port, LOG_NOTICE, "there is an interface %s again", port->target);
		reopen_for_link(holder, SETTLE_MS);
		return;
	}
	show_state(holder, before, now);
	/* It could not be started before, maybe because of that. */
	if (now == GW_LINK_UP && before != GW_LINK_UP && before != GW_LINK_NONE)
		reopen_retry_now(holder);
}

void links_heard(struct engine *engine, const struct link_news *news)
{
	for (unsigned int i = 0; i < engine->port_count; i++) {
		struct holder *holder = engine->holder[i];
		bool named = !strcmp(news->name, holder->port->target);

		if (!is_concerned(holder))
			continue;
		if (!news->gone && named)
			found(holder, news);
		else if (holder->ifindex == news->ifindex)
			lost(holder, named ? NULL : news->name);
	}
}

void links_whole(struct engine *engine, bool done)
{
	for (unsigned int i = 0; i < engine->port_count; i++) {
		struct holder *holder = engine->holder[i];

		if (done && is_concerned(holder) && !holder->link_seen)
			lost(holder, NULL);
		holder->link_seen = false;
	}
}

static void heard(struct link_watch *watch, const struct link_news *news)
{
	links_heard(gw_container_of(watch, struct engine, links), news);
}

static void whole(struct link_watch *watch, bool done)
{
	links_whole(gw_container_of(watch, struct engine, links), done);
}

/* ---- life ---- */

void links_open(struct engine *engine)
{
	struct gw_error err = { 0 };
	bool any = false;

	for (unsigned int i = 0; i < engine->port_count; i++)
		any |= is_concerned(engine->holder[i]);
	engine->links.heard = heard;
	engine->links.whole = whole;
	if (any && link_watch_open(&engine->links, engine->loop, &err))
		gw_log(LOG_WARNING,
		       "an interface that goes or comes is noticed only by its frames: %s",
		       err.text);
}

void links_close(struct engine *engine)
{
	link_watch_close(&engine->links);
	for (unsigned int i = 0; i < engine->port_count; i++) {
		set_link(engine->holder[i], GW_LINK_NONE);
		engine->holder[i]->ifindex = 0;
	}
}
