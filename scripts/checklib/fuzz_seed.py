# SPDX-License-Identifier: BSD-2-Clause
"""The seed of the short fuzzer runs: one for each code, and always the same.

With a seed of its own each time, a run would now and then find what has been
there for long, and whoever changed something else would be told. So the seed
follows from what the fuzzers are built from, and from what they begin with; it
stays when a document, a script or another test changes. What is tried then is
much the same each time, on any machine: a faster one goes further, and clocks
and heap addresses that the code under test compares come in. scripts/fuzz-long
hunts with a new seed each time.
"""

import hashlib
import os

from . import tree

# of libFuzzer's -seed=, where 0 means: any
SEEDS = 2**32 - 1

FOLDERS = ("apps/guestwired/", "drivers/", "include/", "src/", "tests/fuzz/",
           "tests/mock/")
OF_OTHERS = ("_test.c", ".md")


def is_source(name):
    """Whether fuzzers are built from it, or begin with it."""
    return name.startswith(FOLDERS) and not name.endswith(OF_OTHERS)


def of(sources):
    """The seed of [(name, bytes)]."""
    everything = hashlib.sha256()
    for name, content in sorted(sources):
        for part in (os.fsencode(name), content):
            everything.update(hashlib.sha256(part).digest())
    return int.from_bytes(everything.digest()[:8], "big") % SEEDS + 1


def _content(name):
    with open(os.path.join(tree.ROOT, name), "rb") as f:
        return f.read()


def of_tree():
    """By what the files say, committed or not."""
    return of((name, _content(name)) for name in tree.files()
              if is_source(name))
