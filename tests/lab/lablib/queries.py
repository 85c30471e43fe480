# SPDX-License-Identifier: BSD-2-Clause
"""What drivers are asked and what they answer, as `guestwire trace` tells it."""

import json

from lib.proc import Failure, check

from .host import CONTROL

BEGIN_TIMEOUT_S = 20
END_TIMEOUT_S = 20


class Queries:
    """A trace that begins now and ends with the daemon."""

    def __init__(self, lab):
        self.process = lab.spawn(["guestwire", "--control", CONTROL, "trace",
                                  "--queries", "--json"], "queries")
        self.process.wait_line('"begin"', BEGIN_TIMEOUT_S)
        self._events = None

    def events(self):
        """All of them, once the daemon has ended."""
        if self._events is None:
            check(self.process.wait(END_TIMEOUT_S) == 0,
                  f"the trace: {self.process.err.tail()}")
            self._events = [json.loads(line) for line in
                            self.process.out.text().splitlines()]
            if any(e["event"] == "lost" for e in self._events):
                raise Failure(f"events were lost: {self._events}")
        return self._events

    def of(self, source, egress):
        """Those about frames from one port to another."""
        return [e for e in self.events()
                if (e.get("source"), e.get("egress")) == (source, egress)]
