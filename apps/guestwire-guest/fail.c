/* SPDX-License-Identifier: BSD-2-Clause */
#include "fail.h"

#include <stdarg.h>
#include <stdio.h>

int fail_set(struct fail *fail, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(fail->text, sizeof(fail->text), format, args);
	va_end(args);
	return error;
}
