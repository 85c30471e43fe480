# SPDX-License-Identifier: BSD-2-Clause
"""The seed of the short fuzzer runs: what it follows from."""

import unittest

from . import fuzz_seed

SOURCES = [("a.c", b"int a;\n"), ("b.c", b"int b;\n")]


class FuzzSeed(unittest.TestCase):
    def test_the_same_tree_has_the_same_seed(self):
        seed = fuzz_seed.of(SOURCES)
        # known, so that neither the machine nor the version of anything is in it
        self.assertEqual(seed, 162929299)
        self.assertEqual(seed, fuzz_seed.of(reversed(SOURCES)))
        self.assertEqual(fuzz_seed.of_tree(), fuzz_seed.of_tree())

    def test_another_tree_has_another(self):
        others = ([("a.c", b"int a;\n"), ("b.c", b"int c;\n")],
                  [("a.c", b"int a;\n"), ("c.c", b"int b;\n")],
                  [("a.ci", b"nt a;\n"), ("b.c", b"int b;\n")],
                  SOURCES[:1], [])
        seeds = {fuzz_seed.of(sources) for sources in (SOURCES, *others)}
        self.assertEqual(len(seeds), 1 + len(others))

    def test_none_of_them_means_any(self):
        for n in range(1000):
            seed = fuzz_seed.of([("n", b"%d" % n)])
            self.assertTrue(0 < seed < 2**32, seed)


if __name__ == "__main__":
    unittest.main()
