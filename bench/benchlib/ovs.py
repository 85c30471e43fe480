# SPDX-License-Identifier: BSD-2-Clause
"""Open vSwitch with DPDK, behind the interface of backends.py.

Debian's packages, unpacked and not installed (scripts/fetch-ovs): a data base, a
switch and a bridge of our own, in a folder and a network namespace of this
measurement. One core polls, as with testpmd; frames go from port to port by a
rule, without learning, which is the least that a switch can do.
"""

import os
import re
import shutil

from lib import hugepages, image
from lib.proc import check, run, wait_for

from . import peers
from .backends import START_TIMEOUT_S, Back_end, pin
from .sinks import Arrived

COMMAND_TIMEOUT_S = 30
BRIDGE = "br0"
GUEST = "dpdkvhostuser"


class Ovs(Back_end):
    MEMORY_MIB, START_S = 1024, 5.0
    # type of the port, and what it is told
    SINKS = {"null": ("dpdk", "options:dpdk-devargs=net_null0,no-rx=1"),
             "guests": (GUEST, None),
             "veth": ("afxdp", "options:n_rxq=1")}
    process = ns = env = kind = prefix = None

    def start(self, sink, fronts=1):
        check(fronts == 1, "one guest")
        self.root = image.switch(self.t.root)
        hugepages.reserve(self.t, self.MEMORY_MIB)
        self.ns = sink.ns or self.t.netns("ovs")
        self.prefix = f"gwovs{os.getpid()}"
        self.t.on_exit(shutil.rmtree, os.path.join(
            peers.Telemetry.RUNTIME, self.prefix), True)
        self.folder = self.t.path("ovs")
        os.mkdir(self.folder)
        self.db = os.path.join(self.folder, "db.sock")
        self.env = {
            **os.environ,
            **{f"OVS_{what}DIR": self.folder for what in
               ("RUN", "LOG", "DB", "SYSCONF")},
            "OVS_PKGDATADIR": self._path("usr/share/openvswitch"),
            "LD_LIBRARY_PATH": self._path("usr/lib/x86_64-linux-gnu")}
        # a port of this kind is listened for in the switch's folder
        self.sockets = [os.path.join(self.folder, "a0")]
        self.far = os.path.join(self.folder, "out")
        self._start_switch()
        self._add_ports(sink)
        pin(self.pid, self.cpu)

    def _path(self, name):
        return os.path.join(self.root, name)

    def _run(self, program, *words):
        return run([self._path(program), *words], ns=self.ns, env=self.env,
                   timeout_s=COMMAND_TIMEOUT_S).stdout.strip()

    def _vsctl(self, *words):
        return self._run("usr/bin/ovs-vsctl", f"--db=unix:{self.db}",
                         f"--timeout={COMMAND_TIMEOUT_S}", *words)

    def _start_switch(self):
        data = os.path.join(self.folder, "conf.db")
        self._run("usr/bin/ovsdb-tool", "create", data,
                  self._path("usr/share/openvswitch/vswitch.ovsschema"))
        base = self.t.spawn(
            [self._path("usr/sbin/ovsdb-server"), data,
             f"--remote=punix:{self.db}"], "ovsdb", ns=self.ns, env=self.env)
        wait_for(lambda: base.check_alive() or os.path.exists(self.db),
                 START_TIMEOUT_S, "the data base")
        self._vsctl("--no-wait", "init")
        self._vsctl(
            "--no-wait", "set", "Open_vSwitch", ".",
            "other_config:dpdk-init=true",
            f"other_config:dpdk-socket-mem={self.MEMORY_MIB}",
            f"other_config:pmd-cpu-mask={1 << self.cpu:#x}",
            f"other_config:dpdk-lcore-mask={1 << self.cpu:#x}",
            "other_config:userspace-tso-enable=true",
            "other_config:dpdk-extra=--no-pci --in-memory --iova-mode=va "
            f"--file-prefix={self.prefix} --no-telemetry")
        self.process = self.t.spawn(
            ["taskset", "-c", self.cpu,
             self._path("usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"),
             f"unix:{self.db}"], "ovs-vswitchd", ns=self.ns, env=self.env)
        wait_for(self._is_up, START_TIMEOUT_S, "DPDK inside Open vSwitch")

    def _is_up(self):
        self.process.check_alive()
        return self._vsctl("--no-wait", "get", "Open_vSwitch", ".",
                           "dpdk_initialized") == "true"

    def _add_ports(self, sink):
        self.kind, option = self.SINKS[sink.name]
        self.out = getattr(sink, "near", "out")
        self._vsctl("add-br", BRIDGE, "--", "set", "bridge", BRIDGE,
                    "datapath_type=netdev", "fail_mode=secure")
        mtu = f"mtu_request={sink.mtu}"
        self._vsctl("add-port", BRIDGE, "a0", "--", "set", "interface", "a0",
                    f"type={GUEST}", "ofport_request=1", mtu)
        self._vsctl("add-port", BRIDGE, self.out, "--", "set", "interface",
                    self.out, f"type={self.kind}", "ofport_request=2",
                    mtu, *([option] if option else []))
        for ingress, egress in ((1, 2), (2, 1)):
            self._run("usr/bin/ovs-ofctl", "add-flow",
                      f"unix:{self.folder}/{BRIDGE}.mgmt",
                      f"in_port={ingress},actions=output:{egress}")
        error = self._vsctl("get", "interface", self.out, "error")
        check(error == "[]", f"Open vSwitch, port {self.out}: {error}")

    def connected(self):
        """Links of guests are looked at now and then, and frames to one that is
        down are dropped."""
        self._wait_links(["a0"] + ["out"] * (self.kind == GUEST))

    def _wait_links(self, ports):
        wait_for(lambda: all(
            self._vsctl("get", "interface", p, "link_state") == "up"
            for p in ports), START_TIMEOUT_S, "links of the guests")

    @property
    def pid(self):
        return self.process.pid

    def arrived(self, sink):
        """As the switch counts what it gave to the port. Of one that a guest has
        left it says nothing, but that guest has counted."""
        if self.kind == GUEST:
            return Arrived(None, None)
        return sink.arrived() or Arrived(self._sent(), None)

    def _sent(self):
        said = self._run("usr/bin/ovs-ofctl", "dump-ports",
                         f"unix:{self.folder}/{BRIDGE}.mgmt", "2")
        match = re.search(r"tx pkts=(\d+)", said)
        check(match, f"no count of port 2: {' '.join(said.split())}")
        return int(match.group(1))

    def version(self):
        said = self._run("usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk",
                         "--version")
        return " ".join(said.splitlines()[0].split()[-1:])
