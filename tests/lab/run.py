#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run the tests of the lab; --help says how, README.md what for."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# what both kinds of tests use is in tests/e2e/lib
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

from lablib import runner  # noqa: E402  (the path comes first)

if __name__ == "__main__":
    sys.exit(runner.main(HERE))
