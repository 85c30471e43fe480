# SPDX-License-Identifier: BSD-2-Clause
"""Borrow 2 MiB pages from the kernel, and give them back.

The pool is the whole machine's, so what is missing is added and what was
added is taken away, never set to a number; a lock keeps two of us from
counting at once. A guard process does the giving back when the pipe to it
closes: it happens also when we are killed.
"""

import contextlib
import fcntl
import os
import subprocess

from .proc import Skip

POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB"
PAGE_MIB = 2

GIVE_BACK = """
cat >/dev/null
exec flock {pool} sh -c \
	'echo $(($(cat {pool}/nr_hugepages) - {count})) >{pool}/nr_hugepages'
"""


def _read(name):
    with open(f"{POOL}/{name}", encoding="ascii") as f:
        return int(f.read())


@contextlib.contextmanager
def _locked():
    folder = os.open(POOL, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _guard(count):
    script = GIVE_BACK.format(pool=POOL, count=count)
    return subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE,
                            start_new_session=True)


def _release(guard):
    guard.stdin.close()
    guard.wait()


def _add(test, count):
    """Enlarge the pool. Called with the lock held; False if it cannot be."""
    before = _read("nr_hugepages")
    try:
        with open(f"{POOL}/nr_hugepages", "w", encoding="ascii") as f:
            f.write(str(before + count))
    except OSError:
        return False
    added = _read("nr_hugepages") - before
    if added > 0:
        test.on_exit(_release, _guard(added))
    return added >= count


def reserve(test, mib):
    """See to it that this much memory is free in huge pages, or skip.

    Pages that are free already may be another test's, which has not used
    them yet: they count only where the pool cannot be enlarged.
    """
    if not os.path.isdir(POOL):
        raise Skip(f"this kernel has no hugepages of {PAGE_MIB} MiB")
    count = (mib + PAGE_MIB - 1) // PAGE_MIB
    with _locked():
        if _add(test, count):
            return
        free = _read("free_hugepages") - _read("resv_hugepages")
    if free < count:
        raise Skip(f"{count} hugepages of {PAGE_MIB} MiB are needed, {free} "
                   "are free, and the pool cannot be enlarged")
