# SPDX-License-Identifier: BSD-2-Clause
"""What contestants make of what the program of filled rings says."""

import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests", "e2e"))

from lib.proc import Failure  # noqa: E402

from . import rings, works  # noqa: E402


def said(setup, own, clock, waited):
    return {"setup": setup, "own_rate": own, "clock_rate": clock,
            "waited": waited, "turns": rings.TURNS}


SAID = {one["setup"]: one for one in (
    said("1:2:2", 150, 140, 0.01), said("1:1:1@0", 80, 70, 0.0),
    said("1:1:1@1", 60, 50, 0.03), said("1:1:1+1:1:1", 139, 120, 0.02))}


class Spread(unittest.TestCase):
    def sample(self, field, name):
        sample = rings.Spread(works.SETUPS, field).sample_of(SAID, name)
        return sample.amount, sample.waited

    def test_one_is_what_both_processors_make_of_it(self):
        self.assertEqual(self.sample("own_rate", works.PAIR), (70, 0.03))
        self.assertEqual(self.sample("clock_rate", works.PAIR), (60, 0.03))

    def test_two_are_a_sum(self):
        self.assertEqual(self.sample("own_rate", works.OURS), (150, 0.01))
        self.assertEqual(self.sample("own_rate", works.APART), (139, 0.02))

    def test_all_of_them_are_asked_for(self):
        asked = {word for words in works.SETUPS.values() for word in words}
        self.assertEqual(asked, set(SAID))


class Turns(unittest.TestCase):
    def test_what_counts_is_taken_as_it_is(self):
        self.assertEqual(rings.sound(list(SAID.values())), list(SAID.values()))

    def refused(self, **changed):
        one = {**SAID["1:2:2"], **changed}
        with self.assertRaises(Failure) as caught:
            rings.sound([SAID["1:1:1@0"], one])
        return str(caught.exception)

    def test_too_few_of_one_are_no_figure(self):
        self.assertIn("changed its speed",
                      self.refused(turns=rings.TURNS_MIN - 1))

    def test_nothing_done_is_no_figure(self):
        self.assertIn("no worker", self.refused(own_rate=0))


if __name__ == "__main__":
    unittest.main()
