/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors of the control plane.
 *
 * A function that can fail returns 0 or a negative errno, and where it takes a
 * `struct gw_error *` it also leaves a text for people: what was attempted, on
 * what, why it failed, what to do. The pointer may be NULL. The data plane does
 * not use this: it counts (see reason.h).
 */
#ifndef GUESTWIRE_ERROR_H
#define GUESTWIRE_ERROR_H

#define GW_ERROR_TEXT_BYTES 256

struct gw_error {
	int code; /* negative errno, 0: none */
	char text[GW_ERROR_TEXT_BYTES];
};

/*
 * Sets code and text and returns the code, so that a caller writes
 * `return gw_error_set(err, -EINVAL, "port %s: ...", name);`. err may be NULL.
 * Threads: any, on a struct of the caller's own.
 */
int gw_error_set(struct gw_error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* As gw_error_set, and appends ": " and the system's words for the code. */
int gw_error_sys(struct gw_error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
