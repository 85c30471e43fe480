# SPDX-License-Identifier: BSD-2-Clause
"""One measurement, and the check that has to precede it.

A measurement is a back-end of its own, just started, and a guest of its own
that sends for so long as it is told to. The guest says how fast its frames came
home behind the warm-up; the sink says how many arrived in all: each frame that
was sent has to be there, or the measurement does not count.

A null sink cannot say what bytes it had. So before the first measurement of a
work each contestant carries such frames, of the same size and shape, between
two guests that verify every byte, both ways: who cannot is no peer there.
"""

import contextlib
import shutil
import tempfile
import time

from lib import guest, scenario
from lib.proc import Failure, Skip
from lib.wire import addresses

from . import counters
from .backends import pin
from .figures import Sample, lost

CHECK_FRAMES = 300
CHECK_WINDOW = 16
CHECK_TIMEOUT_S = 30
LOOK_S = 0.05
# a receive buffer takes a whole frame, or the rings would be short of them
VIRTIO_HEADER_BYTES = 12
LEAST_MEMORY_MIB = 32


class Bench:
    """What all measurements of a run share."""

    def __init__(self, root, build, run, cpus, seconds, warm_up_s):
        self.root, self.build, self.run = root, build, run
        self.guest_cpu, self.cpu = cpus
        self.seconds, self.warm_up_s = seconds, warm_up_s
        self.versions = {}

    @contextlib.contextmanager
    def site(self, contestant, sink):
        """A back-end that runs, until the end of the block."""
        folder = tempfile.mkdtemp(prefix="gw-bench-")
        try:
            with scenario.Test(folder, self.build, self.root) as t:
                back_end = contestant.back_end(t, self.cpu, contestant.words)
                back_end.start(sink)
                self.versions[contestant.name] = back_end.version()
                yield t, back_end
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def memory_mib(work):
    """Both rings have a slot for each descriptor."""
    size = work.ring[work.ring.index("--ring-size") + 1]
    return max(LEAST_MEMORY_MIB, 4 * size * (work.size + 4096) >> 20)


def common(work):
    return ("--size", work.size, "--memory", memory_mib(work), *work.ring,
            *work.shape)


# the check

def exchange(t, back_end, work):
    """Both ends send and verify; the window keeps rings from overflowing."""
    ends = []
    for own, other, path in ((1, 2, back_end.socket), (2, 1, back_end.far)):
        ends.append(guest.start_guest(
            t, "--socket", path, "--start-fd", 0, *common(work),
            *addresses(own, other), "--send", CHECK_FRAMES, "--receive",
            CHECK_FRAMES, "--rx-buffer", work.size + VIRTIO_HEADER_BYTES,
            "--window", CHECK_WINDOW, "--timeout", CHECK_TIMEOUT_S,
            name=f"end{own}"))
    for end in ends:
        end.process.stdin.close()
    return [guest.result(end, 2 * CHECK_TIMEOUT_S) for end in ends]


def broken(bench, contestant, work):
    """Why it is no peer in this work, or None: frames arrive whole."""
    try:
        with bench.site(contestant, "guests") as (t, back_end):
            ends = exchange(t, back_end, work)
    except Skip as e:
        return f"not here: {e}"
    except Failure as e:
        return f"does not deliver frames intact: {first_line(e)}"
    if any(said["verified"] != CHECK_FRAMES for said in ends):
        return "does not deliver frames intact"
    return None


def first_line(error):
    """Of what a failure quotes, the guest's own words if there are any."""
    lines = str(error).splitlines() or [type(error).__name__]
    told = [line for line in lines if "guestwire-guest: " in line]
    return (told[0].rpartition("guestwire-guest: ")[2] if told
            else lines[0])[:160]


# the measurement

def load(bench, work):
    return ("--send", 0, "--pattern", "fixed", "--poll", *common(work),
            *work.packet, "--duration", bench.warm_up_s + bench.seconds, "--warm-up",
            bench.warm_up_s)


def wait_end(process, watch):
    while process.alive():
        watch.look()
        time.sleep(LOOK_S)
    watch.look()


def run_load(bench, t, back_end, work):
    """(what the guest says, what it cost)"""
    process = guest.start_guest(t, "--socket", back_end.socket, "--start-fd",
                                0, *load(bench, work), name="load")
    pin(process.pid, bench.guest_cpu)
    watch = counters.Watch(back_end.pid, process.pid)
    t.on_exit(watch.close)
    process.process.stdin.close()
    wait_end(process, watch)
    return guest.result(process), watch


def judged(bench, round_, work, who, said, watch, arrived):
    """rate is None where the load did not last: that is nobody's fault."""
    sent = said["sent"]
    events = watch.events.read()
    per_frame = {name: count / sent for name, count in events.items() if sent}
    return Sample(
        bench.run, round_, work.name, who,
        said["steady"]["completed_per_second"] if said["steady"] else None,
        lost(said, arrived.frames, arrived.bytes), watch.waited(),
        watch.cpu_ns() / sent if sent else None,
        per_frame.get("cycles"), per_frame.get("instructions"))


def measure(bench, round_, contestant, work):
    try:
        with bench.site(contestant, work.sink) as (t, back_end):
            said, watch = run_load(bench, t, back_end, work)
            arrived = back_end.arrived()
            return judged(bench, round_, work, contestant.name, said, watch,
                          arrived)
    except Skip as e:
        why = f"not here: {e}"
    except Failure as e:
        why = f"failed: {first_line(e)}"
    return Sample(bench.run, round_, work.name, contestant.name, None, why)


def absent(bench, work, contestant, why):
    """What stands for a contestant that takes no part in a work."""
    return Sample(bench.run, -1, work.name, contestant.name, None, why)
