# SPDX-License-Identifier: BSD-2-Clause
"""The seed of the short fuzzer runs: what it follows from."""

import os
import unittest

from . import fuzz_seed, tree

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

    def test_it_follows_what_fuzzers_are_built_from_alone(self):
        for name in ("src/port/desk.c", "src/virtio/meson.build",
                     "include/guestwire/driver.h", "drivers/guest/lender.c",
                     "apps/guestwired/daemon_config.c", "tests/mock/vm.c",
                     "tests/fuzz/ring_rig.c", "tests/fuzz/corpus/session/a"):
            self.assertTrue(fuzz_seed.is_source(name), name)
        for name in ("README.md", "docs/performance.md", "drivers/xdp/README.md",
                     "scripts/check", "src/port/desk_test.c", "bench/spread.c",
                     "tests/e2e/frames_test.py", "apps/guestwire-guest/chain_layout.c"):
            self.assertFalse(fuzz_seed.is_source(name), name)

    def test_each_folder_has_some(self):
        for folder in fuzz_seed.FOLDERS:
            self.assertTrue(any(name.startswith(folder) and
                                fuzz_seed.is_source(name)
                                for name in tree.files()), folder)

    def test_the_tree_is_read(self):
        names = [name for name in tree.files() if fuzz_seed.is_source(name)]
        contents = []
        for name in names:
            with open(os.path.join(tree.ROOT, name), "rb") as f:
                contents.append((name, f.read()))
        self.assertEqual(fuzz_seed.of_tree(), fuzz_seed.of(contents))

    def test_none_of_them_means_any(self):
        for n in range(1000):
            seed = fuzz_seed.of([("n", b"%d" % n)])
            self.assertTrue(0 < seed < 2**32, seed)


if __name__ == "__main__":
    unittest.main()
