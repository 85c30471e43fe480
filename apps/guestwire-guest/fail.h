/* SPDX-License-Identifier: BSD-2-Clause */
/* An error of the control plane: negative errno beside a sentence for a person. */
#pragma once

#define FAIL_TEXT_BYTES 320

struct fail {
	char text[FAIL_TEXT_BYTES];
};

/* Writes the sentence; returns error, so that `return fail_set(...)` reads well. */
int fail_set(struct fail *fail, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
