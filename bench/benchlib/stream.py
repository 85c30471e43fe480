# SPDX-License-Identifier: BSD-2-Clause
"""A real guest behind a tap: Linux in QEMU, under software emulation.

    Tcp     what the back-end spends on each KiB that the guest sends to this
            host, or receives. How fast that goes says only how fast an emulated
            processor is. What counts is the processor time of all that stands
            between guest and tap: the back-end, and all threads of QEMU but
            those that are the guest's processors. With QEMU's own tap back-end
            that is QEMU's main loop.
    Loop    the same, but of us only what QEMU's main loop spends, which then does
            no more than pass interrupts on: what no vhost-user back-end is spared
    Wake    how long the first frame takes after there was none for a while, to
            the guest and back: microseconds, of a hundred the second worst
"""

import os
import socket
import time

from lib import peer
from lib.daemon import Daemon
from lib.echo import (ECHO_REPLY, ECHO_REQUEST, HEADER, IP_HEADER_BYTES,
                      checksum)
from lib.qemu import QemuGuest, TapNic, VhostUserNic

from . import counters
from .backends import Back_end, pin
from .figures import quantile
from .trial import Together, amount_of, told

HOST, GUEST = "10.77.1.1", "10.77.1.2"
FILE_BYTES, BLOCK_BYTES = 256 << 20, 64 << 10
# on a machine that is not quiet, too
BOOT_TIMEOUT_S, RUN_TIMEOUT_S = 180, 300
PINGS, REST_S, ANSWER_TIMEOUT_S, ANSWER_BYTES = 100, 0.05, 1.0, 2048
KIB = 1 << 10
TAP = "tap0"


class Ours(Back_end):
    """guestwired between QEMU and the tap."""

    def begin(self, ns):
        self.name_sockets(1)
        self.daemon = Daemon(self.t, [f"a=guest:{self.sockets[0]}"
                                      f"{self.words}", f"out=tap:{TAP}"],
                             ns=ns)
        self.daemon.start()
        pin(self.daemon.pid, self.cpu)

    def nic(self):
        return VhostUserNic(self.sockets[0])

    def pids(self):
        return [self.daemon.pid]


class Qemu_tap(Back_end):
    """QEMU's own."""

    def begin(self, ns):
        pass

    def nic(self):
        return TapNic(TAP)

    def pids(self):
        return []


class Zeros_in(peer.OneConnection):
    """Takes what comes."""

    def transfer(self, connection):
        buffer = bytearray(peer.CHUNK_BYTES)
        while True:
            count = connection.recv_into(buffer)
            if not count:
                return
            self.bytes += count


class Zeros_out(peer.OneConnection):
    """Sends zeros, so many."""

    def transfer(self, connection):
        block = bytes(peer.CHUNK_BYTES)
        while self.bytes < FILE_BYTES:
            self.bytes += connection.send(block)


# In blocks of 64 KiB, as servers write. nc itself would read and write 1 KiB at a time,
# and what is measured would be wake-ups: one frame, and its acknowledgement, and so on.
FROM_GUEST = (Zeros_in, "nc {host} {port} -e dd if=/dev/zero bs=64k count={blocks}")
TO_GUEST = (Zeros_out, "nc {host} {port} -e dd of=/dev/null bs=64k")


def processors_of(vm):
    """The threads of QEMU that are the guest's processors."""
    return [c["thread-id"] for c in vm.monitor("query-cpus-fast")]


def pin_apart(vm, bench):
    """The guest where all guests are; and where back-ends are, all the rest."""
    pin(vm.pid, bench.cpu)
    for tid in processors_of(vm):
        os.sched_setaffinity(tid, {bench.guest_cpu})


class Real(Together):
    """A machine with one NIC, its address, and the back-end of the contestant.
    To boot it takes most of the time, so that all is measured in one of them."""

    STARTS_S, AMOUNT_S = 15.0, 8.0

    def amounts(self, bench, contestant, works):
        with bench.folder() as t:
            kind = contestant.back_end if contestant.back_end is \
                Qemu_tap else Ours
            back_end = kind(t, bench.cpu, contestant.words)
            ns = t.netns("host")
            ns.add_tap(TAP, HOST + "/24", vnet_header=True)
            back_end.begin(ns)
            vm = QemuGuest(t, [back_end.nic()], ns=ns)
            vm.start(BOOT_TIMEOUT_S)
            vm.set_address(GUEST + "/24")
            vm.ping(HOST)
            pin_apart(vm, bench)
            return {w.name: told(lambda one=w.trial: amount_of(
                one.amount(t, ns, vm, back_end))) for w in works}

    def amount(self, t, ns, vm, back_end):
        raise NotImplementedError


class Tcp(Real):
    def __init__(self, way):
        self.far, self.script = way

    def pids(self, back_end):
        return back_end.pids()

    def amount(self, t, ns, vm, back_end):
        far = self.far(t, ns, HOST)
        watch = [counters.Threads(vm.pid, processors_of(vm)),
                 *(counters.Threads(pid) for pid in self.pids(back_end))]
        vm.run(self.script.format(blocks=FILE_BYTES // BLOCK_BYTES, host=HOST,
                                  port=far.port), RUN_TIMEOUT_S)
        far.result()
        return sum(w.spent_ns() for w in watch) / (far.bytes / KIB)


class Loop(Tcp):
    def pids(self, back_end):
        return []


class Wake(Real):
    def amount(self, t, ns, vm, back_end):
        with ns.socket(socket.AF_INET, socket.SOCK_RAW,
                       socket.IPPROTO_ICMP) as sock:
            sock.settimeout(ANSWER_TIMEOUT_S)
            times = []
            for sequence in range(PINGS):
                time.sleep(REST_S)
                times.append(ping(sock, sequence))
        return 1e6 * quantile(times, 0.99)


def ping(sock, sequence):
    """Seconds until the answer; one that is lost has taken all the time."""
    ident = os.getpid() & 0xffff
    head = HEADER.pack(ECHO_REQUEST, 0, 0, ident, sequence)
    head = HEADER.pack(ECHO_REQUEST, 0, checksum(head), ident, sequence)
    start = time.monotonic()
    sock.sendto(head, (GUEST, 0))
    while time.monotonic() < start + ANSWER_TIMEOUT_S:
        try:
            data = sock.recv(ANSWER_BYTES)
        except TimeoutError:
            break
        if HEADER.unpack_from(data, IP_HEADER_BYTES)[::3] == \
                (ECHO_REPLY, ident) and data[-2:] == head[-2:]:
            return time.monotonic() - start
    return ANSWER_TIMEOUT_S
