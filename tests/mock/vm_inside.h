/* SPDX-License-Identifier: BSD-2-Clause */
/* What vm.c, which speaks to the back-end, and vm_frames.c share. */
#pragma once

/* The descriptor has something, within VM_DEADLINE_MS; otherwise the test fails. */
void vm_wait_readable(int fd, const char *what);
