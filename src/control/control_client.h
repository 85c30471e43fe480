/* SPDX-License-Identifier: BSD-2-Clause */
/* The other end of the control socket: one request, one reply. */
#pragma once

#include <guestwire/error.h>
#include <jansson.h>

/*
 * Sends the request and waits for its reply, at most timeout_ms in all. 0, and
 * *reply is {"ok":true,...}; or a negative errno with a text for people, also if
 * the daemon answered with an error (-EREMOTEIO). The request is not consumed.
 */
int control_client_call(const char *path, const json_t *request, unsigned int timeout_ms,
			json_t **reply, struct gw_error *err);
