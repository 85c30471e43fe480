/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon_list.h"

#include <guestwire/guestwire.h>
#include <string.h>

#define OPTION_COLUMN 32
#define REASON_COLUMN 22

static void print_options(FILE *out, const struct gw_option *options)
{
	for (; options && options->name; options++) {
		int column = fprintf(out, "    %s=%s", options->name, options->values);

		fprintf(out, "%*s%s", column < OPTION_COLUMN - 1 ? OPTION_COLUMN - column : 2, "",
			options->help);
		if (options->fallback)
			fprintf(out, " (default %s)", options->fallback);
		fputc('\n', out);
	}
}

static void print_driver(FILE *out, const struct gw_driver *driver)
{
	fprintf(out, "  %s:%s\n    %s\n", driver->name, driver->target ? driver->target : "",
		driver->help ? driver->help : "");
	print_options(out, driver->options);
	fputc('\n', out);
}

static void print_reasons(FILE *out, unsigned int first, unsigned int end)
{
	for (unsigned int i = first; i < end; i++)
		fprintf(out, "  %-*s%s\n", REASON_COLUMN, gw_reason_name(i), gw_reason_text(i));
}

void daemon_list_drivers(FILE *out)
{
	fputs("Drivers, as in --port NAME=DRIVER:TARGET[,OPTION=VALUE...]\n\n", out);
	for (const struct gw_driver *const *driver = gw_drivers(); *driver; driver++)
		print_driver(out, *driver);
	fputs("On every port\n", out);
	print_options(out, gw_port_options());
	fputs("\nReasons why a frame was copied\n", out);
	print_reasons(out, GW_COPY_FIRST, GW_DROP_FIRST);
	fputs("\nReasons why a frame was dropped\n", out);
	print_reasons(out, GW_DROP_FIRST, GW_REASON_COUNT);
}
