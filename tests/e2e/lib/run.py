# SPDX-License-Identifier: BSD-2-Clause
"""Run tests: find them, give each a process and a deadline, say what came.

Each test runs in a process of its own, in a session of its own: a fork of
this one, which has all tests loaded (to load them again for each takes longer
than many a test). When its time is over it is asked to end (it then cleans up
as after any failure) and killed if it does not; all that it started dies with
it. The folder of a test is ours, and goes when the test has gone, unless --keep
says otherwise.

Who may take the longest starts first, so that at the end no single test is
waited for. Its deadline says who that is.
"""

import argparse
import ctypes
import fnmatch
import importlib.util
import json
import multiprocessing
import os
import random
import re
import selectors
import shutil
import signal
import sys
import tempfile
import time
import traceback

from . import matrix, scenario
from .proc import Skip

GRACE_S = 5
PR_SET_PDEATHSIG = 1
# scripts/run-checks lets nothing run beside what comes after this line
ALONE = "-- alone"
FORK = multiprocessing.get_context("fork")
FINDING = re.compile(r"(ERROR|WARNING|SUMMARY): \w+Sanitizer|: runtime error: ")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Terminated(BaseException):
    """We were asked to end."""


def raise_on_signals():
    def handler(number, _):
        for n in SIGNALS:
            signal.signal(n, signal.SIG_IGN)
        raise Terminated(signal.Signals(number).name)
    for n in SIGNALS:
        signal.signal(n, handler)


# finding tests

def load(path):
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return name, module


def discover(folder):
    """{test id: (function, keyword arguments)}, in the order of the files."""
    tests = {}
    for file in sorted(os.listdir(folder)):
        if not file.endswith(".py") or file == "run.py":
            continue
        name, module = load(os.path.join(folder, file))
        for key, function in vars(module).items():
            if not key.startswith("test_") or not callable(function):
                continue
            if not scenario.in_tier(function):
                continue
            for suffix, arguments in scenario.expand(function):
                tests[f"{name}::{key[5:]}{suffix}"] = function, arguments
    return tests


def matches(test_id, words):
    return not words or any(
        fnmatch.fnmatchcase(test_id, "*" + w.replace("[", "[[]") + "*")
        for w in words)


# one test, in its own process

def call(function, test, arguments):
    """What the processes have said is known only while they are there."""
    try:
        function(test, **arguments)
    except Skip:
        raise
    except BaseException:
        print(test.stories())
        raise


def begin_process(log):
    """What a program started by exec would have: and who ends us, ends it."""
    raise_on_signals()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != FORK.parent_process().pid:
        os._exit(1)  # it died before that
    os.setsid()
    for stream in (1, 2):
        os.dup2(log, stream)
    random.seed()


def run_one(chosen, folder, root, log, result_fd):
    begin_process(log)
    function, arguments = chosen
    outcome = {"result": "ok", "text": ""}
    notes = []
    try:
        build = os.environ.get("GW_BUILD")
        with scenario.Test(folder, build, root) as test:
            notes = test.notes
            call(function, test, arguments)
            outcome["cell"] = test.cell_text
    except Skip as e:
        outcome = {"result": "skip", "text": str(e)}
    except Terminated as e:
        outcome = {"result": "FAIL", "text": f"ended by {e}"}
        traceback.print_exc()
    except Exception as e:  # pylint: disable=broad-except
        outcome = {"result": "FAIL", "text": str(e) or type(e).__name__}
        traceback.print_exc()
    if outcome["result"] == "ok":
        outcome["text"] = ", ".join(notes)
    elif notes:
        print("so far:", ", ".join(notes))
    os.write(result_fd, json.dumps(outcome).encode())


class Child:
    """One test that runs."""

    def __init__(self, root, test_id, test):
        self.id = test_id
        self.folder = tempfile.mkdtemp(prefix="gw-e2e-")
        self.log = open(os.path.join(self.folder, "log"), "w+b")
        self.deadline_s = scenario.deadline_of(test[0])
        self.started = time.monotonic()
        self.asked = None
        self.cell_text = None
        self.pipe, write_end = os.pipe()
        self.process = FORK.Process(
            target=run_one, args=(test, self.folder, root, self.log.fileno(),
                                  write_end))
        self.process.start()
        os.close(write_end)

    def seconds(self):
        return time.monotonic() - self.started

    def enforce(self):
        """Ask, then force, a test to end whose time is over."""
        late = self.seconds() - self.deadline_s
        if late > 0 and self.asked is None:
            self.asked = time.monotonic()
            self.process.terminate()
        elif self.asked and time.monotonic() - self.asked > GRACE_S:
            self.process.kill()

    def end(self):
        """Ask and force at once: the whole run is over."""
        self.process.terminate()
        self.process.join(GRACE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def outcome(self):
        """After the end: (result, text)."""
        self.process.join()
        data = b""
        while True:
            part = os.read(self.pipe, 65536)
            if not part:
                break
            data += part
        if self.asked:
            return "FAIL", f"not done after {self.deadline_s} s"
        try:
            outcome = json.loads(data)
            self.cell_text = outcome.get("cell")
            return outcome["result"], outcome["text"]
        except ValueError:
            return "FAIL", ("the test process ended with "
                            f"{self.process.exitcode}")

    def read_log(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace").rstrip()

    def has_finding(self):
        """A sanitizer's is true however busy the machine was."""
        return FINDING.search(self.read_log()) is not None

    def close(self, keep):
        os.close(self.pipe)
        self.log.close()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)


# all tests

class Runner:
    def __init__(self, root, tests, options):
        self.root = root
        self.tests = tests
        self.options = options
        self.running = {}
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}
        self.cells = {}
        self.beside = False     # tests run side by side now
        self.again = []

    def report(self, child):
        result, text = child.outcome()
        if result == "FAIL" and self.beside and not child.has_finding():
            # whose fault it was, is seen when nothing else runs
            self.again.append(child.id)
            print(f"late {child.id} {child.seconds():.1f} s  failed beside "
                  "another test, is repeated alone", flush=True)
            for line in child.read_log().splitlines()[-12:]:
                print("     " + line)
            child.close(self.options.keep)
            return
        self.counts[result] += 1
        cell = matrix.cell_of(*self.tests[child.id])
        if cell:
            self.cells[cell] = matrix.text_of(cell, result, child.cell_text)
        first = text.splitlines()[0] if text else ""
        detail = f"  {first}" if first else ""
        print(f"{result:4} {child.id} {child.seconds():.1f} s{detail}",
              flush=True)
        keep = self.options.keep and result == "FAIL"
        if result == "FAIL":
            for line in child.read_log().splitlines():
                print("     " + line)
            if keep:
                print(f"     its files: {child.folder}")
        child.close(keep)

    def run(self, ids):
        """Side by side, and then those that want the machine for themselves."""
        if self.options.jobs > 1:
            ids = sorted(ids, key=lambda i: -scenario.deadline_of(
                self.tests[i][0]))
        alone = [i for i in ids if getattr(self.tests[i][0], "alone", False)]
        self.beside = self.options.jobs > 1
        self.run_some([i for i in ids if i not in alone], self.options.jobs)
        self.beside = False
        if self.again + alone:
            print(ALONE, flush=True)
        self.run_some(self.again + alone, 1)

    def run_some(self, waiting, jobs):
        with selectors.DefaultSelector() as selector:
            while waiting or self.running:
                while waiting and len(self.running) < jobs:
                    test_id = waiting.pop(0)
                    child = Child(self.root, test_id, self.tests[test_id])
                    self.running[child.process.pid] = child
                    fd = os.pidfd_open(child.process.pid)
                    selector.register(fd, selectors.EVENT_READ, child)
                for key, _ in selector.select(timeout=0.5):
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    del self.running[key.data.process.pid]
                    self.report(key.data)
                for child in self.running.values():
                    child.enforce()

    def abort(self):
        for child in self.running.values():
            child.end()
            child.close(False)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Run the end-to-end tests.",
        epilog="GW_BUILD: the folder with guestwired, guestwire and "
        "guestwire-guest. GW_CACHE: where guest kernels and images are kept. "
        "GW_TIER: quick (default) or full, which has the long tests too. "
        "An ordinary user gets a user and network namespace.")
    parser.add_argument("-k", metavar="WORD", action="append", default=[],
                        help="only tests whose name contains WORD")
    parser.add_argument("--without", metavar="WORD", action="append",
                        default=[], help="but not those with WORD")
    parser.add_argument("--jobs", type=int, default=1, metavar="N",
                        help="run N tests at once (default 1)")
    parser.add_argument("--full", action="store_true",
                        help="the long tests too: as GW_TIER=full")
    parser.add_argument("--list", action="store_true", help="name the tests")
    parser.add_argument("--cells", action="store_true",
                        help="name the cells of the matrix")
    parser.add_argument("--matrix", metavar="FILE",
                        help="write the cells that were run into the tables "
                        "of FILE (docs/matrix.md)")
    parser.add_argument("--keep", action="store_true",
                        help="keep the files of tests that fail")
    return parser.parse_args()


def become_root():
    """Namespaces and interfaces want root: that of a user namespace does."""
    if os.geteuid() == 0:
        return
    try:
        os.execvp("unshare", ["unshare", "-Urnm", sys.executable, *sys.argv])
    except OSError as e:
        sys.exit(f"cannot run unshare: {e.strerror}")


def cells_of(tests, chosen):
    cells = (matrix.cell_of(*tests[i]) for i in chosen)
    return [cell for cell in cells if cell]


def report_cells(cells, options):
    """The matrix: shown where all of it was run, kept where that is wanted."""
    if cells and (options.matrix or scenario.is_full()):
        print(matrix.show(cells) + "\n")
    if options.matrix:
        matrix.save(options.matrix, cells)


def main(folder):
    options = parse_arguments()
    if options.full:
        os.environ["GW_TIER"] = "full"
    root = os.path.dirname(os.path.dirname(folder))
    tests = discover(folder)
    chosen = [t for t in tests if matches(t, options.k) and
              not (options.without and matches(t, options.without))]
    if options.list:
        print("\n".join(chosen))
        return 0
    if options.cells:
        print("\n".join("\t".join(cell) for cell in cells_of(tests, chosen)))
        return 0
    become_root()
    raise_on_signals()
    runner = Runner(root, tests, options)
    try:
        runner.run(chosen)
    except Terminated as e:
        runner.abort()
        print(f"ended by {e}", file=sys.stderr)
        return 128 + signal.Signals[str(e)]
    report_cells(runner.cells, options)
    counts = runner.counts
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, "
          f"{counts['skip']} skipped")
    return 1 if counts["FAIL"] or not chosen else 0
