/* SPDX-License-Identifier: BSD-2-Clause */
#include <guestwire/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int gw_error_set(struct gw_error *err, int code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return code;
}

int gw_error_sys(struct gw_error *err, int code, const char *format, ...)
{
	const char *words = strerrordesc_np(-code);
	va_list args;
	size_t used;

	if (!err)
		return code;
	err->code = code;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	used = strlen(err->text);
	if (words)
		snprintf(err->text + used, sizeof(err->text) - used, ": %s", words);
	else
		snprintf(err->text + used, sizeof(err->text) - used, ": error %d", -code);
	return code;
}
