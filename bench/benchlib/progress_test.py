# SPDX-License-Identifier: BSD-2-Clause
"""What a run says of the time that it will take."""

import io
import unittest

from .progress import CLEAR, Line, Progress, span_text


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Left(unittest.TestCase):
    def setUp(self):
        self.clock = Clock()
        self.progress = Progress(600, self.clock)

    def step(self, guessed_s, took_s):
        self.progress.done(guessed_s)
        self.clock.now_s += took_s

    def test_at_first_the_guess_is_all_there_is(self):
        self.assertEqual(self.progress.left_s(), 600)

    def test_who_keeps_to_it_is_believed(self):
        self.step(200, 200)
        self.assertEqual(self.progress.left_s(), 400)

    def test_a_slower_machine_takes_longer(self):
        self.step(300, 600)
        self.assertGreater(self.progress.left_s(), 450)
        self.assertLess(self.progress.left_s(), 600)

    def test_one_slow_step_is_no_rule(self):
        self.step(1, 10)
        self.assertLess(self.progress.left_s(), 720)

    def test_nothing_is_left_of_what_was_guessed_too_short(self):
        self.step(700, 700)
        self.assertEqual(self.progress.left_s(), 0)


class Text(unittest.TestCase):
    def test_spans(self):
        self.assertEqual([span_text(s) for s in (0, 14, 89, 90, 1234)],
                         ["10 s", "10 s", "90 s", "2 min", "21 min"])

    def test_the_line_is_for_terminals(self):
        pipe, terminal = io.StringIO(), Terminal()
        for out in (pipe, terminal):
            Line(out).show("dpdk")
        self.assertEqual((pipe.getvalue(), terminal.getvalue()),
                         ("", CLEAR + "dpdk"))


if __name__ == "__main__":
    unittest.main()
