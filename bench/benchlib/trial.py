# SPDX-License-Identifier: BSD-2-Clause
"""One measurement of a load, and the check that has to precede it.

A measurement is a back-end of its own, just started, and guests of its own that
send for so long as they are told to. They say how fast their frames came
home behind the warm-up; the sink says how many arrived in all: each frame that
was sent has to be there, or the measurement does not count.

Few sinks can say what bytes they had. So before the first measurement of a work
each contestant carries such frames, of the same size and shape, to a second
end and back, and every byte is verified at both: who cannot is no peer there.

What a work is measured by (its `trial`) is an object with these two:

    why = trial.check(bench, contestant, work)
    sample = trial.measure(bench, round, contestant, work)

and may say how long that takes (else it is guessed), so that a run can:

    trial.check_s(bench, contestant)        seconds
    trial.measure_s(bench, contestant)

Load is the one of rates; others are in fair.py, rest.py, rings.py and stream.py.
Where what has to be started is dear and good for several works, they are
Together.
"""

import collections
import contextlib
import shutil
import tempfile
import time

from lib import guest, scenario
from lib.proc import Failure, Skip
from lib.wire import addresses

from . import counters, loads, machine, sinks
from .backends import pin, tool
from .figures import Sample, lost

CHECK_FRAMES = 300
CHECK_WINDOW = 16
CHECK_TIMEOUT_S = 10
CHECK_TRIES = 2
NOT_INTACT = "does not deliver frames intact"
LOOK_S = 0.05
# guessed: to start a load and to end it, and what is checked
LOAD_S, CHECK_S = 0.1, 0.3


class Bench:
    """What all measurements of a run share."""

    def __init__(self, root, build, run, cpus, seconds, warm_up_s):
        self.root, self.build, self.run = root, build, run
        self.guest_cpu, self.cpu = cpus
        self.seconds, self.warm_up_s = seconds, warm_up_s
        self.versions = {}
        # works of this run, and what was measured together with another
        self.works, self.together = (), {}

    @contextlib.contextmanager
    def folder(self):
        """What tests are given, until the end of the block."""
        folder = tempfile.mkdtemp(prefix="gw-bench-")
        try:
            with scenario.Test(folder, self.build, self.root) as t:
                yield t
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def line_ns(self):
        """Of a cache line, from the load to the back-end, now."""
        return machine.line_ns(tool(self, "line_trip"),
                               (self.guest_cpu, self.cpu))

    @contextlib.contextmanager
    def site(self, contestant, sink, size, fronts=1):
        """A back-end that runs, until the end of the block."""
        with self.folder() as t:
            there = sinks.make(t, sink, size)
            back_end = contestant.back_end(t, self.cpu, contestant.words)
            if sink not in back_end.SINKS:
                raise Skip(f"{contestant.name} has no sink '{sink}'")
            back_end.start(there, fronts)
            self.versions[contestant.name] = back_end.version()
            yield t, back_end, there


def first_line(error):
    """Of what a failure quotes, the guest's own words if there are any."""
    lines = str(error).splitlines() or [type(error).__name__]
    told = [line for line in lines if "guestwire-guest: " in line]
    return (told[0].rpartition("guestwire-guest: ")[2] if told
            else lines[0])[:160]


def guessed_s(bench, work, contestant, what):
    """Of "check_s" or "measure_s"."""
    says = getattr(work.trial, what, None)
    if says:
        return says(bench, contestant)
    return 0.0 if what == "check_s" else \
        2 * (LOAD_S + bench.warm_up_s + bench.seconds)


def told(measure):
    """What a measurement that came to nothing says of itself."""
    try:
        return measure(), None
    except Skip as e:
        return None, f"not here: {e}"
    except Failure as e:
        return None, f"failed: {first_line(e)}"


def absent(bench, work, contestant, why, round_=-1):
    """What stands for a contestant that takes no part in a work."""
    return Sample(bench.run, round_, work.name, contestant.name, None, why)


# the check

def exchange(t, back_end, sink, work):
    """Both ends send and verify; the window keeps rings from overflowing."""
    far, ns = sink.far_place(back_end)
    ends = []
    for own, other, place, where in (
            (1, 2, ("--socket", back_end.sockets[0]), None),
            (2, 1, far, ns)):
        rings = loads.common(work) if place[0] == "--socket" else \
            ("--size", work.size)
        ends.append(guest.start_guest(
            t, *place, "--start-fd", 0, *rings, *addresses(own, other),
            "--send", CHECK_FRAMES, "--receive", CHECK_FRAMES, "--rx-buffer",
            work.size + loads.VIRTIO_HEADER_BYTES, "--window", CHECK_WINDOW,
            "--timeout", CHECK_TIMEOUT_S, name=f"end{own}", ns=where))
    back_end.connected()
    for end in ends:
        end.process.stdin.close()
    return [guest.result(end, 2 * CHECK_TIMEOUT_S) for end in ends]


def broken(bench, contestant, work):
    """Why it is no peer in this work, or None: frames arrive whole. Nothing is sent
    twice, and on a busy machine a frame can be lost before all is in place: while
    xdp binds its queue to the guest's memory, what comes from the wire passes by."""
    for _ in range(CHECK_TRIES):
        why = broken_once(bench, contestant, work)
        if not why or not why.startswith(NOT_INTACT):
            break
    return why


def broken_once(bench, contestant, work):
    why = "does not start"
    try:
        with bench.site(contestant, sinks.CHECKED_BY[work.sink],
                        work.size) as (t, back_end, sink):
            why = NOT_INTACT
            ends = exchange(t, back_end, sink, work)
    except Skip as e:
        return f"not here: {e}"
    except Failure as e:
        return f"{why}: {first_line(e)}"
    return why if any(said["verified"] != CHECK_FRAMES for said in ends) \
        else None


# the measurement

def wait_end(load, watch):
    while load.alive():
        watch.look()
        time.sleep(LOOK_S)
    watch.look()


class Load(collections.namedtuple("Load", "start rate_of fronts",
                                  defaults=("completed_per_second", None))):
    """start: who sends (loads.py); rate_of: what of it counts; fronts:
    {contestant: guests}, where it is more than one."""

    def guests(self, contestant):
        return (self.fronts or {}).get(contestant.name, 1)

    def check_s(self, _, contestant):
        return 0.0 if self.is_trusted(contestant) else \
            contestant.back_end.START_S + CHECK_S

    def measure_s(self, bench, contestant):
        return contestant.back_end.START_S + bench.warm_up_s + \
            bench.seconds + getattr(self.start, "START_S", LOAD_S)

    @staticmethod
    def is_trusted(contestant):
        """There is nothing to check: no frame comes out of it."""
        return contestant.own_load or not contestant.back_end.CARRIES

    def check(self, bench, contestant, work):
        if self.is_trusted(contestant):
            return None
        return broken(bench, contestant, work)

    def measure(self, bench, round_, contestant, work):
        def once():
            before_ns = bench.line_ns()
            sample = self._sample(bench, round_, contestant, work)
            return sample._replace(line_ns=(before_ns, bench.line_ns()))
        sample, why = told(once)
        return sample or absent(bench, work, contestant, why, round_)

    def _sample(self, bench, round_, contestant, work):
        with bench.site(contestant, work.sink, work.size,
                        self.guests(contestant)) as (t, back_end, sink):
            said, watch = self._run(bench, t, contestant, back_end, work)
            return self._judged(bench, round_, work, contestant, said, watch,
                                back_end.arrived(sink))

    def _run(self, bench, t, contestant, back_end, work):
        """(what the load says, what it cost)"""
        if contestant.own_load:
            load = back_end.load(bench, work)
        else:
            load = self.start(bench, t, back_end, work)
            pin(load.pid, bench.guest_cpu)
            back_end.connected()
        watch = counters.Watch(back_end.pid, load.pid)
        t.on_exit(watch.close)
        load.go()
        wait_end(load, watch)
        return load.said(), watch

    def _judged(self, bench, round_, work, contestant, said, watch, arrived):
        """rate is None where the load did not last: that is nobody's
        fault."""
        sent = said["sent"]
        events = watch.events.read()
        per_frame = {name: count / sent for name, count in events.items()
                     if sent}
        return Sample(
            bench.run, round_, work.name, contestant.name,
            said["steady"] and said["steady"][self.rate_of] or None,
            lost(said, arrived.frames, arrived.bytes), watch.waited(),
            watch.cpu_ns() / sent if sent else None,
            per_frame.get("cycles"), per_frame.get("instructions"))


class Together:
    """Works that are measured in one go, for each round of a contestant: the one
    that comes first has all of them measured, the others find theirs.

    A class of trials derives its own from it, with what they share: STARTS_S, and

        amounts(bench, contestant, works)   {name of the work: see told()}
    """

    STARTS_S = AMOUNT_S = 0.0

    @classmethod
    def family(cls):
        """The class that was derived from this one."""
        return cls.__mro__[cls.__mro__.index(Together) - 1]

    def check(self, bench, contestant, work):
        return None

    def check_s(self, _, __):
        return 0.0

    def relatives(self, bench):
        return [w for w in bench.works if isinstance(w.trial, self.family())]

    def measure_s(self, bench, _):
        """Its share of the start."""
        return self.STARTS_S / max(len(self.relatives(bench)), 1) + \
            self.AMOUNT_S

    def measure(self, bench, round_, contestant, work):
        key = (self.family(), round_, contestant.name)
        if key not in bench.together:
            works = self.relatives(bench)
            bench.together[key] = told(
                lambda: self.amounts(bench, contestant, works))
        found, why = bench.together[key]
        if found:
            found, why = found[work.name]
        if why:
            return absent(bench, work, contestant, why, round_)
        return found._replace(run=bench.run, round=round_, work=work.name,
                              who=contestant.name)

    def amounts(self, bench, contestant, works):
        raise NotImplementedError


def amount_of(amount, waited=0.0):
    """A sample of it; Together knows whose."""
    return Sample(None, None, None, None, None, waited=waited, amount=amount)
