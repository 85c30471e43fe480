# SPDX-License-Identifier: BSD-2-Clause
"""Fairness under a slow egress: what others keep of their rate.

One guest has two flows in one ring, each to a device of its own; another guest has
a flow to a third one:

    guest a ---+---> fast     an interface of a veth pair, without a limit
               +---> slow     see below
    guest c -------> free     an interface as the first

    shaped   slow is a packet socket on an interface that sends 1 Mbit/s (tbf),
             and keeps what it has no time for, until its buffers are used up
    holding  slow is a simulated device that completes each frame a second
             later, and has no more than 256 at a time

The load is offered at a fixed rate for each flow, far below what the back-end
reaches with these frames, so that a back-end which is fair loses nothing. (Were it
offered as fast as can be, there would be no rate to keep: what one flow does less of
the others do more of.) The flow to the slow device is offered at the same rate, which
is hundreds of times what that device takes. What a guest could not send, because its
ring was full, it makes up for while the period lasts; in a ring that stays full each
flow finds room in its turn.

Both guests stay from the first frame to the last, and everything is in place when
it counts. They send for one period with the slow flow, for one without it, and so on
in turn (herd --periods), and at the end of each the far ends' kernels have counted what
arrived. The figure is what each of the other two flows had with the slow one beside it,
to what it had in the period after that, in per cent; of both flows the worse; of the
pairs of periods the median.

A pair does not count if a flow did not have what was offered even without the slow one:
then something else was the limit, mostly that others had the processor. As many pairs
more are tried; if too few are left there is no figure, and the text says which
flow had how much.

The same with Open vSwitch, by a rule for each flow: fast and free are AF_XDP ports
there as here, and slow is an ordinary interface, to which it sends by a packet socket,
as we do. It has no device that holds frames.

Where there is a ledger (ours) each frame that was sent has to be in it, and what it
says of the two fast devices is what their far ends have counted.
"""

import json
import time

from lib import guest, netns
from lib.daemon import Daemon
from lib.proc import Deadline, Skip, check, wait_for
from lib.wire import mac

from . import counters, loads
from .backends import Guestwire, pin
from .figures import Sample, median
from .ovs import BRIDGE, GUEST, Ovs
from .trial import absent, told

RATE = 100000
SIZE = 1500
# it keeps what it has no time for, so that the device is full and not lossy
TBF = ("rate", "1mbit", "burst", "16kbit", "limit", "4mb")
HOLD_MS = 1000
LEARN_TIMEOUT_S = 10
SENDER = ("--send", 1, "--size", SIZE, "--timeout", LEARN_TIMEOUT_S)
RING = 1024
# a period is so much of what a measurement lasts
PERIOD_SHARE = 0.5
PAIRS, TRIES = 3, 9
STEADY_SHARE = 0.97
# of what it is offered the slow interface can have no more
SLOW_SHARE = 0.1
SETTLE_S = 10
# the time in which nothing arrives when all has
STILL_S = 0.02
WORD_TIMEOUT_S = 20
# to start all of it, and to end it; guessed
START_S = 2.0

# (guest, device, who is behind it); the last is the slow one
SLOW = "slow"
FLOWS = ((0, "fast", mac(0x60)), (1, "free", mac(0x62)), (0, SLOW, mac(0x61)))
OTHERS = FLOWS[:-1]
GUESTS = ("a", "c")


class Place:
    """The interfaces, and who counts what arrives. It is a sink as of sinks.py."""

    name, mtu = "fair", 1500

    def __init__(self, t):
        self.ns, self.far_ns = t.netns("near"), t.netns("far")
        for _, device, _ in FLOWS:
            netns.veth(self.ns, device, self.far_ns, "far" + device)

    def shape(self):
        """Whoever takes an interface for his own may make it an ordinary one."""
        self.ns.run(["tc", "qdisc", "replace", "dev", SLOW, "root", "tbf", *TBF])

    def arrived(self):
        """At the far ends, of each of the other flows."""
        return [self.received(device) for _, device, _ in OTHERS]

    def received(self, device):
        return self.far_ns.statistics("far" + device)["rx_packets"]


class Site(Guestwire):
    """guestwired with two guests and three devices in one network."""

    def begin(self, place, slow):
        self.place, self.ns = place, place.ns
        self.name_sockets(len(GUESTS))
        devices = {"shaped": "packet:slow",
                   "holding": f"loop:,delay={HOLD_MS},echo=swap"}
        self.daemon = Daemon(
            self.t, [f"{name}=guest:{path}"
                     for name, path in zip(GUESTS, self.sockets)]
            + ["fast=xdp:fast", "free=xdp:free", f"slow={devices[slow]}"],
            ns=self.ns)
        self.daemon.start()
        pin(self.pid, self.cpu)
        for _, device, address in FLOWS:
            if device == SLOW and slow == "holding":
                self._learn_echo(address)
            else:
                self._learn(device, address)

    def _learn(self, device, address):
        """Who is there shows himself."""
        guest.run_guest(self.t, "--interface", "far" + device, *SENDER,
                        "--mac", address, ns=self.place.far_ns)
        # it goes to all, and is not to be taken for what is counted
        wait_for(lambda: self.daemon.port(device)["rx_frames"], SETTLE_S,
                 f"the first frame from {device}")

    def _learn_echo(self, address):
        """What a guest sends there comes back with its addresses swapped."""
        guest.run_guest(self.t, "--socket", self.sockets[0], *SENDER, "--mac",
                        mac(1), "--dst", address, "--receive", 1)

    def ledger(self):
        """[(frames that went out, what was dropped and why)] of each flow."""
        known = self.daemon.pairs()
        pairs = [known[GUESTS[n], device] for n, device, _ in FLOWS]
        return [(p.lent_frames + p.copied_frames, p.drops()) for p in pairs]


class Switch(Ovs):
    """Open vSwitch with the same ports."""

    PORTS = ((GUESTS[0], GUEST), (GUESTS[1], GUEST), ("fast", "afxdp"),
             ("free", "afxdp"), (SLOW, "system"))

    def begin(self, place, slow):
        if slow != "shaped":
            raise Skip("it has no device that holds frames")
        self.start(place)
        self.sockets = [f"{self.folder}/{name}" for name in GUESTS]

    def _add_ports(self, sink):
        self._vsctl("add-br", BRIDGE, "--", "set", "bridge", BRIDGE,
                    "datapath_type=netdev", "fail_mode=secure")
        numbers = {}
        for n, (name, kind) in enumerate(self.PORTS, 1):
            numbers[name] = n
            self._vsctl("add-port", BRIDGE, name, "--", "set", "interface",
                        name, f"type={kind}", f"ofport_request={n}")
            error = self._vsctl("get", "interface", name, "error")
            check(error == "[]", f"Open vSwitch, port {name}: {error}")
        for n, device, address in FLOWS:
            self._run("usr/bin/ovs-ofctl", "add-flow",
                      f"unix:{self.folder}/{BRIDGE}.mgmt",
                      f"in_port={numbers[GUESTS[n]]},dl_dst={address},"
                      f"actions=output:{numbers[device]}")

    def connected(self):
        self._wait_links(GUESTS)

    def ledger(self):
        return None


SITES = {Guestwire: Site, Ovs: Switch}


class Books:
    """What the site's ledger says of frames that were sent since now."""

    def __init__(self, site, place):
        self.site, self.place = site, place
        self.arrived, self.ledger = place.arrived(), site.ledger()

    def since(self):
        """[(frames that went out, {reason: frames dropped})]"""
        return [(out - before, {r: n - drops_before.get(r, 0)
                                for r, n in drops.items()
                                if n > drops_before.get(r, 0)})
                for (out, drops), (before, drops_before)
                in zip(self.site.ledger(), self.ledger)]

    def problem(self, sent):
        """What does not add up, or None."""
        if self.ledger is None:
            return None
        flows = self.since()
        known = [out + sum(drops.values()) for out, drops in flows]
        if known != sent:
            return f"of {sent} frames that were sent the ledger has {known}"
        far = [now - before for now, before
               in zip(self.place.arrived(), self.arrived)]
        if far != [out for out, _ in flows[:len(far)]]:
            return f"the far ends have {far}, the ledger says {flows}"
        return None


class Run:
    """One load on one back-end, period after period."""

    def __init__(self, bench, site, place):
        self.place = place
        self.seconds = PERIOD_SHARE * bench.seconds
        wait_for(self._is_still, SETTLE_S, "all to be learned")
        self.books, self.sent = Books(site, place), None
        words = [w for n, device, address in FLOWS for w in
                 ("--beside" if device == SLOW else "--flow",
                  f"{n},{address},{RATE}")]
        self.load = loads.start_herd(
            bench, site.t, ("--periods", 2 * TRIES + 1, "--seconds",
                            self.seconds, "--warm-up", 0, *words),
            site.sockets,
            ("--size", SIZE, "--ring-size", RING, "--indirect", "never"))
        self.lines = 0
        pin(self.load.pid, bench.guest_cpu)
        site.connected()

    def period(self):
        """What arrived meanwhile of each of the others."""
        before = self.place.arrived()
        self._send_word()
        self._await_word()
        after = self.place.arrived()
        wait_for(self._is_still, SETTLE_S, "frames to arrive")
        return [b - a for a, b in zip(before, after)]

    def _send_word(self):
        stdin = self.load.process.process.stdin
        stdin.write(b"\n")
        stdin.flush()

    def _await_word(self):
        self.lines, match = self.load.process.wait_line(
            '"flows": (.*)}', WORD_TIMEOUT_S + self.seconds, self.lines)
        self.lines += 1
        self.sent = json.loads(match.group(1))

    def _is_still(self):
        before = self.place.arrived()
        time.sleep(STILL_S)
        return before == self.place.arrived()

    def pair(self):
        """(per cent, None), or (None, why it does not count)"""
        beside, alone = self.period(), self.period()
        least = min(alone) / (RATE * self.seconds)
        if least < STEADY_SHARE:
            device = OTHERS[alone.index(min(alone))][1]
            return None, (f"without the slow flow the one to '{device}' had "
                          f"{100 * least:.0f} % of what was offered")
        return 100 * min(b / a for a, b in zip(alone, beside)), None

    def pairs(self):
        """([per cent of each that counts], why others do not)"""
        found, why = [], None
        for _ in range(TRIES):
            share, no = self.pair()
            why = no or why
            found += [share] * (share is not None)
            if len(found) == PAIRS:
                break
        return found, why

    @staticmethod
    def _check_slow(received, sent):
        check(0 < received < SLOW_SHARE * sent, f"of {sent} frames for the slow "
              f"interface {received} came through: it is not slow")

    def check_books(self, slow):
        self.load.go()
        self.load.said()
        check(self.sent[-1], "nothing was sent to the slow device")
        if slow == "shaped":
            self._check_slow(self.place.received(SLOW), self.sent[-1])
        deadline = Deadline(SETTLE_S)
        while self.books.problem(self.sent):
            check(not deadline.passed(), self.books.problem(self.sent))
            time.sleep(STILL_S)


class Fair:
    def __init__(self, slow):
        self.slow = slow

    def check(self, bench, contestant, work):
        return None

    def measure_s(self, bench, contestant):
        return contestant.back_end.START_S + START_S + \
            (2 * PAIRS + 1) * PERIOD_SHARE * bench.seconds

    def measure(self, bench, round_, contestant, work):
        def once():
            with bench.folder() as t:
                place = Place(t)
                site = SITES[contestant.back_end](t, bench.cpu,
                                                  contestant.words)
                site.begin(place, self.slow)
                place.shape()
                bench.versions[contestant.name] = site.version()
                return self._compare(bench, round_, contestant, work,
                                     Run(bench, site, place), site)
        sample, why = told(once)
        return sample or absent(bench, work, contestant, why, round_)

    def _compare(self, bench, round_, contestant, work, run, site):
        run.period()
        watch = counters.Watch(site.pid, run.load.pid)
        site.t.on_exit(watch.close)
        found, why = run.pairs()
        watch.look()
        run.check_books(self.slow)
        return Sample(bench.run, round_, work.name, contestant.name, None,
                      None if len(found) == PAIRS else why, watch.waited(),
                      amount=median(found) if found else None)
