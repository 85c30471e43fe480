# SPDX-License-Identifier: BSD-2-Clause
"""The tables of what is measured fit to those who are to measure it."""

import os
import sys
import unittest
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests", "e2e"))

from . import (fair, figures, loads, rest, sinks,  # noqa: E402
               trial, virtio_user, works)


class Works(unittest.TestCase):
    def setUp(self):
        self.contestants = {c.name: c for c in works.CONTESTANTS}
        self.loads = [w for w in works.WORKS if w.sink]

    def test_names_are_names_of_one(self):
        for table in (works.WORKS, works.CONTESTANTS):
            names = [row.name for row in table]
            self.assertEqual(len(names), len(set(names)))

    def test_who_is_compared_is_there(self):
        for work in works.WORKS:
            self.assertLessEqual(set(work.against), set(self.contestants))
            self.assertNotIn(works.OURS, work.against)

    def test_who_takes_part_has_the_sink(self):
        for work in self.loads:
            self.assertIn(work.sink, sinks.CHECKED_BY)
            for name in (works.OURS, *work.against):
                has = self.contestants[name].back_end.SINKS
                self.assertIn(work.sink, has, (work.name, name))
                if not self.contestants[name].own_load:
                    self.assertIn(sinks.CHECKED_BY[work.sink], has)
            self.assertIn(work.sink, works.CEILING.back_end.SINKS)

    def test_figures_are_fields_of_samples(self):
        for work in works.WORKS:
            self.assertIn(work.figure, figures.Sample._fields)
            self.assertEqual(work.figure == "amount", not work.sink)

    def test_what_is_measured_together_says_how_long_it_takes(self):
        bench = trial.Bench("", "", "run", (0, 1), 1.0, 0.5)
        bench.works = works.WORKS
        for work in works.WORKS:
            for name in (works.OURS, *work.against):
                self.assertGreater(trial.guessed_s(
                    bench, work, self.contestants[name], "measure_s"), 0)
        kin = [w for w in works.WORKS if isinstance(w.trial, rest.Resting)]
        start_s = sum(w.trial.measure_s(bench, None) - w.trial.AMOUNT_S
                      for w in kin)
        self.assertAlmostEqual(start_s, rest.Resting.STARTS_S)

    def test_who_has_rings_that_were_filled(self):
        for work in works.WORKS:
            table = getattr(work.trial, "setups", None) or \
                getattr(work.trial, "programs", None)
            if table:
                self.assertEqual({works.OURS, *work.against}, set(table))

    def test_who_is_compared_by_fairness_has_a_site(self):
        for work in works.WORKS:
            if isinstance(work.trial, fair.Fair):
                for name in (works.OURS, *work.against):
                    self.assertIn(self.contestants[name].back_end, fair.SITES)

    def test_only_frames_that_are_missing_are_sent_again(self):
        lost, down = f"{trial.NOT_INTACT}: 1", "does not start: 2"
        for said, count in (([None], 1), ([lost, None], 2), ([lost, lost], 2),
                            ([down], 1)):
            with mock.patch.object(trial, "broken_once", side_effect=said) as m:
                self.assertEqual(trial.broken(None, None, None), said[-1])
                self.assertEqual(m.call_count, count)

    def test_some_of_each_kind_are_quick(self):
        kinds = {w.name.partition("-")[0] for w in works.WORKS if w.quick}
        self.assertLessEqual({"null", "veth", "pass", "fair"}, kinds)

    def test_memory_has_room_for_both_rings(self):
        for work in self.loads:
            slots = 2 * loads.ring_size(work) * (work.size + 12)
            self.assertGreater(loads.memory_mib(work) << 20, slots)

    def test_pieces_of_a_frame(self):
        self.assertEqual([virtio_user.pieces(n) for n in (64, 1518, 3100, 9000)],
                         ["64", "1518", "1500,1500,100",
                          ",".join(["1500"] * 6)])


if __name__ == "__main__":
    unittest.main()
