# SPDX-License-Identifier: BSD-2-Clause
"""The arithmetic, tried on samples that nobody measured."""

import unittest

from . import figures
from .figures import Sample


def side(who, *rates, run="r1", **more):
    return [Sample(run, n, "w", who, rate, **more)
            for n, rate in enumerate(rates)]


CEILING = side("ceiling", 100, 100, 100)


class Figures(unittest.TestCase):
    def refused(self, words, ours, theirs, ceiling=tuple(CEILING)):
        ratio = figures.ratio(ours, theirs, ceiling)
        self.assertIsNone(ratio.value)
        self.assertIn(words, ratio.refusal)

    def test_medians_and_quartiles(self):
        self.assertEqual(figures.median([3, 1, 2]), 2)
        self.assertEqual(figures.median([4, 1, 2, 3]), 2.5)
        self.assertEqual(figures.median([7]), 7)
        self.assertEqual(figures.summarize([5, 1, 4, 2, 3]), (5, 3, 2, 4))
        self.assertEqual(figures.summarize([1, None, 3]).median, 2)
        self.assertIsNone(figures.summarize([None]))

    def test_a_ratio_is_that_of_the_medians(self):
        ratio = figures.ratio(side("a", 10, 30, 20), side("b", 10, 5, 40),
                              CEILING)
        self.assertEqual(ratio.value, 2)
        self.assertIsNone(ratio.refusal)

    def test_its_spread_is_of_rounds_that_both_have(self):
        ours = side("a", 20, 20, 20, 1)
        ratio = figures.ratio(ours, side("b", 10, 20, 40), CEILING)
        self.assertEqual((ratio.low, ratio.high), (0.75, 1.5))

    def test_each_frame_and_byte_has_to_arrive(self):
        said = {"sent": 10, "sent_bytes": 640}
        self.assertIsNone(figures.lost(said, 10, 640))
        self.assertIsNone(figures.lost(said, 10, None))
        self.assertIn("9 arrived", figures.lost(said, 9, 640))
        self.assertIn("11 arrived", figures.lost(said, 11, 640))
        self.assertIn("640 bytes that were sent 600 ",
                      figures.lost(said, 10, 600))

    def test_two_runs_have_no_ratio(self):
        self.refused("one run", side("a", 1, 1, 1),
                     side("b", 1, 1, 1, run="r2"))
        mixed = side("a", 1, 1, 1) + side("a", 1, 1, 1, run="r2")
        self.refused("one run", mixed, side("b", 1, 1, 1))

    def test_few_rounds_have_no_ratio(self):
        self.refused("2 rounds in common", side("a", 1, 1, 1),
                     side("b", 1, 1))

    def test_what_was_not_measured_has_no_ratio(self):
        self.refused("theirs was not measured", side("a", 1, 1, 1), [])
        self.refused("ours was not measured", [], side("b", 1, 1, 1))

    def test_who_drops_has_no_ratio(self):
        """One round is enough, and however fast he was."""
        bad = side("b", 90, 90) + [Sample("r1", 2, "w", "b", 90,
                                          fault="7 frames lost")]
        self.refused("theirs: 7 frames lost", side("a", 1, 1, 1), bad)
        self.refused("ours: 7 frames lost", bad, side("a", 1, 1, 1))

    def test_without_a_ceiling_there_is_none(self):
        other = side("ceiling", 100, 100, run="r2")
        broken = side("ceiling", 100, fault="lost")
        for ceiling in ([], other, broken):
            self.refused("ceiling was not measured", side("a", 2, 2, 2),
                         side("b", 1, 1, 1), ceiling)

    def test_the_generator_must_not_be_the_limit(self):
        slow = side("b", 10, 10, 10)
        self.refused("ours is at 86 %", side("a", 86, 86, 86), slow)
        self.refused("theirs is at 90 %", slow, side("b", 90, 90, 90))
        ratio = figures.ratio(side("a", 85, 85, 85), slow, CEILING)
        self.assertEqual(ratio.value, 8.5)

    def test_who_makes_his_load_himself_may_be_at_the_ceiling(self):
        slow, bare = side("b", 40, 40, 40), side("a", 99, 99, 99)
        self.refused("ours is at 99 %", bare, slow)
        ratio = figures.ratio(bare, slow, CEILING, excepted=("ours",))
        self.assertAlmostEqual(ratio.value, 2.475)
        self.assertIsNone(ratio.refusal)
        both = figures.ratio(bare, slow, [], excepted=("ours", "theirs"))
        self.assertIsNone(both.refusal)

    def test_without_a_load_nobody_asks_for_the_ceiling(self):
        ours, theirs = (
            [Sample("r1", n, "w", who, None, amount=amount) for n in range(3)]
            for who, amount in (("a", 3), ("b", 2)))
        self.assertEqual(
            figures.ratio(ours, theirs, None, field="amount").value, 1.5)

    def test_what_one_side_did_not_count_has_no_ratio(self):
        ratio = figures.ratio(side("a", 1, 1, 1, cycles=5),
                              side("b", 1, 1, 1), None, field="cycles")
        self.assertIn("not counted on both sides", ratio.refusal)

    def test_what_is_less_than_nothing_has_no_ratio(self):
        ours, theirs = (
            [Sample("r1", n, "w", who, None, amount=amount) for n in range(3)]
            for who, amount in (("a", 0.4), ("b", -0.1)))
        ratio = figures.ratio(ours, theirs, None, field="amount")
        self.assertIn("less than nothing", ratio.refusal)

    def test_who_had_to_wait_is_told(self):
        calm, ours = side("b", 1, 1, 1), side("a", 2, 2, 2, waited=0.1)
        self.assertIn("10 %", figures.ratio(ours, calm, CEILING).notes[0])
        self.assertIn("10 %", figures.ratio(calm, ours, CEILING).notes[0])
        self.assertEqual(figures.ratio(calm, calm, CEILING).notes, ())

    def test_a_figure_by_itself_wants_a_calm_machine(self):
        self.assertEqual(figures.calm(side("a", 1, 1, 1)), (True, ""))
        for waited, judged in ((0.1, True), (0.3, False)):
            self.assertEqual(figures.calm(side("a", 1, 1, 1, waited=waited)),
                             (judged, f"disturbed: {waited:.0%} of the time "
                              "others had the processor".replace("%", " %")))
        self.assertFalse(figures.calm(side("a", 1, 1))[0])
        self.assertFalse(figures.calm([])[0])
        self.assertFalse(figures.calm(side("a", 1, 1, 1, fault="lost"))[0])

    def test_rounds_of_two_speeds_are_left_out(self):
        """Near and far; and one in which it changed on the way."""
        ours, theirs = side("a", 60, 30, 60, 32, 58), side("b", 30, 30, 15, 16, 29)
        near, far, both = (30, 33), (170, 165), (30, 160)
        speeds = (near, near), (far, near), (near, both), (far, far), (near, near)
        ours, theirs = ([s._replace(line_ns=pair[n])
                         for s, pair in zip(samples, speeds)]
                        for n, samples in enumerate((ours, theirs)))
        ratio = figures.ratio(ours, theirs, None)
        self.assertEqual((ratio.value, ratio.low, ratio.high), (2, 2, 2))
        self.assertEqual(ratio.notes, ("of 3 rounds; 2 more left out, in which "
                                       "the machine changed its speed",))
        self.refused("2 rounds in common, 3 are needed; 2 more left out",
                     ours[:4], theirs[:4], None)

    def test_a_ceiling_is_that_of_the_same_speed(self):
        slow = [s._replace(line_ns=(170, 170))
                for s in side("a", 60, 60, 60)]
        ceiling = [s._replace(line_ns=(170 if s.round == 2 else 30,) * 2)
                   for s in side("ceiling", 200, 200, 62)]
        self.assertAlmostEqual(figures.headroom(slow, ceiling), 1 - 60 / 62)
        self.assertAlmostEqual(figures.headroom(slow, ceiling[:1]),
                               1 - 60 / 200)

    def test_a_busy_machine_has_no_ratio(self):
        calm, ours = side("b", 1, 1, 1), side("a", 2, 2, 2, waited=0.3)
        self.refused("disturbed: 30 %", ours, calm)
        self.refused("disturbed: 30 %", calm, ours)


if __name__ == "__main__":
    unittest.main()
