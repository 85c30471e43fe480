# SPDX-License-Identifier: BSD-2-Clause
"""The table of reasons, read from the header that makes them."""

import re

from . import tree

HEADER = "include/guestwire/reason.h"
ROW = re.compile(r'X\(GW_\w+,\s*"(\w+)",\s*"([^"]*)"\)')


def table():
    """[(name, text)], in the order of the header."""
    return ROW.findall(tree.text(HEADER))
