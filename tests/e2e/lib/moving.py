# SPDX-License-Identifier: BSD-2-Clause
"""A guest that moves from one QEMU to another while it runs.

    mover = Mover(t, lambda n, arguments: QemuGuest(...))
    mover.start()
    mover.move()            # into a new QEMU; the old one ends
    mover.vm.run(...)       # where it is now

The new QEMU does not start the guest by itself. Between the end of the
migration and its start both have the guest's memory, and nobody may write to
either: so both are compared, byte by byte. A page that the back-end wrote to
and did not mark in the log differs, unless somebody else has marked it.
"""

import json
import mmap
import os
import time

from .proc import Failure, check, wait_for

MOVE_TIMEOUT_S = 240
QUIT_TIMEOUT_S = 60
PAGE_BYTES = 4096
# as fast as it goes; how long the guest may stand still while the rest is moved
PARAMETERS = {"max-bandwidth": 1 << 34, "downtime-limit": 300}
BLOCK_BYTES = 1 << 21
SHOWN_PAGES = 8
ENDED = ("completed", "failed", "cancelled")


class Mover:
    """make(number, arguments): a QemuGuest, not started, of that number."""

    def __init__(self, test, make):
        self.test = test
        self.make = make
        self.number = 0
        self.compare_s = 0.0  # how long the last comparison took
        self.vm = make(0, [])

    def start(self):
        self.vm.start()

    def move(self, compare=True):
        """Returns what the old QEMU says about the migration."""
        self.number += 1
        path = self.test.path(f"moving-{self.number}.sock")
        there = self.make(self.number, ["-S", "-incoming", f"unix:{path}"])
        there.boots, there.tokens = self.vm.boots, self.vm.tokens
        there.power_on()
        self._migrate(there, path)
        started = time.monotonic()
        if compare:
            compare_memory(self.vm, there)
        self.compare_s = time.monotonic() - started
        there.monitor("cont")
        here, self.vm = self.vm, there
        said = here.monitor("query-migrate")
        here.monitor("quit")
        here.process.wait(QUIT_TIMEOUT_S)
        return said

    def _migrate(self, there, path):
        here = self.vm
        wait_for(lambda: os.path.exists(path), MOVE_TIMEOUT_S, path)
        # a socket that is bound may not be listened on yet: what answers has done both
        there.monitor("query-status")
        here.monitor("migrate-set-parameters", **PARAMETERS)
        here.monitor("migrate", uri=f"unix:{path}")
        wait_for(lambda: state(here) in ENDED, MOVE_TIMEOUT_S,
                 f"{here.name} to move: {here.monitor('query-migrate')}")
        check(state(here) == "completed",
              f"{here.name}: {json.dumps(here.monitor('query-migrate'))}\n"
              f"{here.process.err.tail()}\n{there.process.err.tail()}")
        wait_for(lambda: there.monitor("query-status")["status"] != "inmigrate",
                 MOVE_TIMEOUT_S, f"{there.name} to have all of it")


def state(vm):
    return vm.monitor("query-migrate").get("status")


def memory_of(vm):
    """The guest's RAM, as a file of its QEMU."""
    folder = f"/proc/{vm.pid}/fd"
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if "memory-backend-memfd" in os.readlink(path):
            return path
    raise Failure(f"{vm.name}: no memory in {folder}")


def compare_memory(here, there):
    """Every byte of RAM of two QEMUs, none of which runs."""
    for vm in (here, there):
        status = vm.monitor("query-status")
        check(not status["running"], f"{vm.name} runs: {status}")
    differ = []
    with open(memory_of(here), "rb") as f, open(memory_of(there), "rb") as g:
        size = os.fstat(f.fileno()).st_size
        check(os.fstat(g.fileno()).st_size == size, "memory of two sizes")
        with mmap.mmap(f.fileno(), size, prot=mmap.PROT_READ) as a, \
                mmap.mmap(g.fileno(), size, prot=mmap.PROT_READ) as b:
            for start in range(0, size, BLOCK_BYTES):
                if a[start:start + BLOCK_BYTES] != b[start:start + BLOCK_BYTES]:
                    differ += different_pages(a, b, start)
    check(not differ, f"{len(differ)} of {size // PAGE_BYTES} pages differ "
          "after the migration: "
          + ", ".join(hex(p) for p in differ[:SHOWN_PAGES]))


def different_pages(a, b, start):
    return [at for at in range(start, start + BLOCK_BYTES, PAGE_BYTES)
            if a[at:at + PAGE_BYTES] != b[at:at + PAGE_BYTES]]
