# SPDX-License-Identifier: BSD-2-Clause
"""A real guest: Linux under QEMU, driven through an agent.

The guest's RAM is a shared memfd, as a vhost-user back-end needs it. Its
console comes out of QEMU's standard output, and the agent in the guest
(scripts/guest/agent says the protocol) runs commands for the test:

    vm = QemuGuest(t, [VhostUserNic(t.path("a.sock"))])
    vm.start()
    vm.run("ping -c 1 10.0.0.1", timeout_s=20)
    vm.kill()           # as a crash would
    vm.start()          # again, with the same arguments

All QEMU processes run with software emulation, which every machine has;
GW_QEMU_ACCEL names another accelerator. Debian 12's QEMU crashes under
emulation when a vhost-user NIC with MSI-X starts: hence vectors=0. The guest
kernel is free to place itself anywhere: with nokaslr a second boot takes 7 s,
not 3, because it overwrites code that QEMU has translated. no_timer_check: it
looks whether ten ticks come in time, and panics if a busy machine is late.
"""

import base64
import contextlib
import json
import os
import socket
import time

from . import hugepages, image
from .proc import Deadline, Failure, Timeout, check, wait_for

QEMU = "qemu-system-x86_64"
BOOT_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 20
RUN_TIMEOUT_S = 30
KERNEL_ARGUMENTS = ("console=ttyS0 quiet panic=-1 mitigations=off "
                    "tsc=reliable no_timer_check random.trust_cpu=on")
STATUS_KILLED = (137, 143)
# A kernel that was not let run while it measured its clock has one that is many times
# too fast, and all its timeouts are over at once: it is booted anew.
CLOCK_FAST_MAX = 1.5
CLOCK_TRIES = 3


class VhostUserNic:
    """A NIC behind a vhost-user back-end at the socket `path`.

    server: QEMU listens and the back-end connects; else QEMU connects, again
    and again until there is one.
    """

    def __init__(self, path, mac="52:54:00:00:00:01", server=False,
                 options="", queues=1):
        self.path = path
        self.mac = mac
        self.server = server
        self.options = options
        self.queues = queues

    def arguments(self, i):
        mode = "server=on" if self.server else "reconnect=1"
        return ["-chardev", f"socket,id=c{i},path={self.path},{mode}",
                "-netdev", f"vhost-user,id=n{i},chardev=c{i},"
                           f"queues={self.queues}",
                *device(i, self.mac, self.options)]


class Device:
    """Any other device, where its place among the NICs matters."""

    def __init__(self, words):
        self.words = words

    def arguments(self, _):
        return ["-device", self.words]


class TapNic:
    """A NIC on a tap of QEMU's network namespace: no back-end of ours."""

    def __init__(self, ifname, mac="52:54:00:00:00:01", options=""):
        self.ifname = ifname
        self.mac = mac
        self.options = options

    def arguments(self, i):
        return ["-netdev", f"tap,id=n{i},ifname={self.ifname},script=no,"
                           "downscript=no,vhost=off",
                *device(i, self.mac, self.options)]


def device(i, mac, options):
    more = "," + options if options else ""
    return ["-device", f"virtio-net-pci,netdev=n{i},mac={mac},romfile=,"
                       f"vectors=0{more}"]


class LineSocket:
    """Lines to and from a unix socket, with deadlines."""

    def __init__(self, path, timeout_s):
        self.sock = wait_for(lambda: self._connect(path), timeout_s,
                             f"connecting to '{path}'")
        self.pending = b""

    @staticmethod
    def _connect(path):
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
            return sock
        except OSError:
            sock.close()
            return None

    def send(self, line):
        self.sock.sendall(line.encode() + b"\n")

    def receive(self, deadline):
        """The next line; None when the time is over; EOFError at the end."""
        while b"\n" not in self.pending:
            if deadline.passed():
                return None
            self.sock.settimeout(max(deadline.left(), 0.001))
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                return None
            if not data:
                raise EOFError
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line.decode("utf-8", "replace").strip("\r\0 ")

    def close(self):
        self.sock.close()


class Result:
    def __init__(self, status, output):
        self.status = status
        self.output = output


class QemuGuest:
    """One virtual machine, which may be started again after it ended."""

    def __init__(self, test, nics, name="vm", memory_mib=256, hugetlb=False,
                 ns=None, append="", machine="q35", image_options=(),
                 arguments=(), memory_option=None, made=None):
        """made: what scripts/make-guest-image printed, if not for this."""
        test.need_tool(QEMU, "qemu-system-x86")
        self.test = test
        self.nics = nics
        self.name = name
        self.memory_mib = memory_mib
        self.memory_option = memory_option or f"{memory_mib}M"
        self.hugetlb = hugetlb
        self.ns = ns
        self.append = append
        self.machine = machine
        self.more_arguments = list(arguments)
        self.image = made or image.paths(test.root, *image_options)
        self.process = None
        self.agent = None
        self.boots = []
        self.runs = 0
        self.powered_on = 0.0
        self.tokens = 0
        if hugetlb:
            hugepages.reserve(test, memory_mib)

    # life cycle

    def start(self, timeout_s=BOOT_TIMEOUT_S):
        """Power on, and wait until the agent is there."""
        check(not (self.process and self.process.alive()),
              f"{self.name} is running already")
        self.power_on()
        self.come_up(timeout_s)

    def come_up(self, timeout_s=BOOT_TIMEOUT_S):
        """After power_on: wait until the agent is there, and the clock right."""
        for tries in range(1, CLOCK_TRIES + 1):
            self.wait_ready(timeout_s)
            uptime_s = float(self.run("cat /proc/uptime").output.split()[0])
            passed_s = time.monotonic() - self.powered_on
            if uptime_s < CLOCK_FAST_MAX * passed_s:
                return
            check(tries < CLOCK_TRIES, f"{self.name}: {uptime_s:.0f} s have "
                  f"passed in the guest, {passed_s:.0f} s here")
            self.kill()
            self.power_on()

    def power_on(self):
        """Start QEMU without waiting for the guest."""
        self.runs += 1
        self.powered_on = time.monotonic()
        self.process = self.test.spawn(self._arguments(),
                                       f"{self.name}-{self.runs}", ns=self.ns)
        self.agent = self._connect("agent")

    def wait_ready(self, timeout_s=BOOT_TIMEOUT_S):
        """Wait for a boot that was not seen yet."""
        deadline = Deadline(timeout_s)
        while True:
            line = self._receive(deadline)
            if line is None:
                raise Timeout(f"{self.name} has not booted within {timeout_s} "
                              f"s:\n{self.process.out.tail()}\n"
                              f"{self.process.err.tail()}")
            boot = line.partition("ready ")[2]
            if boot and boot not in self.boots:
                self.boots.append(boot)
                return

    def reboot(self, timeout_s=BOOT_TIMEOUT_S):
        """The guest's kernel resets the machine; QEMU goes on."""
        self._send("reboot -f", RUN_TIMEOUT_S)
        self.wait_ready(timeout_s)

    def reset(self, timeout_s=BOOT_TIMEOUT_S):
        """The reset button: the guest is not asked."""
        self.monitor("system_reset")
        self.wait_ready(timeout_s)

    def power_off(self, timeout_s=RUN_TIMEOUT_S):
        self._send("poweroff -f", RUN_TIMEOUT_S)
        status = self.process.wait(timeout_s)
        self._close_agent()
        check(status == 0, f"{self.name}: QEMU exits with {status}:\n"
              f"{self.process.err.tail()}")

    def kill(self):
        """SIGKILL to QEMU: the sockets close, nothing is said good-bye."""
        self.process.kill()
        self._close_agent()

    @property
    def pid(self):
        return self.process.pid

    # commands

    def run(self, script, timeout_s=RUN_TIMEOUT_S, may_fail=False):
        """Run a shell script in the guest. Returns its Result."""
        token = self._send(script, timeout_s)
        deadline = Deadline(timeout_s + 2)
        while True:
            line = self._receive(deadline)
            if line is None:
                raise Timeout(f"{self.name}: '{script}' gave no answer within "
                              f"{timeout_s} s:\n{self.process.out.tail()}")
            if line.startswith("ready "):
                raise Failure(f"{self.name} rebooted during '{script}':\n"
                              f"{self.process.out.tail()}")
            fields = line.split(" ")
            if fields[:2] == ["done", token]:
                break
        output = base64.b64decode(fields[3]) if len(fields) > 3 else b""
        result = Result(int(fields[2]), output.decode("utf-8", "replace"))
        if result.status and not may_fail:
            hint = " (killed)" if result.status in STATUS_KILLED else ""
            raise Failure(f"{self.name}: '{script}' exits with "
                          f"{result.status}{hint}: {result.output.strip()}")
        return result

    def dhcp(self, ifname="eth0", timeout_s=30):
        """Ask for an address. Returns it, without the prefix length."""
        self.run(f"gw-net dhcp {ifname} {timeout_s}", timeout_s)
        got = self.run(f"gw-net address {ifname}").output.strip()
        return got.partition("/")[0]

    def set_address(self, address, ifname="eth0"):
        self.run(f"gw-net static {ifname} {address}")

    def reload_driver(self):
        """Unload and load virtio_net; its interfaces have lost all set-up."""
        self.run("gw-net reload")

    def ping(self, address, timeout_s=RUN_TIMEOUT_S):
        """Until one is answered: the first may go before the link is up."""
        self.run(f"until ping -c 1 -W 1 {address}; do :; done", timeout_s)

    # the monitor

    def monitor(self, command, **arguments):
        """One command of QEMU's machine protocol. Returns what it returns."""
        deadline = Deadline(CONNECT_TIMEOUT_S)
        with contextlib.closing(self._connect("qmp")) as qmp:
            for request in ({"execute": "qmp_capabilities"},
                            {"execute": command, "arguments": arguments}):
                qmp.send(json.dumps(request))
                answer = self._monitor_answer(qmp, deadline)
        return answer

    def _monitor_answer(self, qmp, deadline):
        while True:
            line = qmp.receive(deadline)
            if line is None:
                raise Timeout(f"{self.name}: the monitor does not answer")
            message = json.loads(line)
            if "error" in message:
                raise Failure(f"{self.name}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]

    # helpers

    def _path(self, what):
        return self.test.path(f"{self.name}-{self.runs}.{what}")

    def _connect(self, what):
        try:
            return LineSocket(self._path(what), CONNECT_TIMEOUT_S)
        except Timeout:
            self.process.check_alive()
            raise

    def _close_agent(self):
        if self.agent:
            self.agent.close()
            self.agent = None

    def _arguments(self):
        huge = ",hugetlb=on,hugetlbsize=2M" if self.hugetlb else ""
        size = f"{self.memory_mib}M"
        arguments = [
            self.image.get("qemu", QEMU),
            "-accel", os.environ.get("GW_QEMU_ACCEL", "tcg"),
            "-machine", f"{self.machine},memory-backend=ram", "-cpu", "max",
            "-m", self.memory_option, "-nodefaults", "-no-user-config", "-display", "none",
            "-object", f"memory-backend-memfd,id=ram,size={size},share=on"
                       + huge,
            "-chardev", "stdio,id=console,signal=off",
            "-device", "isa-serial,chardev=console",
            "-chardev", f"socket,id=agent,path={self._path('agent')},"
                        "server=on,wait=off",
            "-device", "isa-serial,chardev=agent",
            "-qmp", f"unix:{self._path('qmp')},server=on,wait=off",
            "-kernel", self.image["vmlinuz"], "-initrd", self.image["initrd"],
            "-append", f"{KERNEL_ARGUMENTS} {self.append}".strip(),
        ]
        for i, nic in enumerate(self.nics):
            arguments += nic.arguments(i)
        return arguments + self.more_arguments

    def _send(self, script, timeout_s):
        self.tokens += 1
        token = f"t{self.tokens}"
        code = base64.b64encode(script.encode()).decode()
        try:
            self.agent.send(f"run {token} {int(timeout_s) or 1} {code}")
        except OSError as e:
            raise self._died() from e
        return token

    def _receive(self, deadline):
        try:
            return self.agent.receive(deadline)
        except (EOFError, ConnectionError) as e:
            raise self._died() from e

    def _died(self):
        return Failure(f"{self.name}: QEMU ended:\n{self.process.out.tail()}\n"
                       f"{self.process.err.tail()}")
