# SPDX-License-Identifier: BSD-2-Clause
"""Frames that describe themselves, from one end of the daemon to another.

    wire = Wire(t, "xdp")           # a guest's port `a`, and the device `up`
    wire.start()
    wire.exchange(Sweep(14, 1514), "--unaligned")
    wire.check_ledger(Sweep(14, 1514))

Several of them in one daemon, in a network each: start_together(t, wires).

An end is guestwire-guest: a guest on a vhost-user socket, or, on the far side
of a device, a raw socket on a host's interface. Both send the same number of
frames and have at most WINDOW out that were not yet matched by a received
one, so nothing is ever overrun and every frame has to come, once.

The far end begins when the daemon has said that the device was asked about
the guest's memory: while an xdp port takes new memory its queue rests, and
what comes in then is lost.
"""

import collections
import re

from . import guest, memlock, netns
from .daemon import Daemon
from .proc import check

WINDOW = 32
# how far a later guest may be ahead: with the window less than any queue between the
# ends, of which an xdp port's 512 receive buffers are the shortest
AHEAD_MAX = 256
RING_SIZE = 1024
MEMORY_MIB = 16
# a guest's memory and the daemon's own, while registered twice
PINNED_MIB = 2 * MEMORY_MIB + 16
EXCHANGE_TIMEOUT_S = 30
ASKED_TIMEOUT_S = 10
LEAD_RATE = AHEAD_MAX // ASKED_TIMEOUT_S
# of the frames that a guest sends before a device was asked
PENDING = ("query_pending", "mapping_pending")
# the first window, and what comes until the worker has the answer
PENDING_MAX_SHARE = 0.5
# what a run without a fault has none of
FAULTS = ("corrupted", "duplicated", "missing", "foreign")
GUEST_FAULTS = FAULTS + ("missed_calls", "tx_used_len_set",
                         "rx_num_buffers_not_1")
INTERFACE_FAULTS = FAULTS + ("kernel_drops",)

# what the device does with frames of a guest:
#   verdict, reason  what its driver answers
#   reads            by whom they are read
#   kernel_copies    does the kernel copy each of them?
#   copybreak        does that count? Not where a loan is over when the frame
#                    is handed over
Device = collections.namedtuple(
    "Device", "verdict reason reads kernel_copies copybreak")
DEVICES = {
    "xdp": Device("partly", None, "kernel-copy", True, True),
    "tap": Device("yes", None, "kernel-copy", True, False),
    "packet": Device("no", "device_cannot_read", "bounce", True, False),
    "guest": Device("yes", None, "delivery", False, False),
    "loop": Device("yes", None, "dma", False, True),
    "null": Device("yes", None, "nothing", False, False),
}


class Sweep:
    """Frames of every size from low to high, round after round."""

    def __init__(self, low, high, rounds=1):
        self.low, self.high, self.rounds = low, high, rounds

    def arguments(self):
        return ["--send", self.count(), "--size", f"{self.low}-{self.high}"]

    def count(self, least=0):
        """Frames of at least so many bytes."""
        return self.rounds * max(self.high - max(self.low, least) + 1, 0)

    def bytes(self):
        return self.count() * (self.low + self.high) // 2


def mac(stream):
    return f"52:57:00:00:00:{stream:02x}"


def addresses(own, other):
    """Arguments of an end that sends one stream and hears another."""
    return ["--stream", own, "--mac", mac(own), "--dst", mac(other),
            "--receive-stream", other, "--verify"]


def check_end(said, sent, received, sent_bytes=None, received_bytes=None):
    """All that an end says of itself: so many frames, each good, and once."""
    where = f"{said['mode']} of {[s['stream'] for s in said['streams']]}"
    check(said["exit"] == 0 and not said["errors"], f"{where}: {said}")
    faults = GUEST_FAULTS if said["mode"] == "guest" else INTERFACE_FAULTS
    for name in faults:
        check(said[name] == 0, f"{where}: {name} is {said[name]}: {said}")
    for name, value in (("sent", sent), ("completed", sent),
                        ("received", received), ("verified", received),
                        ("sent_bytes", sent_bytes),
                        ("received_bytes", received_bytes)):
        check(value is None or said[name] == value,
              f"{where}: {name} is {said[name]}, not {value}")
    check(said["mode"] != "guest" or said["stop"]["clean"],
          f"{where}: the rings did not stop in good order: {said}")


class Wire:
    """A daemon with a guest's port `a` and a device `up`, and the far end.

    With a site (a number), names, streams and network are its own.
    """

    def __init__(self, t, driver, mtu=None, options="", guest_options="",
                 site=None, ns=None):
        if driver == "xdp":
            memlock.need(PINNED_MIB)
        self.t, self.driver = t, driver
        self.device = DEVICES[driver]
        site_name = "" if site is None else str(site)
        self.a, self.up = "a" + site_name, "up" + site_name
        self.stream = 1 if site is None else 2 * site + 1
        self.far_stream = self.stream + 1
        self.socket = t.path(f"{self.a}.sock")
        self.ns = ns or t.netns("daemon")
        self.far_ns, self.far_place = None, None
        self.runs = 0
        self.be = None
        network = f",network=net{site_name}"
        self.ports = [
            f"{self.a}=guest:{self.socket}{network}{guest_options}",
            f"{self.up}={driver}:{self._make_far(mtu)}{network}{options}"]

    def _make_far(self, mtu):
        """The far end's place, and what the port's target is."""
        near, far = "near" + self.up, "far" + self.up
        if self.driver in ("xdp", "packet"):
            self.far_ns = self.t.netns(far)
            netns.veth(self.ns, near, self.far_ns, far, mtu=mtu)
            self.far_place = ["--interface", far]
            return near
        if self.driver == "tap":
            self.far_ns = self.ns
            self.ns.add_tap(near, mtu=mtu)
            self.far_place = ["--interface", near]
            return near
        if self.driver == "guest":
            target = self.t.path(f"{self.up}.sock")
            self.far_place = ["--socket", target, "--memory", MEMORY_MIB,
                              "--ring-size", RING_SIZE]
            return target
        return ""

    def start(self, *arguments):
        start_together(self.t, [self], *arguments)

    # traffic

    def start_guest(self, *arguments):
        self.runs += 1
        return guest.start_guest(
            self.t, "--socket", self.socket, "--memory", MEMORY_MIB,
            "--ring-size", RING_SIZE, "--timeout", EXCHANGE_TIMEOUT_S,
            *arguments, name=f"{self.a}-{self.runs}")

    def start_far(self, *arguments):
        """Sends nothing before release()."""
        return guest.start_guest(
            self.t, *self.far_place, "--start-fd", 0, "--timeout",
            EXCHANGE_TIMEOUT_S, *arguments,
            name=f"far{self.up}-{self.runs}", ns=self.far_ns)

    def begin(self, sweep, *layout):
        """Both ways at once, until finish() has what the two ends say.

        A device may still have the memory of an earlier guest, and is asked
        again when a frame comes after that: a later guest sends a few
        before the far end begins, and what says that its memory is registered
        is a loan. By as many the far end's window is wider: it may send them
        in one burst.
        """
        fresh = self.is_fresh()
        if not fresh:
            self._wait_quiet()
        pace = ["--window", WINDOW] if fresh else [
            "--window", AHEAD_MAX, "--start-fd", 0, "--lead", LEAD_RATE]
        both = [*sweep.arguments(), "--receive", sweep.count()]
        mark = len(self.be.process.err.lines)
        far = self.start_far(*addresses(self.far_stream, self.stream), *both,
                             "--window", WINDOW)
        a = self.start_guest(*addresses(self.stream, self.far_stream), *both,
                             *pace, "--scribble", *layout)
        if fresh:
            self.wait_answered(mark)
        elif self.device.verdict != "no":
            self._wait_lent()
        release(far)
        if not fresh:
            release(a)
        return a, far

    def is_fresh(self):
        """No guest was there before?"""
        return not re.search(f"port {self.a}: a front-end has connected",
                             self.be.process.err.text())

    def wait_answered(self, mark):
        """Until the daemon says, after `mark`, that the driver gave the answer
        of the table."""
        self.be.process.wait_line(
            f"port {self.up} asked about frames of port {self.a}: "
            rf"{self.device.verdict}\b", ASKED_TIMEOUT_S,
            mark, self.be.process.err)

    def _wait_quiet(self):
        """Until an earlier guest has gone, and its frames too: the far end
        would take them for this one's."""
        def quiet(_):
            pair = self.be.pairs().get((self.a, self.up))
            return self.be.port(self.a)["status"].startswith("listening") \
                and not (pair and (pair.loans_out or pair.bounce_out))
        self.be.wait_show(quiet, ASKED_TIMEOUT_S,
                          f"{self.a} to be done with an earlier guest")

    def lent(self):
        pair = self.be.pairs().get((self.a, self.up))
        return pair.lent_frames if pair else 0

    def _wait_lent(self):
        before = self.lent()
        self.be.wait_show(lambda _: self.lent() > before, ASKED_TIMEOUT_S,
                          f"a frame lent from {self.a} to {self.up}")

    def finish(self, ends, sweep):
        n, total = sweep.count(), sweep.bytes()
        for process in ends:
            said = guest.result(process, EXCHANGE_TIMEOUT_S)
            check_end(said, n, n, total, total)
            check(said["out_of_order"] == 0, f"out of order: {said}")

    def exchange(self, sweep, *layout):
        self.finish(self.begin(sweep, *layout), sweep)

    # the ledger

    def check_ledger(self, sweep, copybreak=0, runs=1,
                     why=None, also=()):
        """What went from the guest to the device.

        why: the reason to copy all of it; also: other reasons to copy some.
        """
        pair = self.be.settled_pair(self.a, self.up)
        copies, device = pair.copies(), self.device
        n, total = sweep.count() * runs, sweep.bytes() * runs
        why = why or device.reason
        check((pair.frames, pair.bytes) == (n, total),
              f"{n} frames, {total} bytes were sent: {pair.data}")
        check(pair.lent_frames + pair.copied_frames == n and
              pair.lent_bytes + pair.copied_bytes == total,
              f"lent and copied do not add up: {pair.data}")
        check(not pair.drops() and not pair.loans_out and
              not pair.bounce_out, f"left or dropped: {pair.data}")
        copied = sum(copies.pop(r, 0) for r in PENDING)
        check(copied <= PENDING_MAX_SHARE * n,
              f"pending too long: {pair.data}")
        copied += sum(copies.pop(r, 0) for r in also)
        least = copybreak if device.copybreak else 0
        if why:
            check(pair.lent_frames == 0 and set(copies) == {why},
                  f"all is copied for {why}: {pair.data}")
        else:
            check(set(copies) <= {"copybreak"}, f"copied: {pair.data}")
            lendable = sweep.count(least) * runs
            check(lendable - copied <= pair.lent_frames <= lendable,
                  f"{lendable} of {least} bytes or more: {pair.data}")
        kernel = (n, total) if device.kernel_copies else (0, 0)
        check((pair.kernel_copied_frames, pair.kernel_copied_bytes) == kernel,
              f"the kernel copies {kernel}: {pair.data}")
        check(pair.query["asked"] and
              (pair.query["verdict"], pair.query["reason"]) ==
              (device.verdict, device.reason),
              f"the driver answers {pair.query}")
        reads = self.be.port(self.up)["device_reads"]
        check(reads == device.reads, f"{self.up} reads by {reads}")
        return pair


def start_together(t, wires, *arguments):
    """One daemon for all of them, which are in the same namespace."""
    be = Daemon(t, [p for w in wires for p in w.ports], ns=wires[0].ns,
                arguments=arguments)
    be.start()
    for wire in wires:
        wire.be = be


def release(process):
    """The end that waits for its standard input may send."""
    process.process.stdin.close()
