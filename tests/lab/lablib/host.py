# SPDX-License-Identifier: BSD-2-Clause
"""The throw-away host: Linux under QEMU, with the NICs that a test wants, and
guestwired in it.

    lab = LabHost(t, [igb("igb0"), Nic("plain", "virtio-net-pci")])
    lab.start()
    lab.run("ip -br link")
    be = lab.daemon(["a=guest:/tmp/a.sock", "up=xdp:igb0"])

One boot serves many tests: begin() takes away what the last one left running,
and marks the wires, so that each test reads its own frames only.
"""

import contextlib
import json

from lib.daemon import Daemon
from lib.proc import Failure, wait_for
from lib.qemu import QemuGuest

from . import image
from .pcap import Pcap
from .process import LabProcess

MEMORY_MIB = 1024
CPUS = 2
HUGEPAGES = 64
# a test may have a hand on the registers of a NIC
KERNEL_ARGUMENTS = "iomem=relaxed"
CARRIER_TIMEOUT_S = 60
CONTROL = "/tmp/control.sock"
GUEST_TIMEOUT_S = 60

PREPARE = f"""
set -e
mkdir -p /dev/shm
mount -t tracefs tracefs /sys/kernel/tracing
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
echo {HUGEPAGES} >/proc/sys/vm/nr_hugepages
[ "$(cat /proc/sys/vm/nr_hugepages)" = {HUGEPAGES} ]
"""
NAME_NIC = """
for nic in /sys/class/net/*; do
	[ "$(cat $nic/address)" = {mac} ] || continue
	ip link set ${{nic##*/}} name {name}
	ip link set {name} up
done
[ -e /sys/class/net/{name} ] || {{
	echo "no NIC {mac} ({model}): its driver has not taken it"; exit 1; }}
"""


class LabHost(QemuGuest):
    def __init__(self, test, nics, ns=None):
        super().__init__(test, nics, name="lab", memory_mib=MEMORY_MIB, ns=ns,
                         append=KERNEL_ARGUMENTS, made=image.make(test))
        self.processes = []
        self.pcaps = {}

    def start(self, timeout_s=100):
        for nic in self.nics:
            nic.pcap = self.test.path(f"{nic.name}-{self.runs + 1}.pcap")
        super().start(timeout_s)
        self.pcaps = {nic.name: Pcap(nic.pcap) for nic in self.nics}
        self.run(PREPARE)
        for nic in self.nics:
            self.name_nic(nic)
        for nic in self.nics:
            self.wait_carrier(nic.name)

    def _arguments(self):
        return [*super()._arguments(), "-smp", str(CPUS)]

    def alive(self):
        return bool(self.process) and self.process.alive()

    def begin(self):
        """A test begins: what the last one left is taken away."""
        for process in reversed(self.processes):
            process.kill()
        self.processes = []
        self.run("dmesg -c >/dev/null; rm -rf /tmp/run /tmp/*.sock")
        for pcap in self.pcaps.values():
            pcap.mark()

    # interfaces

    def name_nic(self, nic):
        self.run(NAME_NIC.format(mac=nic.mac, name=nic.name, model=nic.model))

    def wait_carrier(self, ifname):
        wait_for(lambda: self.run(f"cat /sys/class/net/{ifname}/carrier",
                                  may_fail=True).output.strip() == "1",
                 CARRIER_TIMEOUT_S, f"a carrier on {ifname}")

    def nic(self, ifname):
        for nic in self.nics:
            if nic.name == ifname:
                return nic
        raise Failure(f"no NIC '{ifname}' in this lab")

    def pcap(self, ifname):
        return self.pcaps[ifname]

    # programs

    def spawn(self, argv, name):
        process = LabProcess(self, argv, name)
        self.processes.append(process)
        return process

    def daemon(self, ports, arguments=()):
        be = LabDaemon(self, ports, arguments)
        be.start()
        return be

    def guest(self, *arguments, name="guest"):
        """The built-in guest, once its rings or its socket are up."""
        process = self.spawn(["guestwire-guest", "--json", "--ready-fd", "2",
                              *arguments], name)
        process.wait_line("^ready$", GUEST_TIMEOUT_S, stream=process.err)
        return process


def result(process, timeout_s=GUEST_TIMEOUT_S):
    """The end of a built-in guest, and what it says of itself."""
    status = process.wait(timeout_s)
    if status:
        raise Failure(f"{process.name} exits with {status}:\n"
                      f"{process.err.tail()}\n{process.out.tail()}")
    return json.loads(process.out.text())


class Done:
    """What lib.proc.run returns, as far as Daemon looks at it."""

    def __init__(self, status, stdout):
        self.returncode = status
        self.stdout = stdout


class LabDaemon(Daemon):
    """guestwired in the lab; what it says is read as outside of it."""

    def __init__(self, host, ports, arguments=()):
        super().__init__(host.test, ports, arguments=arguments)
        self.host = host

    def start(self, timeout_s=60):
        self.runs += 1
        argv = ["guestwired", "--control", CONTROL, "--log-level", "debug",
                *self.arguments]
        for port in self.ports:
            argv += ["--port", port]
        self.process = self.host.spawn(argv, f"{self.name}-{self.runs}")
        wait_for(self._answers, timeout_s, "guestwired to answer")

    def command(self, *words, timeout_s=20, may_fail=False):
        script = f"guestwire --control {CONTROL} {' '.join(words)}"
        if may_fail:
            script += " 2>/dev/null"
        done = self.host.run(script, timeout_s, may_fail=may_fail)
        return Done(done.status, done.output)

    def wait_asked(self, source, egress, timeout_s=20):
        """Until the driver has answered, and the worker goes by it."""
        return self.wait_show(
            lambda _: self.pairs().get((source, egress)) and
            self.pair(source, egress).query.get("current"),
            timeout_s, f"{egress} to be asked about {source}")

    def log(self):
        return self.process.err.text()

    def check_no_report(self):
        with contextlib.suppress(AttributeError):
            super().check_no_report()
