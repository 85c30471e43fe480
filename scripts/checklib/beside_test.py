# SPDX-License-Identifier: BSD-2-Clause
"""Stages that run beside others: what they are told, and what they tell."""

import contextlib
import io
import os
import sys
import unittest

from . import beside

SCRIPTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# a run-checks whose stages wait for what they are told
PROGRAM = f"""
import os, sys, time
sys.path.insert(0, {SCRIPTS!r})
from checklib import beside

class Run:
    child = None
    paused = False

def group():
    try:
        with open(beside.AUTOGROUP, encoding="ascii") as f:
            return " ".join(f.read().split()[1:])
    except OSError:
        return ""

run = Run()
beside.step_back()
beside.obey(run)
DONE = {{
    "at-once": lambda: True,
    "paused": lambda: run.paused,
    "resumed": lambda: not run.paused,
    "ends": sys.exit,
}}
for name in sys.argv[1:]:
    print("== " + name, flush=True)
    while not DONE[name]():
        time.sleep(0.01)
    beside.report(name, {{"idle": os.sched_getscheduler(0) ==
                          os.SCHED_IDLE, "group": group()}})
"""
# of its session, where there are such groups
LAST = "nice 19" if os.path.exists(beside.AUTOGROUP) else ""


class Beside(unittest.TestCase):
    def lane(self, *stages):
        lane = beside.Lane([sys.executable, "-c", PROGRAM], stages)
        self.addCleanup(lane.end)
        return lane

    def next(self, lane):
        """(stage, result, what was printed)."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            stage, result = lane.next()
        return stage, result, out.getvalue()

    def test_stages_come_in_their_order_with_what_they_say(self):
        lane = self.lane("at-once", "resumed")
        self.assertEqual(self.next(lane), (
            "at-once", {"stage": "at-once", "idle": True, "group": LAST},
            "== at-once\n"))
        self.assertEqual(self.next(lane)[0], "resumed")
        self.assertEqual(lane.pending, [])

    def test_it_stands_still_and_goes_on_when_told(self):
        lane = self.lane("paused", "resumed")
        lane.pause()
        self.assertEqual(self.next(lane)[0], "paused")
        lane.resume()
        self.assertTrue(self.next(lane)[1])

    def test_orders_are_followed_in_their_order(self):
        lane = self.lane("paused", "resumed")
        for order in (beside.HURRY, beside.RELAX, beside.RESUME, beside.PAUSE):
            lane.tell(order)
        said = self.next(lane)[1]
        self.assertTrue(said["idle"])
        self.assertEqual(said["group"], LAST)
        lane.tell(beside.RESUME)
        self.assertTrue(self.next(lane)[1])

    def test_one_that_ends_too_early_has_no_result(self):
        lane = self.lane("at-once", "ends", "at-once")
        self.assertTrue(self.next(lane)[1])
        self.assertEqual(self.next(lane)[1], None)
        lane.pause()
        self.assertEqual(self.next(lane)[1], None)


if __name__ == "__main__":
    unittest.main()
