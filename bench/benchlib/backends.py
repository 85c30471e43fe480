# SPDX-License-Identifier: BSD-2-Clause
"""The back-ends that are measured, behind one interface.

    be = Back_end(t, cpu, words)    # words: of its contestant
    be.start("null")        # be.socket is there; "guests": be.far, too
    be.pid
    be.arrived()            # Arrived, when the guest has gone
    be.version()

A sink is what is behind it: "null" takes frames and throws them away, "guests"
is a second vhost-user socket, behind which a second guest verifies every byte.
`arrived` is None where the back-end does not count something.

What a machine lacks for one of them is a Skip, and that one is then absent.
"""

import collections
import json
import os
import shutil
import socket

from lib import hugepages
from lib.daemon import Daemon
from lib.proc import Failure, check, wait_for

Arrived = collections.namedtuple("Arrived", "frames bytes")

END_TIMEOUT_S = 10
START_TIMEOUT_S = 30


def pin(pid, cpu):
    """All threads; those that are made later are where their maker is."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(tid), {cpu})


class Guestwire:
    """guestwired: a guest's port, and a null device or another guest's."""

    SINKS = {"null": "out=null:", "guests": "out=guest:{far},in_order=on"}

    def __init__(self, t, cpu, words):
        self.t, self.cpu, self.words = t, cpu, words
        self.socket, self.far = t.path("a.sock"), t.path("far.sock")
        self.daemon = None

    def start(self, sink):
        self.daemon = Daemon(self.t, [
            f"a=guest:{self.socket},in_order=on{self.words}",
            self.SINKS[sink].format(far=self.far)])
        self.daemon.start()
        pin(self.pid, self.cpu)

    @property
    def pid(self):
        return self.daemon.pid

    def arrived(self):
        pair = self.daemon.settled_pair("a", "out")
        return Arrived(pair.lent_frames + pair.copied_frames,
                       pair.lent_bytes + pair.copied_bytes)

    def version(self):
        done = self.t.program("guestwired")
        return self.t.spawn([done, "--version"], "version").wait_line(
            "(.+)", END_TIMEOUT_S)[1].group(1)


class Testpmd:
    """DPDK's testpmd: net_vhost to net_null, or to another net_vhost.

    It is asked for its counts over DPDK's telemetry socket.
    """

    TOOL, PACKAGE = "dpdk-testpmd", "dpdk-dev"
    MEMORY_MIB = 512
    # DPDK's own rule
    RUNTIME = os.path.join("/var/run" if os.geteuid() == 0 else
                           os.environ.get("XDG_RUNTIME_DIR", "/tmp"), "dpdk")
    ANSWER_BYTES = 1 << 16
    # without -i it would end with its standard input
    OPTIONS = ("--forward-mode=io", "--auto-start", "--portlist=0,1", "-i",
               "--disable-link-check")
    # super-frames, marked so that another net_vhost hands them on as such
    OFFLOADS = ",tso=1,legacy-ol-flags=1"
    SINKS = {"null": "net_null0,no-rx=1",
             "guests": "net_vhost1,iface={far},queues=1" + OFFLOADS}

    def __init__(self, t, cpu, words):
        self.t, self.cpu, self.words = t, cpu, words
        self.socket, self.far = t.path("a.sock"), t.path("far.sock")
        self.prefix = f"gwbench{os.getpid()}"
        self.runtime = os.path.join(self.RUNTIME, self.prefix)
        self.process = self.telemetry = self.greeting = None

    def start(self, sink):
        self.t.need_tool(self.TOOL, self.PACKAGE)
        hugepages.reserve(self.t, self.MEMORY_MIB)
        # it leaves that behind
        self.t.on_exit(shutil.rmtree, self.runtime, True)
        lcores = f"0@{self.cpu},1@{self.cpu}"
        self.process = self.t.spawn(
            [self.TOOL, "--lcores", lcores, "--file-prefix", self.prefix,
             "--no-pci", "--in-memory", "-m", self.MEMORY_MIB,
             "--iova-mode=va", "--vdev",
             f"net_vhost0,iface={self.socket},queues=1{self.OFFLOADS}{self.words}",
             "--vdev", self.SINKS[sink].format(far=self.far), "--",
             *self.OPTIONS], "testpmd")
        wait_for(self._is_up, START_TIMEOUT_S, "testpmd to answer")

    def _is_up(self):
        self.process.check_alive()
        path = os.path.join(self.runtime, "dpdk_telemetry.v2")
        if not os.path.exists(path) or not os.path.exists(self.socket):
            return False
        self.telemetry = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.t.on_exit(self.telemetry.close)
        self.telemetry.settimeout(END_TIMEOUT_S)
        self.telemetry.connect(path)
        self.greeting = json.loads(self.telemetry.recv(self.ANSWER_BYTES))
        return True

    def _ask(self, command):
        self.telemetry.send(command.encode())
        answer = json.loads(self.telemetry.recv(self.ANSWER_BYTES))
        return answer[command.partition(",")[0]]

    @property
    def pid(self):
        return self.process.pid

    def arrived(self):
        """Frames that the sink took; of bytes net_null keeps no count, so
        those that came in."""
        came, left = (self._ask(f"/ethdev/stats,{n}") for n in (0, 1))
        return Arrived(left["opackets"], came["ibytes"])

    def version(self):
        return self.greeting["version"]


class RingSink:
    """The ring consumer that does nothing. It has no sink but itself."""

    def __init__(self, t, cpu, words):
        self.t, self.cpu, self.words = t, cpu, words
        self.socket, self.far = t.path("a.sock"), None
        self.process = None

    def start(self, _):
        program = os.path.join(self.t.build or "", "bench", "ring_sink")
        check(os.access(program, os.X_OK), f"no {program}: is it built?")
        self.process = self.t.spawn([program, self.socket], "ring_sink")
        wait_for(self._is_up, START_TIMEOUT_S, "ring_sink to listen")
        pin(self.pid, self.cpu)

    def _is_up(self):
        self.process.check_alive()
        return os.path.exists(self.socket)

    @property
    def pid(self):
        return self.process.pid

    def arrived(self):
        status = self.process.wait(END_TIMEOUT_S)
        if status:
            raise Failure(f"ring_sink exits with {status}:\n"
                          f"{self.process.err.tail()}")
        return Arrived(json.loads(self.process.out.text())["frames"], None)

    def version(self):
        return None
