/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration file: sections [daemon] and [port NAME], see guestwired.conf(5).
 *
 * inih splits lines into names and values, and strips comments. The reader that
 * feeds it is ours, because three things matter here that inih is silent about:
 * a line longer than its buffer (it would go on with the rest as a line of its
 * own), bytes that are no text, and sections without any key ("[port a]" alone has
 * to be told that its driver is missing). The reader also takes the indentation
 * away, which inih would read as the continuation of the value before.
 *
 * The first error ends the reading: the reader says end of file.
 */
#include "daemon_config.h"
#include "text.h"

#include <guestwire/guestwire.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define KEYS_MAX     64u
#define NAMES_BYTES  200
#define PORT_SECTION "port "
#define UTF8_BOM     "\xef\xbb\xbf"

struct key {
	char *name;
	char *value;
	unsigned int line;
};

struct reading {
	struct daemon_config *config;
	const char *path;
	FILE *file;
	unsigned int line;
	int rc;
	unsigned int rc_line;
	struct gw_error *err;
	/* The section that is being read: its name, where it began, its keys so far. */
	char section[NAMES_BYTES];
	unsigned int section_line;
	struct key keys[KEYS_MAX];
	unsigned int key_count;
};

static void fail(struct reading *r, unsigned int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void fail(struct reading *r, unsigned int line, const char *format, ...)
{
	char text[GW_ERROR_TEXT_BYTES];
	va_list args;

	if (r->rc < 0)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	r->rc = gw_error_set(r->err, -EINVAL, "%.100s:%u: %s", r->path, line, text);
	r->rc_line = line;
}

/* ---- a port's section, when it is whole ---- */

static const struct gw_driver *find_driver(const char *name)
{
	for (const struct gw_driver *const *driver = gw_drivers(); *driver; driver++)
		if (strcmp((*driver)->name, name) == 0)
			return *driver;
	return NULL;
}

static bool has_option(const struct gw_option *options, const char *name)
{
	for (; options && options->name; options++)
		if (strcmp(options->name, name) == 0)
			return true;
	return false;
}

static const char *driver_names(char *names, size_t bytes)
{
	names[0] = 0;
	for (const struct gw_driver *const *driver = gw_drivers(); *driver; driver++)
		gw_text_list_add(names, bytes, (*driver)->name);
	return names;
}

static const char *option_names(const struct gw_driver *driver, char *names, size_t bytes)
{
	snprintf(names, bytes, "driver, target");
	for (const struct gw_option *o = driver->options; o && o->name; o++)
		gw_text_list_add(names, bytes, o->name);
	for (const struct gw_option *o = gw_port_options(); o->name; o++)
		gw_text_list_add(names, bytes, o->name);
	return names;
}

/* NULL: it was not given. */
static const struct key *find_key(const struct reading *r, const char *name)
{
	for (unsigned int i = 0; i < r->key_count; i++)
		if (strcmp(r->keys[i].name, name) == 0)
			return &r->keys[i];
	return NULL;
}

static void check_keys(struct reading *r, const struct gw_driver *driver)
{
	char names[NAMES_BYTES];

	for (unsigned int i = 0; i < r->key_count; i++) {
		const struct key *key = &r->keys[i];

		if (strchr(key->value, ','))
			fail(r, key->line, "%s: a value cannot contain ','", key->name);
		if (strcmp(key->name, "driver") == 0 || strcmp(key->name, "target") == 0 ||
		    has_option(driver->options, key->name) ||
		    has_option(gw_port_options(), key->name))
			continue;
		fail(r, key->line, "no option '%s' for the driver %s; there are %s", key->name,
		     driver->name, option_names(driver, names, sizeof(names)));
	}
}

/* NAME=DRIVER:TARGET[,OPTION=VALUE...]; NULL without memory. */
static char *port_spec(const struct reading *r, const char *name, const char *driver,
		       const char *target)
{
	char *spec = NULL;
	size_t bytes;
	FILE *out = open_memstream(&spec, &bytes);

	if (!out)
		return NULL;
	fprintf(out, "%s=%s:%s", name, driver, target);
	for (unsigned int i = 0; i < r->key_count; i++)
		if (strcmp(r->keys[i].name, "driver") != 0 &&
		    strcmp(r->keys[i].name, "target") != 0)
			fprintf(out, ",%s=%s", r->keys[i].name, r->keys[i].value);
	if (fclose(out) != 0) {
		free(spec);
		return NULL;
	}
	return spec;
}

static void add_port(struct reading *r, const char *name, const char *driver, const char *target)
{
	char *spec = port_spec(r, name, driver, target), *origin = NULL;

	if (asprintf(&origin, "%s:%u: [port %s]", r->path, r->section_line, name) < 0)
		origin = NULL;
	if (!spec || !origin)
		fail(r, r->section_line, "not enough memory");
	if (r->rc == 0) {
		r->rc = daemon_config_add_port(r->config, spec, origin, r->err);
		r->rc_line = r->section_line;
	}
	free(spec);
	free(origin);
}

static void end_port(struct reading *r)
{
	const char *name = r->section + strlen(PORT_SECTION);
	const struct key *driver_key = find_key(r, "driver"), *target_key = find_key(r, "target");
	const char *target = target_key ? target_key->value : "";
	const struct gw_driver *driver;
	char names[NAMES_BYTES];

	if (!driver_key) {
		fail(r, r->section_line, "[%s]: driver= is missing; there are %s", r->section,
		     driver_names(names, sizeof(names)));
		return;
	}
	driver = find_driver(driver_key->value);
	if (!driver) {
		fail(r, driver_key->line, "no driver named '%.40s'; there are %s",
		     driver_key->value, driver_names(names, sizeof(names)));
		return;
	}
	check_keys(r, driver);
	if (driver->target && !target[0])
		fail(r, r->section_line, "[%s]: target=%s is missing; the driver %s needs it",
		     r->section, driver->target, driver->name);
	if (r->rc == 0)
		add_port(r, name, driver->name, target);
}

/* ---- sections ---- */

static void end_section(struct reading *r)
{
	if (r->rc == 0 && strncmp(r->section, PORT_SECTION, strlen(PORT_SECTION)) == 0)
		end_port(r);
	for (unsigned int i = 0; i < r->key_count; i++) {
		free(r->keys[i].name);
		free(r->keys[i].value);
	}
	r->key_count = 0;
	r->section[0] = 0;
}

/* line begins with '['. */
static void begin_section(struct reading *r, const char *line)
{
	size_t len = strcspn(line, "]");
	const char *rest = line + len + 1;

	end_section(r);
	if (r->rc < 0)
		return;
	if (!line[len]) {
		fail(r, r->line, "the section's ']' is missing");
		return;
	}
	rest += strspn(rest, " \t\r\n");
	if (*rest && *rest != ';' && *rest != '#')
		fail(r, r->line, "'%.20s' after the section's ']'", rest);
	if (len > sizeof(r->section))
		len = sizeof(r->section);
	memcpy(r->section, line + 1, len - 1);
	r->section[len - 1] = 0;
	r->section_line = r->line;
	if (strcmp(r->section, "daemon") == 0)
		return;
	if (strncmp(r->section, PORT_SECTION, strlen(PORT_SECTION)) != 0)
		fail(r, r->line, "no section [%.40s]; there are [daemon] and [port NAME]",
		     r->section);
	else if (!gw_text_is_name(r->section + strlen(PORT_SECTION)))
		fail(r, r->line,
		     "'%.40s' is no name for a port: 1 to 31 letters, digits, '_', '.', '-', "
		     "the first a letter or a digit",
		     r->section + strlen(PORT_SECTION));
}

static void keep_key(struct reading *r, const char *name, const char *value)
{
	struct key *key = &r->keys[r->key_count];

	if (find_key(r, name)) {
		fail(r, r->line, "%.40s is given a second time in [%.40s]", name, r->section);
		return;
	}
	if (r->key_count == KEYS_MAX) {
		fail(r, r->line, "more than %u keys in [%.40s]", KEYS_MAX, r->section);
		return;
	}
	key->name = strdup(name);
	key->value = strdup(value);
	key->line = r->line;
	r->key_count++;
	if (!key->name || !key->value)
		fail(r, r->line, "not enough memory");
}

/* ---- lines ---- */

/* inih: a name and a value. Returns 1: errors are kept in the reading. */
static int on_key(void *arg, const char *ini_section, const char *name, const char *value)
{
	struct reading *r = arg;
	struct gw_error err;

	if (r->rc < 0)
		return 1;
	if (!r->section[0]) {
		fail(r, r->line,
		     "'%.40s' stands before any section; begin with [daemon] or "
		     "[port NAME]",
		     name);
		return 1;
	}
	keep_key(r, name, value);
	if (r->rc == 0 && strcmp(r->section, "daemon") == 0 &&
	    daemon_config_set(r->config, name, value, &err) < 0)
		fail(r, r->line, "%s", err.text);
	return 1;
}

/* One line into buf, without indentation. False: end of file, or an error. */
static bool read_line(struct reading *r, char *buf, size_t bytes)
{
	size_t len = 0;
	int c;

	r->line++;
	while ((c = getc(r->file)) != EOF) {
		if (iscntrl(c) && c != '\t' && c != '\r' && c != '\n') {
			fail(r, r->line, "no text: a byte 0x%02x", (unsigned int)c);
			return false;
		}
		if (len == bytes - 1) {
			fail(r, r->line, "the line is longer than %zu bytes", bytes - 2);
			return false;
		}
		if (len > 0 || !isblank(c))
			buf[len++] = (char)c;
		if (c == '\n')
			break;
	}
	buf[len] = 0;
	if (r->line == 1 && strncmp(buf, UTF8_BOM, strlen(UTF8_BOM)) == 0)
		memmove(buf, buf + strlen(UTF8_BOM), len + 1 - strlen(UTF8_BOM));
	if (ferror(r->file)) {
		r->rc = gw_error_sys(r->err, -EIO, "%.100s: read", r->path);
		return false;
	}
	return len > 0 || c != EOF;
}

/* inih's reader, as fgets. */
static char *on_read(char *buf, int bytes, void *arg)
{
	struct reading *r = arg;

	if (r->rc < 0 || !read_line(r, buf, (size_t)bytes))
		return NULL;
	if (buf[0] == '[')
		begin_section(r, buf);
	return r->rc < 0 ? NULL : buf;
}

/* inih hands one argument to the reader and another to the handler: both are the reading. */
static int read_all(struct reading *r)
{
	int bad_line = ini_parse_stream(on_read, r, on_key, r);

	if (bad_line > 0 && (r->rc == 0 || (unsigned int)bad_line < r->rc_line)) {
		r->rc = 0;
		fail(r, (unsigned int)bad_line, "neither [SECTION] nor NAME=VALUE");
	} else if (bad_line < 0 && r->rc == 0) {
		fail(r, r->line, "not enough memory");
	}
	end_section(r);
	return r->rc;
}

int daemon_config_file(struct daemon_config *config, const char *path, struct gw_error *err)
{
	struct reading reading = { .config = config, .path = path, .err = err };
	struct stat st;
	int rc;

	reading.file = fopen(path, "re");
	if (!reading.file)
		return gw_error_sys(err, -errno, "--config %.100s: open", path);
	if (fstat(fileno(reading.file), &st) == 0 && S_ISDIR(st.st_mode))
		rc = gw_error_set(err, -EISDIR, "--config %.100s: it is a folder, not a file",
				  path);
	else
		rc = read_all(&reading);
	fclose(reading.file);
	return rc;
}
