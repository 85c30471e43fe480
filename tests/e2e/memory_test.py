# SPDX-License-Identifier: BSD-2-Clause
"""What memory the daemon takes, and who can see it."""

import array
import os
import selectors
import socket
import struct
import threading

from lib import guest
from lib.daemon import smaps
from lib.proc import check
from lib.scenario import cases
from lib.wire import Sweep, Wire, check_end, start_together

SWEEP = Sweep(14, 1514)
OWN_MEMORY_MAX_BYTES = 32 << 20
BIG_GUEST_MIB = 256
ARENA = "guestwire-bounce"
PASSED_FDS_MAX = 16
# request, flags, size of the payload (vhost-user "Header")
HEADER = struct.Struct("=III")


def shared_files(pid):
    """{(device, inode): name} of what a process has mapped shared."""
    found = {}
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        for line in f:
            _, mode, _, device, inode, *name = line.split(maxsplit=5)
            if mode.endswith("s") and inode != "0":
                found[device, inode] = name[0].strip() if name else ""
    return found


def open_files(pid):
    """(device, inode) of what a process has open, but for what has none."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            about = os.stat(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            continue
        found.add((about.st_dev, about.st_ino))
    return found


def arena_of(be):
    """What is mapped shared, and is no memory of a guest."""
    arenas = {f: n for f, n in shared_files(be.pid).items() if ARENA in n}
    check(len(arenas) == 1, f"the arena is one file: {shared_files(be.pid)}")
    return set(arenas)


@cases("driver", ("xdp", "packet", "guest"))
def test_bounce_memory_is_in_no_guest(t, driver):
    """Guests share their memory with the daemon, and the daemon none."""
    wire = Wire(t, driver, options=",loan=never")
    wire.start()
    wire.exchange(SWEEP)
    a = wire.start_guest("--hold")
    ours, theirs = shared_files(wire.be.pid), shared_files(a.pid)
    arena = arena_of(wire.be)
    check(set(ours) & set(theirs), "guest memory is in both: the test works")
    check(not arena & set(theirs), f"bounce memory is in the guest: {theirs}")
    inodes = {int(inode) for _, inode in arena}
    check(not inodes & {inode for _, inode in open_files(a.pid)},
          "the guest has a descriptor of bounce memory")
    a.stop()
    wire.be.stop()


class Relay:
    """Stands between a guest and the daemon and sees what is passed."""

    def __init__(self, t, path, target):
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(1)
        self.target = target
        self.passed = {"guest": 0, "daemon": 0}
        self.bytes = {"guest": 0, "daemon": 0}
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        t.on_exit(self.server.close)

    def _run(self):
        front, _ = self.server.accept()
        back = socket.socket(socket.AF_UNIX)
        back.connect(self.target)
        with selectors.DefaultSelector() as selector, front, back:
            selector.register(front, selectors.EVENT_READ, ("guest", back))
            selector.register(back, selectors.EVENT_READ, ("daemon", front))
            while True:
                for key, _ in selector.select():
                    if not self._pass_on(key.fileobj, *key.data):
                        return

    def _pass_on(self, source, name, target):
        """One message: descriptors have to stay with theirs."""
        data, fds, _, _ = socket.recv_fds(source, HEADER.size, PASSED_FDS_MAX)
        if len(data) < HEADER.size:
            return False
        _, _, size = HEADER.unpack(data)
        if size:
            data += source.recv(size, socket.MSG_WAITALL)
        self.passed[name] += len(fds)
        self.bytes[name] += len(data)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                      array.array("i", fds))] if fds else []
        target.sendmsg([data], ancillary)
        for fd in fds:
            os.close(fd)
        return True


def test_no_descriptor_is_passed_to_a_guest(t):
    wire = Wire(t, "loop", options=",echo=on,answer=no")
    wire.start()
    relay = Relay(t, t.path("relay.sock"), wire.socket)
    n = SWEEP.count()
    said = guest.run_guest(t, "--socket", t.path("relay.sock"),
                           *SWEEP.arguments(), "--receive", n, "--verify",
                           "--window", 32)
    check_end(said, n, n)
    check(relay.passed["guest"] > 0 and relay.bytes["daemon"] > 0,
          f"nothing went through the relay: {relay.passed}, {relay.bytes}")
    check(relay.passed["daemon"] == 0,
          f"the daemon passed {relay.passed['daemon']} descriptors")
    wire.be.stop()


def huge_bytes(be, shared):
    """Of its own mappings, not of those that guests share."""
    huge = 0
    for mapping, sizes in smaps(be.pid):
        _, _, _, device, inode, *_ = mapping.split(maxsplit=5)
        if (device, inode) not in shared:
            huge += sum(sizes.get(n, 0) for n in (
                "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped",
                "Shared_Hugetlb", "Private_Hugetlb"))
    return huge


def check_own_memory(t, be, pids):
    own = be.private_bytes(pids)
    check(own < OWN_MEMORY_MAX_BYTES, f"{own >> 10} KiB of its own")
    shared = {f for pid in pids for f in shared_files(pid)}
    check(huge_bytes(be, shared) == 0, "there are hugepages in the daemon")
    t.note(f"{own >> 10} KiB")


def test_two_guests_under_32_mib(t):
    ns = t.netns("daemon")
    wires = [Wire(t, d, site=i, ns=ns)
             for i, d in enumerate(("xdp", "packet"))]
    start_together(t, wires)
    be = wires[0].be
    guests = [w.start_guest("--memory", BIG_GUEST_MIB, "--send", 0, "--rate",
                            2000, "--hold") for w in wires]
    be.wait_show(lambda _: be.pair("a0", "up0").lent_frames > 1000 and
                 be.pair("a1", "up1").frames > 1000, 20,
                 "frames of both guests, lent and copied")
    if be.sanitized():
        t.note("a sanitizer's memory is not the daemon's own: not measured")
    else:
        check_own_memory(t, be, [g.pid for g in guests])
    for process in guests:
        process.stop()
    be.stop()
