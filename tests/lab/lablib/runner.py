# SPDX-License-Identifier: BSD-2-Clause
"""Find the tests, boot a lab for them, run them in it, say what came.

A file says what host its tests share (`lab`, one of hosts.py), and has functions
`test_*(lab)`. Files with the same host run in the same boot. A host that a test has failed on is not used again: the next
test gets a new one. Everything here is bounded: each test by an alarm, each
wait in it by a deadline of its own; and QEMU dies with us, however we end.
"""

import argparse
import contextlib
import itertools
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback

from lib import run as e2e
from lib.proc import Skip
from lib.scenario import Test

from . import image

# on two idle cores a test takes 3 to 8 s, and a boot 6
DEADLINE_S = 180
BOOT_DEADLINE_S = 150
LOG_LINES = 25


class Overdue(Exception):
    """A test's time is over."""


@contextlib.contextmanager
def alarm(seconds):
    def late(*_):
        raise Overdue(f"not done after {seconds} s")
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def is_ci():
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


class Bench:
    """A host that tests share: booted when one wants it."""

    def __init__(self, make, root, keep):
        self.make = make
        self.root = root
        self.keep = keep
        self.test = None
        self.host = None
        self.folder = None

    def ready(self):
        if self.host and self.host.alive():
            return self.host
        self.close()
        self.folder = tempfile.mkdtemp(prefix="gw-lab-")
        self.test = Test(self.folder, os.environ.get("GW_BUILD"), self.root)
        host = self.make(self.test)
        with alarm(BOOT_DEADLINE_S):
            host.start()
        self.host = host
        return host

    def last_words(self):
        """Of what runs in the lab, and its kernel; best effort."""
        lines = []
        with contextlib.suppress(Exception), alarm(15):
            for process in self.host.processes:
                lines += [f"{process.name}:", process.err.tail()]
            lines += ["kernel:", self.host.run("dmesg | tail -n 15").output]
        return "\n".join(lines)

    def close(self, keep=False):
        self.host = None
        if self.test:
            self.test.__exit__(None, None, None)
            self.test = None
        if self.folder and keep:
            print(f"     its files: {self.folder}")
        elif self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = None


class Runner:
    def __init__(self, root, keep):
        self.root = root
        self.keep = keep
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}

    def report(self, result, test_id, seconds, text, details=""):
        self.counts[result] += 1
        first = text.splitlines()[0] if text else ""
        print(f"{result:4} {test_id} {seconds:.1f} s"
              f"{'  ' + first if first else ''}", flush=True)
        if result == "FAIL":
            for line in (text + "\n" + details).splitlines():
                print("     " + line)

    def run_one(self, bench, test_id, function, arguments):
        started = time.monotonic()
        result, text, details = "ok", "", ""
        try:
            host = bench.ready()
            with alarm(getattr(function, "deadline_s", DEADLINE_S)):
                host.begin()
                bench.test.notes.clear()
                function(host, **arguments)
            text = ", ".join(bench.test.notes)
        except Skip as e:
            result, text = "skip", str(e)
        except Exception as e:  # pylint: disable=broad-except
            result, text = "FAIL", str(e) or type(e).__name__
            notes = bench.test.notes if bench.test else []
            details = "\n".join([*notes, traceback.format_exc(),
                                 bench.last_words()])
        self.report(result, test_id, time.monotonic() - started, text, details)
        if result == "FAIL":
            bench.close(self.keep)

    def run(self, modules):
        """Files that share a host come one after the other."""
        modules = sorted(modules, key=lambda m: m[0].lab.__name__)
        for _, group in itertools.groupby(modules, lambda m: m[0].lab):
            self.run_group(list(group))

    def run_group(self, modules):
        bench = Bench(modules[0][0].lab, self.root, self.keep)
        try:
            for _, tests in modules:
                for test_id, (function, arguments) in tests.items():
                    self.run_one(bench, test_id, function, arguments)
        finally:
            bench.close()

    def lacking(self, modules, reason):
        """Nothing to boot: each test says so, and in CI that is a failure."""
        for _, tests in modules:
            for test_id in tests:
                self.report("FAIL" if is_ci() else "skip", test_id, 0, reason)


def discover(folder, words):
    """[(module, {test id: (function, arguments)})] of what was asked for."""
    found = []
    for file in sorted(os.listdir(folder)):
        if not file.endswith("_test.py"):
            continue
        name, module = e2e.load(os.path.join(folder, file))
        tests = {}
        for key, function in vars(module).items():
            if not key.startswith("test_") or not callable(function):
                continue
            if not e2e.scenario.in_tier(function):
                continue
            for suffix, arguments in e2e.scenario.expand(function):
                test_id = f"{name}::{key[5:]}{suffix}"
                if e2e.matches(test_id, words):
                    tests[test_id] = function, arguments
        if tests:
            found.append((module, tests))
    return found


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Run the tests of the lab: NICs under QEMU that send "
        "from guest memory.",
        epilog="GW_BUILD: the folder with guestwired, guestwire and "
        "guestwire-guest. GW_CACHE: where the kernel and QEMU are kept. "
        "Without them tests are skipped, and with CI=true they fail. "
        "GW_TIER: quick (default) or full, which has the long tests too. "
        "An ordinary user gets a user and network namespace.")
    parser.add_argument("-k", metavar="WORD", action="append", default=[],
                        help="only tests whose name contains WORD")
    parser.add_argument("--full", action="store_true",
                        help="the long tests too: as GW_TIER=full")
    parser.add_argument("--list", action="store_true", help="name the tests")
    parser.add_argument("--keep", action="store_true",
                        help="keep the files of tests that fail")
    return parser.parse_args()


def main(folder):
    options = parse_arguments()
    if options.full:
        os.environ["GW_TIER"] = "full"
    root = os.path.dirname(os.path.dirname(folder))
    modules = discover(folder, options.k)
    if options.list:
        print("\n".join(t for _, tests in modules for t in tests))
        return 0
    e2e.become_root()
    e2e.raise_on_signals()
    runner = Runner(root, options.keep)
    try:
        image.fetch(root)
        runner.run(modules)
    except image.Missing as e:
        runner.lacking(modules, str(e).rpartition("\n")[2])
    except e2e.Terminated as e:
        print(f"ended by {e}", file=sys.stderr)
        return 128 + signal.Signals[str(e)]
    counts = runner.counts
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, "
          f"{counts['skip']} skipped")
    return 1 if counts["FAIL"] or not modules else 0
