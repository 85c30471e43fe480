# SPDX-License-Identifier: BSD-2-Clause
"""A program that runs in the lab, in the background.

It has the face of lib.proc.Proc, as far as the tests use it. What it prints
stays in the lab and is read from there; its input is a pipe that stays open.
"""

import shlex

from lib.proc import Failure, Timeout, words

FOLDER = "/tmp/run"
NOT_YET = 77
TAIL_LINES = 30

# the shell's own number becomes the program's
START = """
mkdir -p {folder}; cd {folder}; rm -f {name}.*
mkfifo {name}.in
setsid sh -c '
	sh -c "echo \\$\\$ >{name}.pid; exec \\"\\$@\\"" - "$@" \
		<>{name}.in >{name}.out 2>{name}.err
	echo $? >{name}.status.new; mv {name}.status.new {name}.status
' - {argv} >/dev/null 2>&1 &
until [ -s {name}.pid ]; do usleep 5000; done
cat {name}.pid
"""
WAIT = """
cd {folder}
until {condition}; do
	[ ! -e {name}.status ] || {{ {condition}; exit; }}
	usleep 20000
done
"""


class Output:
    """What a program has printed so far."""

    def __init__(self, host, path):
        self.host = host
        self.path = path

    def text(self):
        return self.host.run(f"tail -c 40000 {self.path}").output

    def tail(self):
        lines = self.text().splitlines()[-TAIL_LINES:]
        return "\n".join("    | " + line for line in lines)


class LabProcess:
    def __init__(self, host, argv, name):
        self.host = host
        self.argv = argv
        self.name = name
        script = START.format(folder=FOLDER, name=name,
                              argv=shlex.join(str(a) for a in argv))
        self.pid = int(host.run(script).output)
        self.out = Output(host, f"{FOLDER}/{name}.out")
        self.err = Output(host, f"{FOLDER}/{name}.err")

    def _status(self):
        done = self.host.run(f"cat {FOLDER}/{self.name}.status", may_fail=True)
        return int(done.output) if done.status == 0 else None

    def alive(self):
        return self._status() is None

    def check_alive(self):
        status = self._status()
        if status is not None:
            raise Failure(f"{self.name} ended with {status}:\n"
                          f"{self.err.tail()}")

    def _wait_until(self, condition, timeout_s, what):
        script = WAIT.format(folder=FOLDER, name=self.name,
                             condition=condition)
        if self.host.run(script, timeout_s, may_fail=True).status:
            raise Timeout(f"{self.name}: {what}: not within {timeout_s} s:\n"
                          f"{self.err.tail()}\n{self.out.tail()}")

    def wait_line(self, pattern, timeout_s, stream=None):
        """Until a line is there that grep -E finds."""
        path = (stream or self.out).path
        self._wait_until(f"grep -qE {shlex.quote(pattern)} {path}", timeout_s,
                         f"no line '{pattern}'")

    def wait(self, timeout_s):
        """Until it has ended. Returns its exit status."""
        self._wait_until(f"[ -e {self.name}.status ]", timeout_s,
                         f"'{words(self.argv)}' to end")
        return self._status()

    def signal(self, number):
        self.host.run(f"kill -{int(number)} {self.pid}")

    def write(self, text):
        """Into its standard input."""
        self.host.run(f"echo {shlex.quote(text)} >{FOLDER}/{self.name}.in")

    def kill(self):
        if self.alive():
            self.signal(9)
            self.wait(5)
