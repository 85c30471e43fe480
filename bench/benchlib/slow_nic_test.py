# SPDX-License-Identifier: BSD-2-Clause
"""What the lab says of its slow NIC, and how it is read."""

import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests", "e2e"))

from lib.proc import Failure, Skip  # noqa: E402

from . import slow_nic  # noqa: E402

LINE = "{} " + slow_nic.TEST + " 31.5 s  {}\n"
KEPT = "others keep 98.4 % of their rate (97.9 to 100)"


class Read(unittest.TestCase):
    def test_a_figure(self):
        for result, text in (
                ("ok  ", KEPT), ("FAIL", KEPT),
                ("ok  ", f"(attempt 2 of 3: too slow), {KEPT}; more"),
                ("ok  ", f"(attempt 2 of 3: others keep 40.0 %), {KEPT}")):
            said = LINE.format(result, text) + "1 passed, 0 failed\n"
            self.assertEqual(slow_nic.read(said), 98.4)

    def test_no_lab(self):
        with self.assertRaisesRegex(Skip, "no kernel"):
            slow_nic.read(LINE.format("skip", "no kernel could be fetched"))

    def test_no_figure(self):
        with self.assertRaisesRegex(Failure, "busy"):
            slow_nic.read(LINE.format("FAIL", "busy") + f"     {KEPT}\n")
        with self.assertRaises(Failure):
            slow_nic.read("")

    def test_the_lab_has_it(self):
        file, _, name = slow_nic.TEST.partition("::")
        path = os.path.join(ROOT, "tests", "lab", f"{file}.py")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.assertIn(f"def test_{name}(", text)
        self.assertIn("others keep {median", text)


if __name__ == "__main__":
    unittest.main()
