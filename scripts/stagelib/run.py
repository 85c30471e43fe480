# SPDX-License-Identifier: BSD-2-Clause
"""The run of some stages: its folders and logs, and the commands in it.

A command has what is left of its stage's deadline; what it says is in the log
of the stage, which is shown if that fails.
"""

import os
import signal
import subprocess
import time

from checklib import beside, telling, tree

TAIL_LINES = 150
GRACE_S = 10
PAUSED_POLL_S = 0.1
# of what may take how long in the full tier, in terms of the quick one
FULL_DEADLINES = 4


class Terminated(BaseException):
    """We were asked to end."""


class Run:
    """What all stages share: the folders, and how commands are run."""

    def __init__(self, build, tier):
        self.build = os.path.abspath(build)
        self.tier = tier
        self.patience = 1 if tier == "quick" else FULL_DEADLINES
        self.times = {}
        self.failed = {}  # stage: failures, for the end
        self.slow = {}  # test of this stage: seconds
        self.logs = os.path.join(self.build, "logs")
        self.stage = None
        self.log = None
        self.log_path = None
        self.shown = False  # has the output of this stage been seen?
        self.deadline = None
        self.child = None
        self.lane = None  # what runs beside
        self.paused = False
        os.makedirs(self.logs, exist_ok=True)
        self.env = dict(os.environ, LC_ALL="C.UTF-8", GW_TIER=tier)
        if "GW_CACHE" not in self.env and "HOME" not in self.env:
            self.env["GW_CACHE"] = os.path.join(self.build, "cache")

    def folder(self, name):
        return os.path.join(self.build, "check", name)

    def open_log(self, name, deadline_s):
        self.stage = name
        self.log_path = os.path.join(self.logs, name + ".log")
        self.log = open(self.log_path, "w", encoding="utf-8")
        self.shown = False
        self.slow = {}
        self.deadline = time.monotonic() + deadline_s

    def command(self, argv, env=None, show=False, cwd=tree.ROOT):
        """Run to the end, output into the log. Returns (status, output)."""
        while self.paused:
            time.sleep(PAUSED_POLL_S)
        self.log.write("$ " + " ".join(argv) + "\n")
        self.log.flush()
        self.shown |= show
        self.child = subprocess.Popen(
            argv, cwd=cwd, env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, process_group=0)
        signal.setitimer(signal.ITIMER_REAL,
                         max(self.deadline - time.monotonic(), 0.001))
        output = []
        try:
            for raw in self.child.stdout:
                line = raw.decode("utf-8", "replace")
                output.append(line)
                self.log.write(line)
                self.log.flush()
                if self.lane and line.startswith(beside.ALONE):
                    self.lane.pause()
                elif show:
                    print("  " + line, end="", flush=True)
            status = self.child.wait()
        except TimeoutError:
            self.end_child()
            status = -1
            output.append("run-checks: the stage's deadline has passed\n")
            self.log.write(output[-1])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if self.lane:
                self.lane.resume()
        self.child.stdout.close()
        self.child = None
        return status, "".join(output)

    def end_child(self):
        """Ask, then force; the group too, for what the child started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.child.pid, number)
                self.child.wait(GRACE_S)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass

    def read_log(self):
        self.log.flush()
        with open(self.log_path, encoding="utf-8") as f:
            return f.read()

    def show_tail(self):
        for line in self.read_log().splitlines()[-TAIL_LINES:]:
            print("  | " + line)

    def fail(self, failures):
        """A stage knows better than its log what is to be said at the end."""
        self.failed.setdefault(self.stage, []).extend(failures)

    def left_to_say(self):
        """Of a stage that failed: what its log names, or how it ends."""
        text = self.read_log()
        self.fail(telling.blocks(text))
        if not self.failed[self.stage]:
            self.fail([telling.Failure(self.stage, telling.complaints(text))])


def on_signal(number, _):
    raise Terminated(number)


def on_alarm(*_):
    raise TimeoutError


def heed_signals():
    """Who ends us ends what we started; an alarm is a stage's deadline."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    signal.signal(signal.SIGALRM, on_alarm)
