/* SPDX-License-Identifier: BSD-2-Clause */
/* A descriptor that goes along with a line of the control protocol. */
#pragma once

/* 0 or -errno. The descriptor stays the caller's. */
int control_pass_send(int socket, const char *line, int fd);
/*
 * Reads one byte, and not one more. 1; 0: the end; or -errno. *fd is changed if a
 * descriptor came with it, which is the caller's.
 */
int control_pass_receive(int socket, char *byte, int *fd);
