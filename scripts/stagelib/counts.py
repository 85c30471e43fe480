# SPDX-License-Identifier: BSD-2-Clause
"""How many passed, failed and were skipped: what each stage returns."""

import collections
import re

COUNT = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")


class Counts(collections.namedtuple("Counts", "passed failed skipped",
                                    defaults=(0, 0, 0))):
    def __add__(self, other):
        return Counts(*(a + b for a, b in zip(self, other)))

    def __str__(self):
        return (f"{self.passed} passed, {self.failed} failed, "
                f"{self.skipped} skipped")


PASSED, FAILED, SKIPPED = Counts(passed=1), Counts(failed=1), Counts(skipped=1)


def last_count(status, output):
    """The counts in the last line of a runner's output."""
    for line in reversed(output.splitlines()):
        match = COUNT.match(line.strip())
        if match:
            counts = Counts(*(int(n or 0) for n in match.groups()))
            # a runner that fails without a failed test has failed itself
            return counts if not status or counts.failed else counts + FAILED
    return FAILED
