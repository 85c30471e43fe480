# SPDX-License-Identifier: BSD-2-Clause
"""How many rounds a run makes of a work, with measurements that nobody made."""

import os
import sys
import unittest
from types import SimpleNamespace
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests", "e2e"))

from . import harness  # noqa: E402
from .figures import Sample  # noqa: E402
from .works import CONTESTANTS, OURS  # noqa: E402

NEAR, FAR = (30, 30), (170, 170)
ROUNDS = 5
THEIRS = "dpdk"


class Trial:
    """The machine's speed in each round, for us and for the other side."""

    def __init__(self, speeds, rate=1.0):
        self.speeds, self.rate = speeds, rate
        self.rounds = []

    def measure(self, _, number, contestant, work):
        ours = contestant.name == OURS
        if ours:
            self.rounds.append(number)
        speeds = self.speeds[min(number, len(self.speeds) - 1)]
        return Sample("r1", number, work.name, contestant.name, self.rate,
                      line_ns=speeds[0 if ours else 1])


def rounds_of(trial):
    """The rounds that a run makes if measurements come out so."""
    run = object.__new__(harness.Run)
    run.rounds, run.seconds, run.bench = ROUNDS, 1.0, None
    run.works, run.measured, run.samples = [], [], []
    run.contestants = [c for c in CONTESTANTS if c.name in (OURS, THEIRS)]
    run.line, run.progress = mock.Mock(), mock.Mock(left_s=lambda: 0)
    run.guess_s = lambda *_: (0, 0)
    run.takes_part = lambda *_: True
    run.show_work = lambda *_: None
    work = SimpleNamespace(name="w", title="w", sink=None, rounds=None,
                           against=(THEIRS,), trial=trial)
    with mock.patch.object(harness, "say"):
        run.one_work(work)
    return trial.rounds


class Rounds(unittest.TestCase):
    def test_at_one_speed_there_are_as_many_as_were_asked_for(self):
        for speed in NEAR, FAR, None:
            self.assertEqual(rounds_of(Trial([(speed, speed)])),
                             list(range(ROUNDS)))

    def test_for_one_that_is_left_out_there_is_another(self):
        mixed = [(NEAR, NEAR), (NEAR, FAR), (FAR, NEAR), (FAR, FAR)]
        self.assertEqual(rounds_of(Trial(mixed)), list(range(ROUNDS + 2)))

    def test_a_machine_that_never_rests_does_not_keep_us(self):
        self.assertEqual(rounds_of(Trial([(NEAR, FAR)])),
                         list(range(int(ROUNDS * harness.MORE_ROUNDS))))

    def test_who_did_not_measure_gets_no_more(self):
        """Rounds that are missing for another reason are not asked for anew."""
        self.assertEqual(rounds_of(Trial([(NEAR, FAR)], rate=None)),
                         list(range(ROUNDS)))


if __name__ == "__main__":
    unittest.main()
