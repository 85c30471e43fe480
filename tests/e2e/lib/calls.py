# SPDX-License-Identifier: BSD-2-Clause
"""The daemon's system calls, written down by strace, for scripts/syscalls."""

import itertools
import os

# these are made all the time, by workers, and for each piece of a guest's
# memory: to trace them would change what happens
HOT_CALLS = ("fcntl", "fstatfs", "newfstatat", "madvise", "close",
             "recvmmsg", "epoll_ctl",
             "read", "write", "readv", "writev", "sendto", "recvfrom",
             "epoll_wait", "epoll_pwait", "epoll_pwait2", "futex",
             "sched_yield")
FOLDER_VARIABLE = "GW_CALLS"

_numbers = itertools.count()


def tracer():
    """What stands before the daemon's command line; mostly nothing. strace
    runs beside it (-D), so that the process is the daemon's own."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return []
    trace = os.path.join(folder, f"{os.getpid()}-{next(_numbers)}")
    return ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e",
            "trace=!" + ",".join(HOT_CALLS), "-e", "signal=none", "-o", trace]
