# SPDX-License-Identifier: BSD-2-Clause
"""Processes and waiting.

Every process that is started here dies with us, even if we are killed
(prctl PR_SET_PDEATHSIG, through setpriv). The output of a process goes into
a file for people, and line by line to whoever waits for it. Nothing sleeps
for a fixed time: all waiting is for an event, with a deadline.

PR_SET_PDEATHSIG is about the parent's *thread*, so processes are started by
the main thread only.
"""

import re
import signal
import subprocess
import threading
import time

DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL")
POLL_INTERVAL_S = 0.02
RUN_TIMEOUT_S = 20
STOP_TIMEOUT_S = 5
TAIL_LINES = 30
STORY_LINES = 10


class Failure(AssertionError):
    """What the test found wrong, for people."""


class Skip(Exception):
    """What this machine lacks for the test."""


class Timeout(Failure):
    """Something that was waited for did not happen."""


class Deadline:
    """A point in time that all waiting of one kind shares."""

    def __init__(self, timeout_s):
        self.timeout_s = timeout_s
        self.end = time.monotonic() + timeout_s

    def left(self):
        return max(0.0, self.end - time.monotonic())

    def passed(self):
        return self.left() == 0


def wait_for(predicate, timeout_s, what):
    """Poll until predicate() is true, and return what it returned."""
    deadline = Deadline(timeout_s)
    while True:
        value = predicate()
        if value:
            return value
        if deadline.passed():
            raise Timeout(f"{what}: not within {timeout_s} s")
        time.sleep(POLL_INTERVAL_S)


def check(condition, what):
    """An assertion that says what was expected, also under python -O."""
    if not condition:
        raise Failure(what)


def command_line(argv, ns=None):
    """argv, made to die with us, and to run in a network namespace."""
    prefix = list(DIE_WITH_US)
    if ns is not None:
        prefix += ns.enter_command()
    return prefix + [str(a) for a in argv]


def run(argv, ns=None, timeout_s=RUN_TIMEOUT_S, may_fail=False, **options):
    """Run a command to its end. Returns subprocess.CompletedProcess."""
    try:
        done = subprocess.run(command_line(argv, ns), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=timeout_s, **options)
    except subprocess.TimeoutExpired as e:
        raise Timeout(f"'{words(argv)}' still runs after {timeout_s} s") from e
    if done.returncode and not may_fail:
        raise Failure(f"'{words(argv)}' exits with {done.returncode}: "
                      f"{(done.stderr or done.stdout).strip()}")
    return done


def words(argv):
    return " ".join(str(a) for a in argv)


class Stream:
    """The lines of a pipe, kept, and written to a log file."""

    def __init__(self, pipe, log_path):
        self.lines = []
        self.ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._pump,
                                       args=(pipe, log_path), daemon=True)
        self.thread.start()

    def _pump(self, pipe, log_path):
        with pipe, open(log_path, "a", encoding="utf-8") as log:
            for raw in pipe:
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                log.write(line + "\n")
                log.flush()
                with self.changed:
                    self.lines.append(line)
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def find(self, pattern, timeout_s, start=0):
        """(index, match) of the first line from start on; None at the end."""
        deadline = Deadline(timeout_s)
        with self.changed:
            while True:
                for i in range(start, len(self.lines)):
                    match = re.search(pattern, self.lines[i])
                    if match:
                        return i, match
                start = max(start, len(self.lines))
                if self.ended or deadline.passed():
                    return None
                self.changed.wait(deadline.left())

    def text(self):
        with self.changed:
            return "\n".join(self.lines)

    def tail(self, lines=TAIL_LINES):
        with self.changed:
            return "\n".join("    | " + l for l in self.lines[-lines:])


class Proc:
    """A process in the background."""

    def __init__(self, test, argv, name, ns=None, env=None):
        self.argv = argv
        self.name = name
        self.expected = False   # did we wait for its end, or bring it about?
        self.process = subprocess.Popen(
            command_line(argv, ns), stdin=subprocess.PIPE, env=env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        test.on_exit(self.kill)
        self.out = Stream(self.process.stdout, test.path(name + ".out"))
        self.err = Stream(self.process.stderr, test.path(name + ".err"))

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def check_alive(self):
        if not self.alive():
            raise Failure(f"{self.name} ended with {self.process.returncode}:"
                          f"\n{self.err.tail()}")

    def wait_line(self, pattern, timeout_s, start=0, stream=None):
        """Wait for a line of output. Returns (index, match)."""
        stream = stream or self.out
        found = stream.find(pattern, timeout_s, start)
        if found:
            return found
        when = "before it ended" if stream.ended else f"within {timeout_s} s"
        said = [s.tail() for s in dict.fromkeys((stream, self.err))]
        raise Timeout("\n".join([f"{self.name} did not say '{pattern}' {when}:",
                                 *said]))

    def wait(self, timeout_s):
        """Wait for the end. Returns the exit status, negative for a signal."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as e:
            raise Timeout(f"{self.name} still runs after {timeout_s} s:\n"
                          f"{self.err.tail()}") from e
        self.expected = True
        self._finish()
        return status

    def story(self):
        """For who looks into a failure: what became of it, what it said last."""
        how = ("runs" if self.alive() else
               f"ended by itself with {self.process.returncode}")
        return f"{self.name} ({self.pid}) {how}:\n{self.err.tail(STORY_LINES)}"

    def _finish(self):
        """All output is in; helpers that hold the pipes are not waited for."""
        for stream in (self.out, self.err):
            stream.thread.join(STOP_TIMEOUT_S)

    def signal(self, number):
        if self.alive():
            self.process.send_signal(number)

    def stop(self, timeout_s=STOP_TIMEOUT_S):
        """Ask for the end and wait for it. Returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def kill(self):
        self.expected = True
        self.signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()
        self._finish()
