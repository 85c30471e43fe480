/* SPDX-License-Identifier: BSD-2-Clause */
#include "finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void finding_keep(void *sink, const struct gw_finding *finding)
{
	struct finding_list *list = sink;

	if (list->count < FINDINGS_MAX)
		list->finding[list->count++] = *finding;
}

struct gw_finding *finding_say(struct gw_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->text, sizeof(finding->text), format, args);
	va_end(args);
	return finding;
}

struct gw_finding *finding_remedy(struct gw_finding *finding, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(finding->remedy, sizeof(finding->remedy), format, args);
	va_end(args);
	return finding;
}

void finding_tell(const struct gw_probe_question *question, const struct gw_finding *finding)
{
	question->found(question->sink, finding);
}

const struct gw_finding *finding_last(const struct gw_finding *findings, unsigned int count,
				      const char *path, const char *subject)
{
	while (count--)
		if (!strcmp(findings[count].path, path) &&
		    !strcmp(findings[count].subject, subject))
			return &findings[count];
	return NULL;
}

const char *gw_found_name(enum gw_found found)
{
	static const char *const names[] = { "no", "yes", "unknown" };

	return (unsigned int)found < sizeof(names) / sizeof(names[0]) ? names[found] : "unknown";
}

const char *gw_found_how_name(enum gw_found_how how)
{
	return how == GW_FOUND_BY_TRYING ? "tried" : "asked";
}
