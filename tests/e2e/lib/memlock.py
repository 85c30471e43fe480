# SPDX-License-Identifier: BSD-2-Clause
"""May memory be pinned? A device that reads guest memory wants all of it."""

import os
import resource

from .proc import Skip

# of /proc/self/uid_map: all users there are, so no user namespace
ALL_USERS = "4294967295"


def need(mib):
    """Skip where an ordinary user may not pin so much."""
    with open("/proc/self/uid_map", encoding="ascii") as f:
        really_root = os.geteuid() == 0 and f.read().split()[2] == ALL_USERS
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if not really_root and limit != resource.RLIM_INFINITY \
            and limit < mib << 20:
        raise Skip(f"lending {mib} MiB needs as much RLIMIT_MEMLOCK, which is "
                   f"{limit >> 20} MiB here, or root")
