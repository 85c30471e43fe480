# SPDX-License-Identifier: BSD-2-Clause
"""What is said at the end of a run, tried on logs with a failure in them."""

import base64
import os
import re
import tempfile
import unittest

from . import telling

CHATTER = "".join(f"#{n}\tNEW    cov: {n} ft: 9 L: 3/9 MS: 1 EraseBytes-\n"
                  for n in range(500))
OVERFLOW = """==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x60
READ of size 1 at 0x60 thread T0
    #0 0x55 in memcpy (/build/check/asan/tests/fuzz/x+0x9)
    #1 0x56 in take /build/check/asan/../../src/virtio/ring_split.c:40:3
    #2 0x57 in fuzzer::Fuzzer::ExecuteCallback (/build/x_libfuzzer+0x4)
SUMMARY: AddressSanitizer: heap-buffer-overflow ring_split.c:40:3 in take
"""
RUNNER = """$ tests/e2e/run.py
late a_test::slow 2.0 s  failed beside another test, is repeated alone
     Traceback: of no interest
ok   a_test::slow 2.5 s
FAIL a_test::bad[xdp] 1.5 s  no answer
     Traceback (most recent call last):
     lib.proc.Failure: no answer
ok   a_test::good 31.0 s  12 frames
     FAIL is a word in a line of a good test
1 passed, 1 failed, 0 skipped
"""
NINJA = """[1/9] Compiling C object a.o
[2/9] Compiling C object b.o
FAILED: b.o
../src/b.c:3:1: error: unknown type name 'itn'
ninja: build stopped: subcommand failed.
"""


class Telling(unittest.TestCase):
    def with_input(self, size):
        """(the failure of a fuzzer, the input that it left)."""
        data = os.urandom(size)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "crash-12ab")
            with open(path, "wb") as f:
                f.write(data)
            output = (CHATTER + OVERFLOW + "artifact_prefix='x'; "
                      f"Test unit written to {path}\nBase64: AAAA\n")
            return telling.fuzzer("x", "asan/x_fuzz", output), data

    def test_a_fuzzer_says_its_input_and_how_to_have_it_again(self):
        failure, data = self.with_input(1000)
        echo = re.match(r"echo (\S+) \| base64 -d > x\.input$",
                        failure.lines[0])
        self.assertEqual(base64.b64decode(echo.group(1)), data)
        self.assertEqual(failure.lines[1], "replay: asan/x_fuzz x.input")

    def test_a_fuzzer_says_what_the_sanitizer_said(self):
        failure, _ = self.with_input(3)
        text = "\n".join(failure.lines)
        for words in ("ERROR: AddressSanitizer", "ring_split.c:40:3", "SUMMARY"):
            self.assertIn(words, text)
        for words in ("NEW", "ExecuteCallback", "memcpy", "/../"):
            self.assertNotIn(words, text)

    def test_a_long_input_stays_in_its_file(self):
        failure, _ = self.with_input(telling.INPUT_MAX_BYTES + 1)
        self.assertRegex(failure.lines[0], r"4097 bytes; replay: .*crash-12ab")

    def test_a_fuzzer_that_left_nothing_says_so(self):
        failure = telling.fuzzer("x", "asan/x_fuzz", CHATTER)
        self.assertIn("no input", failure.lines[0])
        self.assertEqual(len(failure.lines), telling.LINES_MAX)

    def test_of_a_runner_only_what_failed_is_named(self):
        failures = telling.blocks(RUNNER)
        self.assertEqual([f.name for f in failures],
                         ["a_test::bad[xdp] 1.5 s  no answer"])
        self.assertEqual(failures[0].lines[-1], "lib.proc.Failure: no answer")
        self.assertEqual(len(failures[0].lines), 2)

    def test_the_slowest_comes_first(self):
        self.assertEqual(telling.slowest(telling.durations(RUNNER)),
                         "a_test::good 31 s, a_test::slow 2 s")

    def test_a_compiler_is_quoted(self):
        lines = telling.complaints(NINJA)
        self.assertEqual(len(lines), 3)
        self.assertIn("unknown type name", lines[1])

    def test_much_is_cut_in_the_middle(self):
        lines = telling.bounded([f"{n}" for n in range(100)], 10)
        self.assertEqual(len(lines), 10)
        self.assertEqual((lines[0], lines[-1]), ("0", "99"))
        self.assertIn("... 91 lines ...", lines)

    def test_after_many_failures_only_names(self):
        said = []
        telling.show({"e2e": [telling.Failure(str(n), ["line"])
                              for n in range(20)]}, said.append)
        self.assertEqual(said.count("  | line"), telling.TOLD_MAX)
        self.assertEqual(sum(s.startswith("FAILED e2e: ") for s in said), 20)


if __name__ == "__main__":
    unittest.main()
