# SPDX-License-Identifier: BSD-2-Clause
"""Stages that run beside the others, with what the processors have left.

Tests wait for much of their time, and compilers and clang-tidy do not care when
they run. So they run in a process of their own, in the scheduler's idle class:
a test that wants the processor has it at once. While a test wants the machine
for itself (its runner says so, ALONE) they stand still.

The process is another run-checks. What it says is kept in the pipe, and shown
when somebody wants one of its stages; after each stage comes a line for us.
"""

import fcntl
import json
import os
import signal
import subprocess

# a line of tests/e2e/lib/run.py
ALONE = "-- alone"
RESULT = "@@ "
PIPE_BYTES = 1 << 20
PAUSE, RESUME = signal.SIGUSR1, signal.SIGUSR2
GRACE_S = 30


def become_idle():
    """In the process itself; what it starts is so too."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        os.nice(19)


def obey(run):
    """Also in the process itself: stand still when told so."""
    def on_signal(number, _):
        run.paused = number == PAUSE
        if run.child:
            os.killpg(run.child.pid,
                      signal.SIGSTOP if run.paused else signal.SIGCONT)
    for number in (PAUSE, RESUME):
        signal.signal(number, on_signal)


def report(stage, result):
    print(RESULT + json.dumps({"stage": stage, **result}), flush=True)


class Lane:
    def __init__(self, argv, stages):
        self.pending = list(stages)
        self.paused = False
        self.process = subprocess.Popen(
            [*argv, *stages], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, text=True)
        fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def next(self):
        """The next of its stages, when it is through: (stage, result). None
        for the result if it has ended without."""
        stage = self.pending.pop(0)
        for line in self.process.stdout:
            if line.startswith(RESULT):
                return stage, json.loads(line[len(RESULT):])
            print(line, end="", flush=True)
        return stage, None

    def _signal(self, number):
        if self.process.poll() is None:
            self.process.send_signal(number)

    def pause(self):
        self.paused = True
        self._signal(PAUSE)

    def resume(self):
        if self.paused:
            self.paused = False
            self._signal(RESUME)

    def end(self):
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
