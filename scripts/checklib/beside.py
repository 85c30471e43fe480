# SPDX-License-Identifier: BSD-2-Clause
"""Stages that run beside the others, with what the processors have left.

Tests wait for much of their time, and compilers and clang-tidy do not care when
they run. So they run in a process of their own, in the scheduler's idle class:
a test that wants the processor has it at once. While a test wants the machine
for itself (its runner says so, ALONE) they stand still, and while somebody
waits for them they are like any other.

The process is another run-checks. What it says is kept in the pipe, and shown
when somebody wants one of its stages; after each stage comes a line for us.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess

# a line of tests/e2e/lib/run.py
ALONE = "-- alone"
RESULT = "@@ "
# from here on it can be told what to do
READY = "@@@"
PIPE_BYTES = 1 << 20
# what it is told: a byte in its standard input, and then a signal
PAUSE, RESUME, HURRY, RELAX = b"p", b"r", b"h", b"x"
LISTEN = signal.SIGUSR1
GRACE_S = 30
# Of the session, to the scheduler: where sessions share the processors among
# them (autogroups), the idle class counts within one only.
AUTOGROUP = "/proc/self/autogroup"
NICE = {os.SCHED_IDLE: 19, os.SCHED_OTHER: 0}


def set_group(policy):
    with contextlib.suppress(OSError), \
            open(AUTOGROUP, "w", encoding="ascii") as f:
        f.write(str(NICE[policy]))


def step_back():
    """In the process itself; what it starts is so too."""
    set_group(os.SCHED_IDLE)
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:
        os.nice(19)


def session():
    """The processes of ours: it is the lane's, and of all that it starts."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(pid)) == os.getsid(0):
                yield int(pid)


def set_class(policy):
    """Who is not root may not come back from the idle class, and has to be
    content with it."""
    set_group(policy)
    for pid in session():
        with contextlib.suppress(OSError):
            os.sched_setscheduler(pid, policy, os.sched_param(0))


def stand(run, paused):
    run.paused = paused
    with contextlib.suppress(ProcessLookupError):
        if run.child:
            os.killpg(run.child.pid,
                      signal.SIGSTOP if paused else signal.SIGCONT)


ORDERS = {
    PAUSE: lambda run: stand(run, True),
    RESUME: lambda run: stand(run, False),
    HURRY: lambda _: set_class(os.SCHED_OTHER),
    RELAX: lambda _: set_class(os.SCHED_IDLE),
}


def obey(run):
    """Also in the process itself: do what it is told, in that order."""
    def listen(*_):
        with contextlib.suppress(BlockingIOError):
            for order in iter(lambda: os.read(0, 1), b""):
                ORDERS[order](run)
    os.set_blocking(0, False)
    signal.signal(LISTEN, listen)
    print(READY, flush=True)


def report(stage, result):
    print(RESULT + json.dumps({"stage": stage, **result}), flush=True)


class Lane:
    def __init__(self, argv, stages):
        self.pending = list(stages)
        self.paused = False
        self.process = subprocess.Popen(
            [*argv, *stages], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True, text=True)
        fcntl.fcntl(self.process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        for line in self.process.stdout:
            if line.startswith(READY):
                break

    def next(self):
        """The next of its stages, when it is through: (stage, result). None
        for the result if it has ended without."""
        stage = self.pending.pop(0)
        for line in self.process.stdout:
            if line.startswith(RESULT):
                return stage, json.loads(line[len(RESULT):])
            print(line, end="", flush=True)
        return stage, None

    def tell(self, order):
        if self.process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self.process.stdin.fileno(), order)
                self.process.send_signal(LISTEN)

    def pause(self):
        self.paused = True
        self.tell(PAUSE)

    def resume(self):
        if self.paused:
            self.paused = False
            self.tell(RESUME)

    def end(self):
        self.resume()
        self.process.terminate()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
