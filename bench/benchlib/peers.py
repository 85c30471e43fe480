# SPDX-License-Identifier: BSD-2-Clause
"""Others' back-ends, behind the interface of backends.py.

Each is run as its documentation says, with its defaults, except where that would
lose frames: no peer is to win by dropping, and none is to be absent for it.
"""

import json
import os
import shutil
import socket

from lib import hugepages
from lib.proc import check, wait_for

from . import loads
from .backends import END_TIMEOUT_S, START_TIMEOUT_S, Back_end, pin, tool
from .sinks import Arrived


class Telemetry:
    """DPDK's, over its socket."""

    # DPDK's own rule
    RUNTIME = os.path.join("/var/run" if os.geteuid() == 0 else
                           os.environ.get("XDG_RUNTIME_DIR", "/tmp"), "dpdk")
    ANSWER_BYTES = 1 << 16

    def __init__(self, t, prefix):
        self.runtime = os.path.join(self.RUNTIME, prefix)
        self.sock = self.greeting = None
        self.t = t
        # DPDK leaves that behind
        t.on_exit(shutil.rmtree, self.runtime, True)

    def connected(self):
        path = os.path.join(self.runtime, "dpdk_telemetry.v2")
        if not os.path.exists(path):
            return False
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.t.on_exit(self.sock.close)
        self.sock.settimeout(END_TIMEOUT_S)
        self.sock.connect(path)
        self.greeting = json.loads(self.sock.recv(self.ANSWER_BYTES))
        return True

    def ask(self, command):
        self.sock.send(command.encode())
        answer = json.loads(self.sock.recv(self.ANSWER_BYTES))
        return answer[command.partition(",")[0]]

    def stats(self, port):
        return self.ask(f"/ethdev/stats,{port}")

    def link_up(self, port):
        return self.ask(f"/ethdev/link_status,{port}")["status"] == "UP"


class Testpmd(Back_end):
    """DPDK's testpmd: net_vhost to net_null, to net_af_xdp, or to another
    net_vhost.

    net_null reads nothing; dpdk_read.so has it read all (bench/dpdk_read.c).
    An interface is slower than a guest, and testpmd would drop what it does
    not take at once: there it is told to try again.
    """

    TOOL, PACKAGE = "dpdk-testpmd", "dpdk-dev"
    MEMORY_MIB, START_S = 512, 1.6
    # without -i it would end with its standard input
    OPTIONS = ("--forward-mode=io", "--auto-start", "-i",
               "--disable-link-check")
    # super-frames, marked so that another net_vhost hands them on as such
    OFFLOADS = ",tso=1,legacy-ol-flags=1"
    # n: of the pair of ports
    SINKS = {"null": "net_null{n},no-rx=1", "read": "net_null{n},no-rx=1",
             "guests": "net_vhost1{n},iface={far},queues=1" + OFFLOADS,
             "veth": "net_af_xdp{n},iface={near}"}
    RETRY = "set fwd io retry\nset burst tx delay 0 retry 1000000\n"
    READ = "/guestwire/read"

    process = telemetry = None
    guest_ports = ()

    def start(self, sink, fronts=1):
        self.t.need_tool(self.TOOL, self.PACKAGE)
        hugepages.reserve(self.t, self.MEMORY_MIB)
        self.name_sockets(fronts)
        prefix = f"gwbench{os.getpid()}"
        self.telemetry = Telemetry(self.t, prefix)
        ports = ",".join(str(n) for n in range(2 * fronts))
        self.process = self.t.spawn(
            [self.TOOL, "--lcores", f"0@{self.cpu},1@{self.cpu}",
             "--file-prefix", prefix, "--no-pci", "--in-memory", "-m",
             self.MEMORY_MIB, "--iova-mode=va", *self._plugin(sink),
             *self._devices(sink), "--", *self.OPTIONS, f"--portlist={ports}",
             *self._commands(sink)], "testpmd", ns=sink.ns)
        wait_for(self._is_up, START_TIMEOUT_S, "testpmd to answer")
        self.guest_ports = [n for n in range(2 * fronts)
                            if n % 2 == 0 or sink.name == "guests"]
        if sink.name == "read":
            wait_for(lambda: self.telemetry.ask(f"{self.READ},net_null0") ==
                     "reading", START_TIMEOUT_S, "net_null to be read")

    def _devices(self, sink):
        """In pairs, between which it forwards."""
        words = []
        for n, path in enumerate(self.sockets):
            out = self.SINKS[sink.name].format(
                n=n, far=self.far, near=getattr(sink, "near", ""))
            words += ["--vdev", f"net_vhost{n},iface={path},queues=1"
                      f"{self.OFFLOADS}{self.words}", "--vdev", out]
        return words

    def _plugin(self, sink):
        """A copy of it: DPDK loads none from below a folder like /tmp, where
        everybody may write."""
        if sink.name != "read":
            return []
        path = os.path.join(self.telemetry.runtime, "dpdk_read.so")
        os.makedirs(self.telemetry.runtime, 0o700, True)
        shutil.copy(tool(self.t, "dpdk_read.so"), path)
        return ["-d", path]

    def _commands(self, sink):
        if sink.name != "veth":
            return []
        path = self.t.path("commands")
        with open(path, "w", encoding="ascii") as f:
            f.write(self.RETRY)
        return [f"--cmdline-file={path}"]

    def _is_up(self):
        self.process.check_alive()
        return os.path.exists(self.sockets[-1]) and self.telemetry.connected()

    def connected(self):
        """What comes while the other guest's link is not up is dropped."""
        wait_for(lambda: all(self.telemetry.link_up(n)
                             for n in self.guest_ports),
                 START_TIMEOUT_S, "links of the guests")

    @property
    def pid(self):
        return self.process.pid

    def arrived(self, sink):
        """Frames that the sink took; of bytes net_null keeps no count, so
        those that came in."""
        if sink.name == "read":
            frames, bytes_, _ = self.telemetry.ask(self.READ).split()
            return Arrived(int(frames), int(bytes_))
        came, left = (self.telemetry.stats(n) for n in (0, 1))
        return sink.arrived() or Arrived(left["opackets"], came["ibytes"])

    def version(self):
        return self.telemetry.greeting["version"]


def pieces_of(work):
    """Descriptors of a frame."""
    return work.shape[work.shape.index("--descriptors") + 1]


class Xsk_send(Back_end):
    """A bare AF_XDP sender: no guest, so that it makes its load itself. With
    a word it is fed from the guests' processor, with frames in as many pieces
    as a guest's."""

    SINKS = ("veth",)
    sink = process = None

    def start(self, sink, fronts=1):
        check(sink.name in self.SINKS, "an interface is what it sends to")
        self.sink = sink

    @property
    def pid(self):
        return self.process.pid

    def load(self, bench, work):
        fed = [self.words, bench.guest_cpu, pieces_of(work)] \
            if self.words else []
        self.process = self.t.spawn(
            [tool(self.t, "xsk_send"), *fed, self.sink.near, work.size,
             bench.seconds, bench.warm_up_s], "xsk_send", ns=self.sink.ns)
        self.process.wait_line("^ready$", START_TIMEOUT_S,
                               stream=self.process.err)
        pin(self.pid, self.cpu)
        return loads.Told(self.process)

    def arrived(self, sink):
        return sink.arrived()
