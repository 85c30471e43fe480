# SPDX-License-Identifier: BSD-2-Clause
"""Who hears whom: networks apart from each other, and learning within one."""

from lib import guest
from lib.daemon import Daemon
from lib.proc import check
from lib.scenario import cases
from lib.wire import (RING_SIZE, WINDOW, Sweep, Wire, addresses, check_end,
                      release, start_together)

SWEEP = Sweep(14, 1514, rounds=2)
LAYOUT = ["--descriptors", "1-17", "--header", "mixed", "--unaligned"]
SOME = 500


@cases("workers", (1, 2))
@cases("drivers", ("xdp+packet", "tap+guest", "xdp+xdp"))
def test_two_networks_at_once(t, workers, drivers):
    """Each device as it should be, and no frame of one in the other: an end
    that hears a stream which is not its own says so (foreign)."""
    ns = t.netns("daemon")
    wires = [Wire(t, d, site=i, ns=ns)
             for i, d in enumerate(drivers.split("+"))]
    start_together(t, wires, "--workers", workers)
    be = wires[0].be
    running = [w.begin(SWEEP, *LAYOUT) for w in wires]
    for wire, ends in zip(wires, running):
        wire.finish(ends, SWEEP)
        wire.check_ledger(SWEEP)
    pairs = {(w.a, w.up) for w in wires} | {(w.up, w.a) for w in wires}
    check(set(be.pairs()) == pairs, f"pairs: {sorted(be.pairs())}")
    check(len({p["worker"] for p in be.show()["ports"]}) == workers,
          f"not on {workers} workers: {be.show()['ports']}")
    be.stop()


class Switch:
    """Guests in one network, by number."""

    def __init__(self, t, count):
        self.t = t
        self.sockets = [t.path(f"g{i}.sock") for i in range(count)]
        self.be = Daemon(t, [f"g{i}=guest:{s}"
                             for i, s in enumerate(self.sockets)])
        self.be.start()

    def start(self, number, *arguments):
        return guest.start_guest(
            self.t, "--socket", self.sockets[number], "--ring-size",
            RING_SIZE, "--verify", "--start-fd", 0, *arguments,
            name=f"g{number}")

    def stop(self, process):
        process.signal(15)
        return guest.result(process)

    def frames(self, source, egress):
        """So far; no pair is shown without any."""
        pair = self.be.pairs().get((f"g{source}", f"g{egress}"))
        return pair.frames if pair else 0


def test_three_ports_learn(t):
    """Two talk; the third hears what was sent before it was known where to."""
    switch = Switch(t, 3)
    n = SWEEP.count()
    paced = [*SWEEP.arguments(), "--receive", n, "--window", WINDOW]
    listener = switch.start(2, "--hold")
    ends = [switch.start(0, *addresses(1, 2), *paced),
            switch.start(1, *addresses(2, 1), *paced)]
    release(ends[0])
    switch.be.wait_show(lambda _: switch.frames(0, 1) >= WINDOW, 10,
                        "the first window of frames, all flooded")
    release(ends[1])
    for end in ends:
        check_end(guest.result(end), n, n, SWEEP.bytes(), SWEEP.bytes())
    # from 0: all until the first frame of 1 told where it is; from 1: none
    flooded = switch.frames(0, 2)
    check(flooded == WINDOW, f"{flooded} frames went to the third port")
    check(switch.frames(1, 2) == 0, "frames to a known place were flooded")
    heard = switch.stop(listener)
    check_end(heard, 0, flooded)
    switch.be.stop()


def test_broadcast_reaches_all_once(t):
    switch = Switch(t, 4)
    listeners = [switch.start(i, "--receive", SOME, "--receive-stream", 1)
                 for i in (1, 2, 3)]
    sender = switch.start(0, "--send", SOME, "--size", "64-1514", "--rate",
                          2000, "--scribble", *LAYOUT)
    release(sender)
    check_end(guest.result(sender), SOME, 0)
    for listener in listeners:
        check_end(guest.result(listener), 0, SOME)
    for i in (1, 2, 3):
        check(switch.frames(0, i) == SOME, f"to g{i}: {switch.frames(0, i)}")
    switch.be.stop()
