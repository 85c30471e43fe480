# SPDX-License-Identifier: BSD-2-Clause
"""Fairness under a slow egress that is a NIC: what fair.py measures, in the lab.

No machine has a NIC that is slow to order, and AF_XDP goes past all that the kernel
has for slowness. The lab has one (tests/lab/fairness_test.py): a host under
emulation, with three NICs that read guest memory by themselves, one of which takes
128 frames a second. Rates are far below those of fair.py; the figure is a share, and
does not know.
"""

import os
import re

from lib.proc import Failure, Skip, run

from .trial import absent, amount_of, told

TEST = "fairness_test::a_slow_nic"
# to boot, and seven periods of two seconds; guessed
TAKES_S = 45.0
TIMEOUT_S = 400
FIGURE = re.compile(r"others keep ([\d.]+) %")
RESULT = re.compile(rf"^(ok|FAIL|skip) +{TEST} [\d.]+ s +(.*)$", re.M)


def read(said):
    """Per cent, of what the lab says."""
    line = RESULT.search(said)
    if not line:
        raise Failure(f"the lab says nothing of {TEST}")
    if line[1] == "skip":
        raise Skip(line[2])
    # of several attempts the last is the one that counts
    figures = FIGURE.findall(line[2])
    if not figures:
        raise Failure(line[2])
    return float(figures[-1])


class Slow_nic:
    def check(self, bench, contestant, work):
        return None

    def check_s(self, _, __):
        return 0.0

    def measure_s(self, _, __):
        return TAKES_S

    def measure(self, bench, round_, contestant, work):
        sample, why = told(lambda: amount_of(self._ask(bench)))
        if why:
            return absent(bench, work, contestant, why, round_)
        return sample._replace(run=bench.run, round=round_, work=work.name,
                               who=contestant.name)

    @staticmethod
    def _ask(bench):
        program = os.path.join(bench.root, "tests", "lab", "run.py")
        # where there is no lab there is no figure, in CI, too
        env = {**os.environ, "GW_BUILD": os.path.abspath(bench.build), "CI": ""}
        return read(run([program, "-k", TEST], timeout_s=TIMEOUT_S,
                        may_fail=True, env=env).stdout)
