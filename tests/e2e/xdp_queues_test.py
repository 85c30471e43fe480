# SPDX-License-Identifier: BSD-2-Clause
"""Several guests on one interface with several queues."""

from lib import ethtool, guest, memlock
from lib.daemon import Daemon
from lib.gaps import Gaps
from lib.proc import check, wait_for
from lib.scenario import alone, cases, deadline
from lib.wire import (MEMORY_MIB, PINNED_MIB, RING_SIZE, Sweep, check_end, mac,
                      release)

SWEEP = Sweep(60, 1514, rounds=2)
LAYOUT = ["--descriptors", "1-17", "--header", "mixed", "--unaligned",
          "--scribble"]
FAR_MAC = "52:57:00:00:00:fe"
RATE = 4000
ASKED_TIMEOUT_S = 10
# each change is two: a region of memory comes, and goes
CHANGES, PLUG_MS, RUNS_MAX = 20, 100, 30
# without a frame of somebody else; some ten times what a busy machine shows
GAP_MAX_S = 2
QUIET_FRAMES = 2 * RATE
SENT_TIMEOUT_S = 60
PENDING = ("query_pending", "mapping_pending")


class Trunk:
    """Guests in one network with an xdp port on a veth with several queues."""

    def __init__(self, t, guests, queues, options=""):
        memlock.need(guests * PINNED_MIB)
        self.t, self.count = t, guests
        self.ns, self.far_ns = t.netns("daemon"), t.netns("far")
        # one queue to send with at the far end: what it sends arrives on queue 0, and
        # does not go by a hash of which the kernel makes another one at each boot
        self.ns.ip("link", "add", "near", "numtxqueues", queues, "numrxqueues",
                   queues, "type", "veth", "peer", "name", "far", "numtxqueues", 1,
                   "numrxqueues", queues, "netns", self.far_ns.holder.pid)
        ethtool.offloads_off(self.far_ns, "far")
        self.ns.set_up("near")
        self.far_ns.set_up("far")
        self.sockets = [t.path(f"g{i}.sock") for i in range(guests)]
        self.be = Daemon(
            t, [f"g{i}=guest:{s}" for i, s in enumerate(self.sockets)] +
            [f"up=xdp:near{options}"], ns=self.ns)
        self.be.start()
        # one frame, from which is learned where the far end is
        guest.run_guest(t, "--interface", "far", "--mac", FAR_MAC, "--send", 1,
                        ns=self.far_ns)

    def start(self, i, *arguments, stream=None):
        """Guest i, which sends a stream of its own to the far end."""
        return guest.start_guest(
            self.t, "--socket", self.sockets[i], "--memory", MEMORY_MIB,
            "--ring-size", RING_SIZE, "--stream", stream or i + 1, "--mac", mac(i + 1),
            "--dst", FAR_MAC, "--start-fd", 0, *arguments, name=f"g{i}")

    def start_far(self, streams):
        """Hears all streams, and verifies each frame of them."""
        return guest.start_guest(
            self.t, "--interface", "far", "--mac", FAR_MAC, "--verify",
            "--receive-stream", ",".join(map(str, streams)), "--hold",
            name="far", ns=self.far_ns)

    def far_has_read_all(self):
        """Nothing waits in a raw socket of the far end."""
        table = self.far_ns.run(["cat", "/proc/net/packet"]).stdout
        head, *rows = [line.split() for line in table.splitlines()]
        return all(row[head.index("Rmem")] == "0" for row in rows)

    def sent(self, i):
        """Frames of guest i that have left the daemon, or were dropped there."""
        pair = self.pair(i)
        return pair.frames + sum(pair.drops().values()) if pair else 0

    def pair(self, i):
        return self.be.pairs().get((f"g{i}", "up"))

    def is_lender(self, i):
        """The answer is yes; None while there is none."""
        query = self.pair(i).data["query"]
        if query.get("reason") in PENDING or "verdict" not in query:
            return None
        return query["verdict"] != "no"

    def lends(self, i):
        pair = self.pair(i)
        return bool(pair and pair.lent_frames)

    def reason(self, i):
        pair = self.pair(i)
        return pair.data["query"].get("reason") if pair else None


def send_all(trunk, which, sweep):
    """Each of these guests sends a sweep; what leaves arrives, once, in order.
    Returns how many are lent from, and what was dropped.

    While the only queue changes its memory nothing can leave, and in a network of
    several ports 64 frames wait: what comes on top may be dropped, and nothing else.
    """
    far = trunk.start_far([i + 1 for i in which])
    ends = [trunk.start(i, *sweep.arguments(), "--rate", RATE, "--hold",
                        *LAYOUT) for i in which]
    for end in ends:
        release(end)
    # who has sent all stays, so that nobody gets a queue that was given back
    trunk.be.wait_show(
        lambda _: all(trunk.sent(i) == sweep.count() and
                      trunk.is_lender(i) is not None for i in which),
        SENT_TIMEOUT_S, "all frames, and an answer about each guest")
    lenders = sum(trunk.is_lender(i) for i in which)
    for end in ends:
        end.signal(15)
        check_end(guest.result(end), sweep.count(), 0, sweep.bytes())
    pairs = [trunk.be.settled_pair(f"g{i}", "up") for i in which]
    wait_for(trunk.far_has_read_all, ASKED_TIMEOUT_S, "the far end to read")
    far.signal(15)
    said = guest.result(far)
    left = sum(pair.frames for pair in pairs)
    check(said["received"] == said["verified"] == left,
          f"{left} frames left the daemon: {said}")
    for fault in ("corrupted", "duplicated", "foreign", "out_of_order",
                  "kernel_drops"):
        check(said[fault] == 0, f"{fault}: {said}")
    for pair in pairs:
        drops = pair.drops()
        check(pair.frames + sum(drops.values()) == sweep.count() and
              set(drops) <= {"egress_full", "egress_paused"},
              f"unaccounted for: {drops}, {pair.data}")
    return lenders, [pair.drops() for pair in pairs]


@alone
@cases("queues", (1, 2, 4))
def test_three_guests(t, queues):
    """As many lend as there are queues, the others share; nothing is lost."""
    trunk = Trunk(t, 3, queues)
    lenders, dropped = send_all(trunk, (0, 1, 2), SWEEP)
    check(lenders == min(queues, 3), f"{lenders} of 3 lend on {queues} queues")
    # where a channel that changes can be gone around, at worst bounce buffers run out,
    # on a machine that is busy, or maps memory late
    check(queues < 2 or not any("egress_paused" in drops for drops in dropped),
          f"a pause nobody needed: {dropped}")
    trunk.be.stop()
    t.note(f"dropped: {dropped}")


def test_who_leaves_is_followed(t):
    """The third of three guests on two queues lends when the first has gone,
    and the second does not notice."""
    trunk = Trunk(t, 3, 2)
    held = []
    for i in range(3):
        end = trunk.start(i, "--send", 0, "--size", "512-1514", "--rate", 500)
        release(end)
        held.append(end)
        trunk.be.wait_show(
            lambda _, i=i: trunk.lends(i) or trunk.reason(i) == "memory_taken",
            ASKED_TIMEOUT_S, f"an answer about g{i}")
    check([trunk.lends(i) for i in range(3)] == [True, True, False],
          f"who lends: {trunk.be.pairs()}")
    text = trunk.pair(2).data["query"]["text"]
    check("all 2 queues of near" in text, f"the answer: {text}")
    held[0].signal(15)
    guest.result(held[0])
    trunk.be.wait_show(lambda _: trunk.lends(2), ASKED_TIMEOUT_S,
                       "a loan of the guest that shared")
    before = trunk.pair(1).lent_frames
    trunk.be.wait_show(lambda _: trunk.pair(1).lent_frames > before,
                       ASKED_TIMEOUT_S, "loans of the guest that stayed")
    for i in (1, 2):
        held[i].signal(15)
        guest.result(held[i])
    trunk.be.stop()


@alone
@deadline(120)
def test_memory_changes_of_one_guest(t):
    """The guest that has the first queue, which takes everybody's copies, changes
    its memory again and again, and the guest on the other queue notices nothing."""
    trunk = Trunk(t, 2, 2)
    streams = range(2, 2 + RUNS_MAX)
    far = trunk.start_far([1, *streams])
    steady = trunk.start(0, "--send", 0, "--size", "300-1514", "--rate", RATE,
                         "--timeout", 0)
    release(steady)
    trunk.be.wait_show(lambda _: trunk.lends(0), ASKED_TIMEOUT_S,
                       "a loan of the steady guest")
    gaps = Gaps(t, trunk.far_ns, "far", mac(1))
    wait_for(lambda: gaps.frames > QUIET_FRAMES, ASKED_TIMEOUT_S, "frames")
    quiet_s = gaps.longest_s
    gaps.reset()
    changes = 0
    for stream in streams:
        if changes >= 2 * CHANGES:
            break
        end = trunk.start(1, *SWEEP.arguments(), "--rate", RATE, "--plug",
                          PLUG_MS, stream=stream)
        release(end)
        changes += guest.result(end)["plugs"]
    check(changes >= 2 * CHANGES, f"{changes} changes of memory only")
    longest_s = gaps.longest_s
    gaps.end()
    # whether a frame is lent before the next change is a matter of luck
    check("asked about frames of port g1: partly: queue 0" in
          trunk.be.process.err.text(), "the other guest had the first queue")
    steady.signal(15)
    sent = guest.result(steady)
    pairs = [trunk.be.settled_pair(f"g{i}", "up") for i in range(2)]
    wait_for(trunk.far_has_read_all, ASKED_TIMEOUT_S, "the far end to read")
    far.signal(15)
    said = guest.result(far)
    for pair in pairs:
        check("egress_down" not in pair.drops(), f"frames met a pause: {pair.data}")
    check(set(pairs[0].drops()) <= {"egress_full"}, f"{pairs[0].data}")
    heard = next(s for s in said["streams"] if s["stream"] == 1)
    check(heard["verified"] == sent["completed"] and not said["out_of_order"],
          f"{sent['completed']} frames left the steady guest: {said}")
    check(longest_s < GAP_MAX_S, f"{longest_s:.1f} s without a frame")
    trunk.be.stop()
    t.note(f"{changes} changes, {longest_s * 1000:.1f} ms without a frame "
           f"({quiet_s * 1000:.1f} before); dropped of "
           f"the steady one {pairs[0].drops()}, of the other {pairs[1].drops()}")
