#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run the end-to-end tests of this folder; --help says how."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from lib import run  # noqa: E402  (the path comes first)

if __name__ == "__main__":
    sys.exit(run.main(HERE))
