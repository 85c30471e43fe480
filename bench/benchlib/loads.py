# SPDX-License-Identifier: BSD-2-Clause
"""Who sends: started and waiting, then told to go, then asked.

    load = guest(bench, t, back_end, work)
    load.pid
    load.go()
    load.alive()        # until all is home
    load.said()         # {"sent", "sent_bytes", "steady": {...} or None}

The same load for each back-end of a work. `steady` is of the time behind the
warm-up; the work says which of its figures counts (`rate_of`).
"""

import json

from lib import guest as builtin
from lib.proc import Failure

from .backends import START_TIMEOUT_S, tool

END_TIMEOUT_S = 30
# a receive buffer takes a whole frame, or the rings would be short of them
VIRTIO_HEADER_BYTES = 12
LEAST_MEMORY_MIB = 32


def ring_size(work):
    return work.ring[work.ring.index("--ring-size") + 1]


def memory_mib(work):
    """Both rings have a slot for each descriptor."""
    return max(LEAST_MEMORY_MIB,
               4 * ring_size(work) * (work.size + 4096) >> 20)


def common(work):
    return ("--size", work.size, "--memory", memory_mib(work), *work.ring,
            *work.shape)


class Told:
    """A program that goes when its input is closed, and says JSON at its
    end."""

    def __init__(self, process):
        self.process = process

    @property
    def pid(self):
        return self.process.pid

    def go(self):
        self.process.process.stdin.close()

    def alive(self):
        return self.process.alive()

    def said(self):
        status = self.process.wait(END_TIMEOUT_S)
        if status:
            raise Failure(f"{self.process.name} exits with {status}:\n"
                          f"{self.process.err.tail()}")
        return json.loads(self.process.out.text().strip()
                          .rpartition("\n")[2])


def guest(bench, t, back_end, work):
    """The built-in guest."""
    return Told(builtin.start_guest(
        t, "--socket", back_end.sockets[0], "--start-fd", 0, "--send", 0,
        "--pattern", "fixed", "--poll", *common(work), *work.packet,
        "--duration", bench.warm_up_s + bench.seconds, "--warm-up",
        bench.warm_up_s, name="load"))


def start_herd(bench, t, options, sockets, words):
    process = t.spawn(
        [tool(t, "herd"), "--seconds", bench.seconds, "--warm-up",
         bench.warm_up_s, *options, *sockets, "--", "--send", 0, *words],
        "load")
    process.wait_line("^ready$", START_TIMEOUT_S, stream=process.err)
    return Told(process)


def herd(bench, t, back_end, work):
    """So many built-in guests as the back-end has sockets."""
    return start_herd(bench, t, (), back_end.sockets,
                 ("--pattern", "fixed", *common(work), *work.packet))


def passing(bench, t, back_end, work):
    """One guest sends, another receives; half a ring is on the way."""
    return start_herd(bench, t, ("--pass", ring_size(work) // 2),
                 (back_end.sockets[0], back_end.far),
                 ("--pattern", "fixed", *common(work), *work.packet,
                  "--rx-buffer", work.size + VIRTIO_HEADER_BYTES))
