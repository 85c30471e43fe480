# SPDX-License-Identifier: BSD-2-Clause
"""Tables of documents come from results, and from nothing else."""

import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests", "e2e"))

from lib.proc import Failure  # noqa: E402

from . import document  # noqa: E402
from .report_test import COST, WORK, results  # noqa: E402

BEFORE, AFTER = "# Title\n\nwords\n\n", "\nmore words\n"


def page(*names):
    return BEFORE + "".join(f"<!-- bench: {name} -->\nold\n<!-- bench -->\n"
                            for name in names) + AFTER


def renewed(file, *names):
    return document.renew(page(*names), [file], "page.md")


class Renew(unittest.TestCase):
    def test_only_what_is_marked_is_replaced(self):
        text = renewed(results(), "targets", "machine")
        self.assertTrue(text.startswith(BEFORE))
        self.assertTrue(text.endswith(AFTER))
        self.assertNotIn("old", text)
        self.assertIn("abacus", text)

    def test_twice_is_once(self):
        once = renewed(results(), *document.TABLES)
        self.assertEqual(document.renew(once, [results()], "page.md"), once)

    def test_what_is_met_and_what_is_not(self):
        self.assertIn("| at least 1.5 | met |", renewed(results(), "targets"))
        self.assertIn("| **NOT MET** |",
                      renewed(results(ours=12), "targets"))

    def test_a_refusal_is_told(self):
        text = renewed(results(ours=95), "targets")
        self.assertIn(f"| {document.NOT_MEASURED} |", text)
        self.assertIn("generator", text)

    def test_a_limit_is_a_target(self):
        self.assertIn("| 40 ns |", renewed(results(works=[COST]), "targets"))

    def test_without_a_target_it_is_elsewhere(self):
        free = results(works=[{**WORK, "against": {"peer": None}}])
        self.assertNotIn("3.00", renewed(free, "targets"))
        self.assertIn("3.00", renewed(free, "ratios"))

    def test_a_summary_has_a_peer_of_the_same_run(self):
        file = results(works=[{**WORK, "name": "null-64",
                               "against": {"dpdk": 1.2}}])
        for sample in file["samples"]:
            sample["work"] = "null-64"
            sample["who"] = sample["who"].replace("peer", "dpdk")
        file["contestants"][1]["name"] = "dpdk"
        self.assertIn("| a work | 30.0 M frames/s | dpdk | 10.0 M frames/s "
                      "| 3.00 |", renewed(file, "summary"))
        self.assertIn("None.", renewed(results(), "summary"))

    def test_a_peer_that_takes_less_than_nothing(self):
        work = {**WORK, "name": "idle", "figure": "amount", "load": False,
                "unit": "MiB", "against": {"dpdk": None}}
        file = results(works=[work])
        for sample in file["samples"]:
            ours = sample["who"] == "us"
            sample.update(work="idle", who="us" if ours else "dpdk",
                          amount=0.5 if ours else -0.01)
        file["contestants"][1]["name"] = "dpdk"
        self.assertIn("| a work | 0.50 MiB | dpdk | nothing | - |",
                      renewed(file, "summary"))

    def test_a_curve_by_size(self):
        text = renewed(results(works=[{**WORK, "curve": "break-read"}]),
                       "break-read")
        self.assertIn("| 64 B | 40 (40..40) | 40 (40..40) |", text)

    def test_nothing_to_show_is_said(self):
        self.assertIn("None.", renewed(results(), "break-veth"))

    def test_a_name_that_is_none(self):
        with self.assertRaisesRegex(Failure, "no table 'x'; there are"):
            renewed(results(), "x")

    def test_a_page_without_a_place(self):
        with self.assertRaisesRegex(Failure, "page.md"):
            document.renew(BEFORE, [results()], "page.md")


if __name__ == "__main__":
    unittest.main()
