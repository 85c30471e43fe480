# SPDX-License-Identifier: BSD-2-Clause
"""Rings without a generator: they were filled beforehand.

    Floor    nanoseconds that a chain costs who consumes it: a program that is
             its driver, too (bench/ring_floor.c), or all the way to null
             (bench/spread.c)
    Spread   frames a second of queue pairs on workers (bench/spread.c); `field`
             says by what: "clock_rate", or "own_rate", where a second is one in
             which a worker had a processor. All contestants of a round take turns
             of some milliseconds, and those count in which no processor was slow:
             one of a virtual machine may be half as fast as a second ago

Which contestant stands for what is in the table of works.
"""

import json

from lib.proc import check, run

from .backends import tool
from .trial import LOAD_S, absent, amount_of, told

TIMEOUT_S = 120
MS = 1000
# of a measurement, whose median counts: somebody who had a processor for a moment
# is in one of them. If a processor was slow in nearly all, there is no figure
TURNS, TURNS_MIN, TURN_MIN_MS = 15, 5, 10
# before each turn, and around it
WARM_S = 0.04


def ask(t, name, *words):
    """What a program of bench/ says."""
    return json.loads(run([tool(t, name), *words], timeout_s=TIMEOUT_S).stdout)


def sound(said):
    """said, of setups that took turns, if all of it counts."""
    check(all(one["turns"] >= TURNS_MIN for one in said),
          "a processor changed its speed all the time")
    check(all(one["own_rate"] for one in said), "no worker had a processor")
    return said


def ask_spread(bench, t, *setups):
    """What it says of each of these setups, which take turns."""
    return sound(ask(t, "spread", "--json", "--rounds", TURNS, "--turn",
                     max(round(bench.seconds * MS / TURNS), TURN_MIN_MS), *setups))


class Spread:
    """setups: {contestant: setups; of several it is their mean}"""

    def __init__(self, setups, field):
        self.setups, self.field = setups, field

    def check(self, bench, contestant, work):
        return None

    def check_s(self, _, __):
        return 0.0

    def measure_s(self, bench, contestant):
        return LOAD_S + len(self.setups[contestant.name]) * \
            (bench.seconds + TURNS * WARM_S)

    def measure(self, bench, round_, contestant, work):
        key = (Spread, round_)
        if key not in bench.together:
            bench.together[key] = told(lambda: self._all(bench))
        said, why = bench.together[key]
        if why:
            return absent(bench, work, contestant, why, round_)
        return self.sample_of(said, contestant.name)._replace(
            run=bench.run, round=round_, work=work.name, who=contestant.name)

    def _all(self, bench):
        words = [word for setups in self.setups.values() for word in setups]
        with bench.folder() as t:
            return {one["setup"]: one for one in ask_spread(bench, t, *words)}

    def sample_of(self, said, name):
        own = [said[word] for word in self.setups[name]]
        return amount_of(sum(one[self.field] for one in own) / len(own),
                         max(one["waited"] for one in own))


class Floor:
    """programs: {contestant: words of ring_floor, or None: all the way}"""

    def __init__(self, programs):
        self.programs = programs

    def check(self, bench, contestant, work):
        return None

    def check_s(self, _, __):
        return 0.0

    def measure_s(self, bench, _):
        return LOAD_S + bench.seconds

    def measure(self, bench, round_, contestant, work):
        def once():
            with bench.folder() as t:
                return self._spent(bench, t, contestant)
        sample, why = told(once)
        if why:
            return absent(bench, work, contestant, why, round_)
        return sample._replace(run=bench.run, round=round_, work=work.name,
                               who=contestant.name)

    def _spent(self, bench, t, contestant):
        words = self.programs[contestant.name]
        if words is None:
            said = ask_spread(bench, t, "1:1:1")[0]
            return amount_of(1e9 / said["own_rate"], said["waited"])
        said = ask(t, "ring_floor", "--seconds", bench.seconds, *words)
        check(said["frames"], "no chain was consumed")
        return amount_of(said["frame_ns"])
