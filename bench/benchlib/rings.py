# SPDX-License-Identifier: BSD-2-Clause
"""Rings without a generator: they were filled beforehand.

    Floor    nanoseconds that a chain costs who consumes it: a program that is
             its driver, too (bench/ring_floor.c), or all the way to null
             (bench/spread.c)
    Spread   frames a second of queue pairs on workers (bench/spread.c); `field`
             says by what: "clock_rate", or "own_rate", where a second is one in
             which a worker had a processor

Which contestant stands for what is in the table of works.
"""

import json

from lib.proc import check, run

from .backends import tool
from .trial import LOAD_S, Together, absent, amount_of, told

TIMEOUT_S = 60
MS = 1000
# of a measurement, whose median counts: somebody who had a processor for a moment
# is in one of them
TURNS, TURN_MIN_MS = 7, 10


def ask(t, name, *words):
    """What a program of bench/ says."""
    return json.loads(run([tool(t, name), *words], timeout_s=TIMEOUT_S).stdout)


def ask_spread(bench, t, setup, figure):
    """A sample of figure(what it says)."""
    said = ask(t, "spread", "--json", "--rounds", TURNS, "--turn",
               max(round(bench.seconds * MS / TURNS), TURN_MIN_MS), setup)[0]
    check(said["own_rate"], "no worker had a processor")
    return amount_of(figure(said), said["waited"])


class Spread(Together):
    STARTS_S = 1.0

    def __init__(self, setups, field):
        self.setups, self.field = setups, field

    def measure_s(self, bench, contestant):
        return super().measure_s(bench, contestant) + bench.seconds / 2

    def amounts(self, bench, contestant, works):
        with bench.folder() as t:
            whole = ask_spread(bench, t, self.setups[contestant.name], dict)
        return {w.name: (whole._replace(amount=whole.amount[w.trial.field]),
                         None) for w in works}


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
            return ask_spread(bench, t, "1:1:1",
                              lambda said: 1e9 / said["own_rate"])
        said = ask(t, "ring_floor", "--seconds", bench.seconds, *words)
        check(said["frames"], "no chain was consumed")
        return amount_of(said["frame_ns"])
