# SPDX-License-Identifier: BSD-2-Clause
"""docs/matrix.md has the cells that the end-to-end tests have."""

import os
import subprocess
import sys

from . import tree

PAGE = "docs/matrix.md"
RUNNER = "tests/e2e/run.py"
LIBRARY = os.path.join(tree.ROOT, "tests", "e2e")


def check(_):
    sys.path.insert(0, LIBRARY)
    from lib import matrix  # pylint: disable=import-outside-toplevel
    there = matrix.parse(tree.text(PAGE))
    done = subprocess.run([sys.executable, os.path.join(tree.ROOT, RUNNER),
                           "--full", "--cells"], capture_output=True,
                          text=True, check=False)
    if done.returncode or not done.stdout:
        return [f"{RUNNER} --cells names none: {done.stderr[-200:]}"]
    tests = {matrix.Cell(*line.split("\t"))
             for line in done.stdout.splitlines()}
    complaints = []
    for cell in sorted(tests | set(there)):
        name = ", ".join(cell)
        if cell not in there:
            complaints.append(f"{PAGE}: no cell for {name}")
        elif cell not in tests:
            complaints.append(f"{PAGE}: no test has the cell {name}")
        elif there[cell] in matrix.BAD:
            complaints.append(f"{PAGE}: {name}: {there[cell]}")
    return complaints
