# SPDX-License-Identifier: BSD-2-Clause
"""Rings without a generator: they were filled beforehand.

    Floor    nanoseconds that a chain costs who consumes it: a program that is
             its driver, too (bench/ring_floor.c)

Which contestant stands for what is in the table of works.
"""

import json

from lib.proc import check, run

from .backends import tool
from .trial import LOAD_S, absent, amount_of, told

TIMEOUT_S = 60


def ask(t, name, *words):
    """What a program of bench/ says."""
    return json.loads(run([tool(t, name), *words], timeout_s=TIMEOUT_S).stdout)


class Floor:
    """programs: {contestant: words of ring_floor}"""

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
                return amount_of(self._ns(bench, t, contestant))
        sample, why = told(once)
        if why:
            return absent(bench, work, contestant, why, round_)
        return sample._replace(run=bench.run, round=round_, work=work.name,
                               who=contestant.name)

    def _ns(self, bench, t, contestant):
        said = ask(t, "ring_floor", "--seconds", bench.seconds,
                   *self.programs[contestant.name])
        check(said["frames"], "no chain was consumed")
        return said["frame_ns"]
