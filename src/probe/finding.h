/* SPDX-License-Identifier: BSD-2-Clause */
/* Findings of a probe: saying one, and keeping a list of them. */
#pragma once

#include <guestwire/probe.h>

/* As many as one interface, or the host, ever has. What comes after that is not kept. */
#define FINDINGS_MAX 32u

struct finding_list {
	unsigned int count;
	struct gw_finding finding[FINDINGS_MAX];
};

/* A gw_probe_question.found whose sink is a struct finding_list. */
void finding_keep(void *list, const struct gw_finding *finding);

/*
 * The text, and then the remedy, of a finding; what is too long is cut. finding_say
 * returns its first argument, so that the calls can be chained.
 */
struct gw_finding *finding_say(struct gw_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
struct gw_finding *finding_remedy(struct gw_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Tells it to whoever asked. */
void finding_tell(const struct gw_probe_question *question, const struct gw_finding *finding);
/* The last finding about a subject of a path; NULL: none. */
const struct gw_finding *finding_last(const struct gw_finding *findings, unsigned int count,
				      const char *path, const char *subject);
