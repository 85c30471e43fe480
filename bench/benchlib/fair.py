# SPDX-License-Identifier: BSD-2-Clause
"""Fairness under a slow egress: what others keep of their rate.

One guest has two flows in one ring, to two devices of its network; another guest
has a flow to the second of these. All three offer the same rate. First without
the flow to the first device, then with it: what arrives of the others, then to
before, in per cent, and of both the worse.

    shaped   a packet port whose interface sends 1 Mbit/s (tbf), and keeps the
             port's buffers until then
    holding  a simulated device that completes each frame a second later, and
             has no more than 256 at a time

The second device is an interface without a limit. What arrived there is what its
far end counts, and that has to be the sum of what we say of each flow.
"""

import time

from lib import guest, netns
from lib.daemon import Daemon
from lib.proc import check, wait_for
from lib.wire import mac

from . import counters, loads
from .backends import Guestwire, pin
from .figures import Sample
from .trial import absent, told

RATE = 50000
SIZE = 1500
# it keeps what it has no time for, so that the device is full and not lossy
TBF = ("rate", "1mbit", "burst", "16kbit", "limit", "4mb")
FAST_MAC, SLOW_MAC = mac(0x60), mac(0x61)
LEARN_TIMEOUT_S = 10
HOLD_MS = 1000
RING = 1024
STEADY_SHARE = 0.97
SETTLE_S = 10
LOOK_S = 0.1
FLOWS = ("a", "c")
SENDER = ("--send", 1, "--size", SIZE, "--timeout", LEARN_TIMEOUT_S)


class Site(Guestwire):
    """guestwired with two guests, the two devices, and one network."""

    SINKS = ("fair",)

    def begin(self, slow):
        self.ns, self.far_ns = self.t.netns("near"), self.t.netns("far")
        netns.veth(self.ns, "fast", self.far_ns, "farfast")
        netns.veth(self.ns, "slow", self.far_ns, "farslow")
        self.ns.run(["tc", "qdisc", "add", "dev", "slow", "root", "tbf", *TBF])
        self.name_sockets(len(FLOWS))
        devices = {"shaped": "packet:slow",
                   "holding": f"loop:,delay={HOLD_MS},echo=swap"}
        self.daemon = Daemon(
            self.t, [f"{name}=guest:{path}"
                     for name, path in zip(FLOWS, self.sockets)]
            + ["fast=xdp:fast", f"slow={devices[slow]}"], ns=self.ns)
        self.daemon.start()
        pin(self.pid, self.cpu)
        self._learn("fast", FAST_MAC)
        if slow == "shaped":
            self._learn("slow", SLOW_MAC)
        else:
            self._learn_echo()

    def _learn(self, device, address):
        """Who is there shows himself."""
        guest.run_guest(self.t, "--interface", "far" + device, *SENDER,
                        "--mac", address, ns=self.far_ns)

    def _learn_echo(self):
        """What a guest sends there comes back with its addresses swapped."""
        guest.run_guest(self.t, "--socket", self.sockets[0], *SENDER, "--mac",
                        mac(1), "--dst", SLOW_MAC, "--receive", 1)

    def frames(self, name, egress):
        pair = self.daemon.pairs().get((name, egress))
        return pair.lent_frames + pair.copied_frames if pair else 0

    def far_frames(self):
        return self.far_ns.statistics("farfast")["rx_packets"]

    def all_frames(self):
        return {name: self.frames(name, "fast") for name in FLOWS}

    def is_settled(self):
        """What is counted at the far end is the sum of the flows, but for who
        showed himself there, and what was sent to all before."""
        return self.far_frames() >= sum(self.all_frames().values())


class Fair:
    def __init__(self, slow):
        self.slow = slow

    def check(self, bench, contestant, work):
        return None

    def measure(self, bench, round_, contestant, work):
        def once():
            with bench.folder() as t:
                site = Site(t, bench.cpu, contestant.words)
                site.begin(self.slow)
                bench.versions[contestant.name] = site.version()
                return self._compare(bench, round_, contestant, work, site)
        sample, why = told(once)
        return sample or absent(bench, work, contestant, why, round_)

    def _compare(self, bench, round_, contestant, work, site):
        watch = counters.Watch(site.pid, site.pid)
        alone, _ = self._run(bench, site, watch, ())
        beside, sent = self._run(bench, site, watch, ((0, SLOW_MAC),))
        watch.close()
        check(sent[-1], "nothing was sent to the slow device")
        lost = site.far_frames() - sum(site.all_frames().values())
        offered = RATE * (bench.warm_up_s + bench.seconds)
        shares = [100 * beside[name] / alone[name] for name in FLOWS]
        # where the rate was not had before it says nothing
        steady = min(alone.values()) > STEADY_SHARE * offered
        return Sample(bench.run, round_, work.name, contestant.name, None,
                      f"{-lost} frames did not arrive" if lost < 0 else None,
                      watch.waited(), amount=min(shares) if steady else None)

    def _run(self, bench, site, watch, more):
        """({flow: frames that arrived}, [frames sent of each flow])"""
        flows = [(n, FAST_MAC) for n in range(len(FLOWS))] + list(more)
        words = [w for n, address in flows
                 for w in ("--flow", f"{n},{address},{RATE}")]
        before = site.all_frames()
        load = loads.start_herd(
            bench, site.t, words, site.sockets,
            ("--size", SIZE, "--ring-size", RING, "--indirect", "never"))
        pin(load.pid, bench.guest_cpu)
        load.go()
        while load.alive():
            watch.look()
            time.sleep(LOOK_S)
        said = load.said()
        wait_for(site.is_settled, SETTLE_S, "all frames to arrive")
        after = site.all_frames()
        return {name: after[name] - before[name] for name in FLOWS}, \
            said["flows"]
