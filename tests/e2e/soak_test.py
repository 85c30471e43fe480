# SPDX-License-Identifier: BSD-2-Clause
"""A long time in which everything comes and goes, and the books at the end.

Three guests on two networks, a tap and an xdp port. At random a guest ends in
good order, or is killed, and comes back with other rings and other memory; a
front-end changes or cuts its memory; a device goes down and up; the daemon is
stopped and started. Every so often all is brought to rest, and then:

  - each buffer that a guest got back is a frame that came in at its port, or was
    dropped there, counted;
  - each frame that came in was delivered to each other port of the network, or
    dropped, with a reason;
  - what was delivered to a device is what the kernel says came out of it;
  - no loan and no bounce buffer is out, nothing is in quarantine;
  - the daemon has no more descriptors and memory than at the first rest, but for
    a few.

scripts/soak runs it for as long as one likes. The seed is in the result.
"""

import os
import random
import time

from lib import guest, memlock, netns
from lib.daemon import Daemon
from lib.proc import check, wait_for
from lib.scenario import deadline, rounds
from lib.wire import PINNED_MIB

SECONDS = int(os.environ.get("GW_SOAK_SECONDS", rounds(20, 600)))
SEED = int(os.environ.get("GW_SOAK_SEED", time.time_ns() % 1000000))
RATE = 2000
EVENTS_BETWEEN_RESTS = 8
RESTS_OF_A_DAEMON = 4
TIMEOUT_S = 20
PAUSE_S = 0.5
# a device that was down opens its socket when it is next sent to
FEW_FDS = 3
RSS_GROWTH_MAX_BYTES = 4 << 20
# counted with the frames that tx took, and again when the device gave them back
TWICE = "device_error"
MEMORY_MISDEEDS = ("change-mem-table", "shrink-mem-table", "repeat-mem-table",
                   "truncate-half", "toggle-enable", "replace-kick")
NETWORKS = {"red": ("a", "b", "tap0"), "blue": ("c", "xdp0")}
GUESTS = "abc"
DEVICES = {"tap0": "neart", "xdp0": "nearx"}


class Site:
    def __init__(self, t, dice):
        self.t, self.dice = t, dice
        self.ns, self.far = t.netns("daemon"), t.netns("far")
        netns.veth(self.ns, DEVICES["xdp0"], self.far, "farx")
        self.ns.add_tap(DEVICES["tap0"])
        ports = [f"{g}=guest:{t.path(g)},network="
                 f"{'blue' if g == 'c' else 'red'}" for g in GUESTS]
        ports += [f"tap0=tap:{DEVICES['tap0']},network=red",
                  f"xdp0=xdp:{DEVICES['xdp0']},network=blue"]
        self.be = Daemon(t, ports, ns=self.ns, arguments=["--workers", "2"])
        self.guests = {}
        self.runs = 0
        self.frames = 0
        self.figures = None
        self.out_before = {}

    # the daemon

    def start(self):
        self.be.start()
        self.figures = None
        self.out_before = {d: self.came_out(d) for d in DEVICES}

    def came_in(self, port):
        """What a port has taken from its guest, dropped ones included."""
        shown = self.be.port(port)
        return shown["rx_frames"] + sum(shown["drops"].values())

    def came_out(self, device):
        """A tap receives what a program writes to it. What is under way to an
        interface that goes down is dropped by the kernel, which counts it."""
        said = self.ns.statistics(DEVICES[device])
        if device == "tap0":
            return said["rx_packets"]
        return said["tx_packets"] + said["tx_dropped"]

    # guests

    def next_run(self):
        """Each guest has a stream of its own: what it sent is never taken for
        another's."""
        self.runs += 1
        return self.runs

    def start_guest(self, name):
        before, run = self.came_in(name), self.next_run()
        low = self.dice.choice((14, 64, 300, 1400))
        self.guests[name] = before, guest.start_guest(
            self.t, "--socket", self.t.path(name), "--send", 0, "--rate",
            self.dice.choice((RATE // 4, RATE)), "--timeout", 0, "--size",
            f"{low}-1514", "--descriptors", self.dice.choice(("1", "1-8")),
            "--stream", run, "--ring", self.dice.choice(("split", "packed")), "--ring-size",
            self.dice.choice((64, 256, 1024)), "--memory",
            self.dice.choice((8, 16)), "--regions", self.dice.choice((1, 3)),
            name=f"{name}-{run}")

    def wait_gone(self, name):
        def gone(show):
            port = next(p for p in show["ports"] if p["name"] == name)
            out = [p for p in show["pairs"] if p["source"] == name and
                   (p["loans_out"] or p["bounce_out"])]
            return port["status"].startswith("listening") and not out
        self.be.wait_show(gone, TIMEOUT_S, f"port {name} to be free again")

    def end_guest(self, name):
        """In good order: it says what it sent, and the port has to agree."""
        before, process = self.guests.pop(name)
        process.signal(15)
        said = guest.result(process, TIMEOUT_S)
        self.wait_gone(name)
        check(said["stop"]["clean"], f"{process.name}: {said}")
        came = self.came_in(name) - before
        # what it had just made available is not taken any more
        check(came == said["completed"],
              f"{process.name} got {said['completed']} buffers back, and "
              f"{came} frames came in")
        self.frames += came

    def kill_guest(self, name):
        self.guests.pop(name)[1].kill()
        self.wait_gone(name)

    # what happens

    def restart(self):
        name = self.dice.choice(GUESTS)
        self.end_guest(name)
        self.start_guest(name)

    def kill(self):
        name = self.dice.choice(GUESTS)
        self.kill_guest(name)
        self.start_guest(name)

    def change_memory(self):
        name = self.dice.choice(GUESTS)
        self.end_guest(name)
        guest.run_guest(self.t, "--socket", self.t.path(name), "--misbehave",
                        self.dice.choice(MEMORY_MISDEEDS), "--duration", 0.3,
                        "--stream", self.next_run())
        self.wait_gone(name)
        self.start_guest(name)

    def down_and_up(self):
        device = self.dice.choice(sorted(DEVICES))
        self.ns.ip("link", "set", DEVICES[device], "down")
        time.sleep(self.dice.random() * PAUSE_S)
        self.ns.ip("link", "set", DEVICES[device], "up")

    def rest(self):
        """Everything stands still, and the books are looked at."""
        for name in sorted(self.guests):
            self.end_guest(name)
        self.check_books(self.be.show())
        if not self.figures:
            self.figures = fds(self.be), own_bytes(self.be)
        # that of our own last question is closed in a moment
        wait_for(lambda: fds(self.be) <= self.figures[0] + FEW_FDS, TIMEOUT_S,
                 f"no more than {self.figures[0]} descriptors and a few, "
                 f"not {fds(self.be)}")
        check(self.be.sanitized() or own_bytes(self.be) <=
              self.figures[1] + RSS_GROWTH_MAX_BYTES,
              f"{own_bytes(self.be)} bytes of memory, {self.figures[1]} at "
              "first")

    def check_books(self, show):
        ports = {p["name"]: p for p in show["ports"]}
        failed = dict.fromkeys(ports, 0)
        for pair in show["pairs"]:
            twice = pair["drops_by_reason"].get(TWICE, 0)
            failed[pair["egress"]] += twice
            total = pair["frames"] + pair["dropped_frames"] - twice
            check(total == ports[pair["source"]]["rx_frames"] and
                  not pair["loans_out"] and not pair["bounce_out"],
                  f"{ports[pair['source']]['rx_frames']} frames came in, "
                  f"{total} went somewhere: {pair}")
            check(pair["dropped_frames"] ==
                  sum(pair["drops_by_reason"].values()),
                  f"drops without a reason: {pair}")
        for name, port in ports.items():
            check(port["state"] == "running" and not port["quarantined"], port)
            if name in DEVICES:
                out = self.came_out(name) - self.out_before[name]
                check(port["tx_frames"] - failed[name] <= out <=
                      port["tx_frames"],
                      f"{name}: {out} frames came out, and "
                      f"{port['tx_frames']} were delivered, {failed[name]} "
                      "of them in vain; "
                      f"{self.ns.statistics(DEVICES[name])}")


def fds(be):
    return len(os.listdir(f"/proc/{be.pid}/fd"))


def own_bytes(be):
    with open(f"/proc/{be.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f
                    if line.startswith("RssAnon:"))


@deadline(SECONDS * 2 + 120)
def test_everything_comes_and_goes(t):
    memlock.need(3 * PINNED_MIB)
    t.note(f"seed {SEED}")
    dice = random.Random(SEED)
    site = Site(t, dice)
    end = time.monotonic() + SECONDS
    events = rests = 0
    happenings = (site.restart, site.kill, site.change_memory,
                  site.down_and_up)
    site.start()
    while time.monotonic() < end:
        for name in GUESTS:
            site.start_guest(name)
        for _ in range(EVENTS_BETWEEN_RESTS):
            dice.choice(happenings)()
            events += 1
            sent = site.be.port("b")["rx_frames"]
            wait_for(lambda s=sent: site.be.port("b")["rx_frames"] > s,
                     TIMEOUT_S, "a guest to go on")
        site.rest()
        rests += 1
        if rests % RESTS_OF_A_DAEMON == 0:
            site.be.stop()
            site.start()
    site.be.stop()
    t.note(f"{events} events, {rests} times at rest, {site.frames} frames "
           "accounted for")
