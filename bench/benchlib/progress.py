# SPDX-License-Identifier: BSD-2-Clause
"""How far a run is, and how long it will take still.

Each step has a guess of its seconds beforehand; what steps really took corrects
all guesses that are left. Pure, but for what Line writes to a terminal.
"""

import sys
import time

# so many seconds of guesses are believed as much as so many of the run
BELIEF_S = 60.0
CLEAR = "\r\033[K"


def span_text(seconds):
    if seconds < 90:
        return f"{max(10 * round(seconds / 10), 10)} s"
    return f"{round(seconds / 60)} min"


class Progress:
    """Of what was guessed: all of it, and what is behind us."""

    def __init__(self, guessed_s, now=time.monotonic):
        self.total_s, self.done_s = guessed_s, 0.0
        self.now, self.start_s = now, now()

    def done(self, guessed_s):
        self.done_s += guessed_s

    def took_s(self):
        return self.now() - self.start_s

    def left_s(self):
        slower = (self.took_s() + BELIEF_S) / (self.done_s + BELIEF_S)
        return max(self.total_s - self.done_s, 0.0) * slower


class Line:
    """The last line of a terminal, which says what goes on; nothing if it is
    none."""

    def __init__(self, out=sys.stderr):
        self.out = out if out.isatty() else None

    def show(self, text):
        if self.out:
            print(CLEAR + text, end="", file=self.out, flush=True)

    def clear(self):
        self.show("")
