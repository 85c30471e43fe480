# SPDX-License-Identifier: BSD-2-Clause
"""The back-ends that are measured, behind one interface; peers.py has others'.

    be = Back_end(t, cpu, words)    # words: of its contestant
    be.start(sink, fronts)          # sinks.py; be.sockets are there, so many
    be.far                          # behind "guests": the second guest's socket
    be.connected()                  # waits until it has seen that guests are there
    be.pid
    be.arrived(sink)                # Arrived, when the guests have gone
    be.version()
    be.load(bench, work)            # only of who makes his load himself

What a machine lacks for one of them is a Skip, and that one is then absent.
"""

import json
import os

from lib.daemon import Daemon
from lib.proc import Failure, check, wait_for

from .sinks import Arrived

END_TIMEOUT_S = 10
START_TIMEOUT_S = 60


def pin(pid, cpu):
    """All threads; those that are made later are where their maker is."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(tid), {cpu})


def tool(t, name):
    """A program of bench/."""
    path = os.path.join(t.build or "", "bench", name)
    check(os.access(path, os.R_OK), f"no {path}: is it built? "
          "(ninja bench-tools)")
    return path


class Back_end:
    SINKS = ("null", "guests")
    # until it runs, guessed
    START_S = 0.1
    # False: frames end in it, and nobody's load is too small for it
    CARRIES = True

    def __init__(self, t, cpu, words):
        self.t, self.cpu, self.words = t, cpu, words
        self.sockets, self.far = [], t.path("far.sock")

    def name_sockets(self, fronts):
        self.sockets = [self.t.path(f"a{n}.sock") for n in range(fronts)]

    def connected(self):
        pass

    def version(self):
        return None


class Guestwire(Back_end):
    """guestwired: guests' ports, each with a device or another guest's."""

    SINKS = {"null": "null:", "read": "null:,read=on", "loop": "loop:",
             "guests": "guest:{far},in_order=on", "veth": "xdp:{near}"}
    daemon = None

    def start(self, sink, fronts=1):
        self.name_sockets(fronts)
        device = self.SINKS[sink.name].format(
            far=self.far, near=getattr(sink, "near", ""))
        ports = []
        for n, path in enumerate(self.sockets):
            ports += [f"a{n}=guest:{path},in_order=on,network=n{n}"
                      f"{self.words}", f"out{n}={device},network=n{n}"]
        self.daemon = Daemon(self.t, ports, ns=sink.ns)
        self.daemon.start()
        pin(self.pid, self.cpu)

    @property
    def pid(self):
        return self.daemon.pid

    def arrived(self, sink):
        pairs = [self.daemon.settled_pair(f"a{n}", f"out{n}")
                 for n in range(len(self.sockets))]
        return sink.arrived() or Arrived(
            sum(p.lent_frames + p.copied_frames for p in pairs),
            sum(p.lent_bytes + p.copied_bytes for p in pairs))

    def version(self):
        done = self.t.program("guestwired")
        return self.t.spawn([done, "--version"], "version").wait_line(
            "(.+)", END_TIMEOUT_S)[1].group(1)


class Ring_sink(Back_end):
    """The ring consumer that does nothing. It has no sink but itself; two
    guests' rings are emptied and filled together."""

    SINKS = ("null", "read", "loop", "veth", "guests")
    CARRIES = False
    process = None

    def start(self, sink, fronts=1):
        self.name_sockets(fronts)
        pass_on = [] if sink.name != "guests" else ["--pass"]
        far = [self.far] if pass_on else []
        self.process = self.t.spawn(
            [tool(self.t, "ring_sink"), *self.words.split(), *pass_on,
             *self.sockets, *far],
            "ring_sink")
        wait_for(self._is_up, START_TIMEOUT_S, "ring_sink to listen")
        pin(self.pid, self.cpu)

    def _is_up(self):
        self.process.check_alive()
        return os.path.exists(self.sockets[-1])

    @property
    def pid(self):
        return self.process.pid

    def arrived(self, _):
        status = self.process.wait(END_TIMEOUT_S)
        if status:
            raise Failure(f"ring_sink exits with {status}:\n"
                          f"{self.process.err.tail()}")
        return Arrived(json.loads(self.process.out.text())["frames"], None)
