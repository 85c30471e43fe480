/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port's specification, NAME=DRIVER:TARGET[,OPTION=VALUE...]: a port is made of it, and
 * people are told what is wrong with it. Options are the driver's and the common ones;
 * the tables say which words an option takes, and drivers look at other values
 * themselves, in check and open.
 */
#include "port_queue.h"

#include "text.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

const struct gw_option port_common_options[] = {
	{ "network", "NAME", "default", "ports of one network hear each other" },
	{ "copybreak", "BYTES", NULL, "shorter frames are copied, not lent (default 0: none)" },
	{ "loan", "auto|never", "auto", "never: copy every frame from or to this port" },
	{ "loans", "COUNT", NULL, "frames of one source that a device may hold (default 512)" },
	{ "bounce", "COUNT", NULL, "bounce buffers of 4 KiB for each source (default 64)" },
	{ "wait", "adaptive|poll|sleep", "adaptive",
	  "adaptive: its worker polls while that pays; poll: always; sleep: never" },
	{ "poll_us", "US", "50", "with wait=adaptive, polls at most so long before each sleep" },
	{ "worker", "N", NULL, "the worker of its device, or of the first queue pair" },
	{ 0 },
};

/* ---- options ---- */

static const struct gw_option *find_option(const struct gw_option *table, const char *name,
					   size_t name_len)
{
	for (; table && table->name; table++)
		if (strlen(table->name) == name_len && !memcmp(table->name, name, name_len))
			return table;
	return NULL;
}

/* The driver's options and the common ones, each with its value still unset. */
static void list_options(struct gw_port *port)
{
	const struct gw_option *tables[] = { port->driver->options, port_common_options };

	for (unsigned int t = 0; t < 2; t++)
		for (const struct gw_option *o = tables[t]; o && o->name; o++)
			if (port->option_count < PORT_OPTIONS_MAX)
				port->option[port->option_count++].option = o;
}

static int unknown_option(const struct gw_port *port, const char *spec, const char *name,
			  size_t name_len, struct gw_error *err)
{
	char known[160] = "";

	for (unsigned int i = 0; i < port->option_count; i++)
		gw_text_list_add(known, sizeof(known), port->option[i].option->name);
	return gw_error_set(err, -EINVAL,
			    "port %.80s: driver %s has no option '%.*s'; there are %s", spec,
			    port->driver->name, (int)name_len, name, known);
}

/*
 * Whether an option's values are a list of words, and if so, whether this is none of
 * them. One in capitals ("auto|N") stands for values that the driver looks at.
 */
static bool is_wrong_word(const struct gw_option *option, const char *value, size_t len)
{
	const char *word = option->values;

	if (!strchr(word, '|'))
		return false;
	for (; word; word = strchr(word, '|') ? strchr(word, '|') + 1 : NULL)
		if (isupper((unsigned char)*word) ||
		    (strcspn(word, "|") == len && !memcmp(word, value, len)))
			return false;
	return true;
}

/* One OPTION=VALUE of len bytes. */
static int take_option(struct gw_port *port, const char *spec, const char *text, size_t len,
		       struct gw_error *err)
{
	const char *equals = memchr(text, '=', len);
	size_t name_len = equals ? (size_t)(equals - text) : len;

	if (!equals || equals + 1 == text + len)
		return gw_error_set(err, -EINVAL, "port %.80s: '%.*s' is no OPTION=VALUE", spec,
				    (int)len, text);
	for (unsigned int i = 0; i < port->option_count; i++) {
		const struct gw_option *option = port->option[i].option;

		if (option != find_option(option, text, name_len))
			continue;
		if (port->option[i].value)
			return gw_error_set(err, -EINVAL, "port %.80s: option '%s' is given twice",
					    spec, option->name);
		if (is_wrong_word(option, equals + 1, len - name_len - 1))
			return gw_error_set(err, -EINVAL, "port %.80s: %s has to be %s, not '%.*s'",
					    spec, option->name, option->values,
					    (int)(len - name_len - 1), equals + 1);
		port->option[i].value = strndup(equals + 1, len - name_len - 1);
		return port->option[i].value ? 0 : gw_error_sys(err, -ENOMEM, "port %s", spec);
	}
	return unknown_option(port, spec, text, name_len, err);
}

/* ---- the other parts ---- */

static int take_driver(struct gw_port *port, const char *spec, const char *word, size_t len,
		       const struct gw_driver *const *drivers, struct gw_error *err)
{
	char known[160] = "";

	for (const struct gw_driver *const *d = drivers; *d; d++) {
		if (strlen((*d)->name) == len && !memcmp((*d)->name, word, len)) {
			port->driver = *d;
			return 0;
		}
		gw_text_list_add(known, sizeof(known), (*d)->name);
	}
	return gw_error_set(err, -EINVAL, "port %.80s: no driver named '%.*s'; there are %s", spec,
			    (int)len, word, known);
}

/* What the kernel has no room for can be said before anything is touched. */
static size_t target_max(const struct gw_driver *driver)
{
	if (driver->target_is_interface)
		return IFNAMSIZ - 1;
	if (driver->needs && driver->needs->target_is_socket)
		return sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	return PATH_MAX - 1;
}

static int take_target(struct gw_port *port, const char *spec, const char *text, size_t len,
		       struct gw_error *err)
{
	if (!port->driver->target && len)
		return gw_error_set(err, -EINVAL, "port %.80s: driver %s takes no target", spec,
				    port->driver->name);
	if (port->driver->target && !len)
		return gw_error_set(err, -EINVAL, "port %.80s: %s is missing after '%s:'", spec,
				    port->driver->target, port->driver->name);
	if (len > target_max(port->driver))
		return gw_error_set(
			err, -EINVAL, "port %.80s: %s has %zu bytes, %zu are the most: '%.*s'",
			spec, port->driver->target, len, target_max(port->driver), (int)len, text);
	port->target = strndup(text, len);
	return port->target ? 0 : gw_error_sys(err, -ENOMEM, "port %s", spec);
}

/* NAME=DRIVER:TARGET[,OPTION=VALUE...] */
static int take_spec(struct gw_port *port, const char *spec, const struct gw_driver *const *drivers,
		     struct gw_error *err)
{
	const char *equals = strchr(spec, '=');
	const char *colon = equals ? strchr(equals, ':') : NULL;
	const char *text, *end;
	int ret;

	if (!colon)
		return gw_error_set(err, -EINVAL,
				    "port %.80s: expected NAME=DRIVER:TARGET[,OPTION=VALUE...]",
				    spec);
	snprintf(port->name, sizeof(port->name), "%.*s", (int)(equals - spec), spec);
	if ((size_t)(equals - spec) >= sizeof(port->name) || !gw_text_is_name(port->name))
		return gw_error_set(err, -EINVAL,
				    "port %.80s: the name has to be 1 to %d of A-Z a-z 0-9 _ . -",
				    spec, GW_NAME_BYTES - 1);
	ret = take_driver(port, spec, equals + 1, (size_t)(colon - equals - 1), drivers, err);
	if (ret)
		return ret;
	list_options(port);
	text = colon + 1;
	end = strchrnul(text, ',');
	ret = take_target(port, spec, text, (size_t)(end - text), err);
	while (!ret && *end) {
		text = end + 1;
		end = strchrnul(text, ',');
		ret = take_option(port, spec, text, (size_t)(end - text), err);
	}
	return ret;
}

/* ---- the values of common options ---- */

/* An optional number among the common options; -1 if it was not given. */
static int common_number(struct gw_port *port, const char *name, uint64_t min, uint64_t max,
			 int64_t *value, struct gw_error *err)
{
	uint64_t number = 0;
	int ret;

	*value = -1;
	if (!gw_port_option(port, name))
		return 0;
	ret = gw_port_option_u64(port, name, min, max, &number, err);
	if (!ret)
		*value = (int64_t)number;
	return ret;
}

static int take_common(struct gw_port *port, struct gw_error *err)
{
	static const char *const loans[] = { "auto", "never", NULL };
	static const char *const waits[] = { "adaptive", "poll", "sleep", NULL };
	const char *network = gw_port_option(port, "network");
	unsigned int loan = 0, wait = 0;
	uint64_t poll_us = 0;
	int ret;

	if (!gw_text_is_name(network))
		return gw_error_set(err, -EINVAL, "port %s: network=%s is no name", port->name,
				    network);
	gw_text_copy(port->network, sizeof(port->network), network);
	ret = common_number(port, "copybreak", 0, GW_FRAME_LEN_MAX, &port->copybreak, err);
	if (!ret)
		ret = common_number(port, "loans", 0, 32768, &port->loans, err);
	if (!ret)
		ret = common_number(port, "bounce", 1, 4096, &port->bounce, err);
	if (!ret)
		ret = gw_port_option_word(port, "loan", loans, &loan, err);
	port->loan_never = loan == 1;
	if (!ret)
		ret = gw_port_option_word(port, "wait", waits, &wait, err);
	port->wait = (enum port_wait)wait;
	if (!ret)
		ret = gw_port_option_u64(port, "poll_us", 0, PORT_POLL_US_MAX, &poll_us, err);
	port->poll_us = (uint32_t)poll_us;
	if (!ret)
		ret = common_number(port, "worker", 0, PORT_LANES_MAX - 1, &port->worker, err);
	return ret;
}

/* ---- life ---- */

int port_parse(const char *spec, const struct gw_driver *const *drivers, struct gw_port **out,
	       struct gw_error *err)
{
	struct gw_port *port = calloc(1, sizeof(*port));
	int ret;

	if (!port)
		return gw_error_sys(err, -ENOMEM, "port %s", spec);
	port->max_len = port->offloads.len_max = GW_FRAME_LEN_MAX;
	port->answer_stamp = 1;
	ret = take_spec(port, spec, drivers, err);
	if (!ret)
		ret = take_common(port, err);
	if (!ret)
		ret = port_set_lanes(port, 1, 0, err);
	if (!ret && port->driver->check)
		ret = port->driver->check(port, err);
	if (ret)
		port_free(port);
	else
		*out = port;
	return ret;
}

void port_free(struct gw_port *port)
{
	if (!port)
		return;
	if (port->arena_run)
		arena_give(port->arena, port->arena_run, port->arena_count);
	for (unsigned int i = 0; i < port->option_count; i++)
		free(port->option[i].value);
	port_free_queues(port, 0);
	free(port->target);
	free(port);
}

/* ---- what drivers ask (driver.h) ---- */

const char *gw_port_option(const struct gw_port *port, const char *name)
{
	for (unsigned int i = 0; i < port->option_count; i++) {
		const struct gw_option *option = port->option[i].option;

		if (!strcmp(option->name, name))
			return port->option[i].value ? port->option[i].value : option->fallback;
	}
	return NULL;
}

int gw_port_option_u64(const struct gw_port *port, const char *name, uint64_t min, uint64_t max,
		       uint64_t *value, struct gw_error *err)
{
	const char *text = gw_port_option(port, name);
	char what[GW_NAME_BYTES * 2 + 16];

	snprintf(what, sizeof(what), "port %s: option %s", port->name, name);
	if (!text)
		return gw_error_set(err, -EINVAL, "%s: not given", what);
	return gw_text_u64(what, text, min, max, value, err);
}

int gw_port_option_word(const struct gw_port *port, const char *name, const char *const *words,
			unsigned int *index, struct gw_error *err)
{
	const char *text = gw_port_option(port, name);
	char known[128] = "";

	for (unsigned int i = 0; words[i]; i++) {
		if (text && !strcmp(text, words[i])) {
			*index = i;
			return 0;
		}
		gw_text_list_add(known, sizeof(known), words[i]);
	}
	return gw_error_set(err, -EINVAL, "port %s: %s=%s: expected one of %s", port->name, name,
			    text ? text : "", known);
}
