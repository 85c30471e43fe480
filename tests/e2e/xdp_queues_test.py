# SPDX-License-Identifier: BSD-2-Clause
"""Several guests on one interface with several queues."""

from lib import ethtool, guest, memlock
from lib.daemon import Daemon
from lib.proc import check, wait_for
from lib.scenario import alone, cases
from lib.wire import (MEMORY_MIB, PINNED_MIB, RING_SIZE, Sweep, check_end, mac,
                      release)

SWEEP = Sweep(60, 1514, rounds=2)
LAYOUT = ["--descriptors", "1-17", "--header", "mixed", "--unaligned",
          "--scribble"]
FAR_MAC = "52:57:00:00:00:fe"
RATE = 4000
ASKED_TIMEOUT_S = 10


class Trunk:
    """Guests in one network with an xdp port on a veth with several queues."""

    def __init__(self, t, guests, queues, options=""):
        memlock.need(guests * PINNED_MIB)
        self.t, self.count = t, guests
        self.ns, self.far_ns = t.netns("daemon"), t.netns("far")
        both = ["numtxqueues", queues, "numrxqueues", queues]
        self.ns.ip("link", "add", "near", *both, "type", "veth", "peer", "name",
                   "far", *both, "netns", self.far_ns.holder.pid)
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

    def start(self, i, *arguments):
        """Guest i, which sends its own stream to the far end."""
        return guest.start_guest(
            self.t, "--socket", self.sockets[i], "--memory", MEMORY_MIB,
            "--ring-size", RING_SIZE, "--stream", i + 1, "--mac", mac(i + 1),
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

    def pair(self, i):
        return self.be.pairs().get((f"g{i}", "up"))

    def lends(self, i):
        pair = self.pair(i)
        return bool(pair and pair.lent_frames)

    def reason(self, i):
        pair = self.pair(i)
        return pair.data["query"].get("reason") if pair else None


def send_all(trunk, which, sweep):
    """Each of these guests sends a sweep; what leaves arrives, once, in order.

    While the first queue changes its memory the port rests, and in a network of
    several ports frames do not wait: that is all that may be dropped.
    """
    far = trunk.start_far([i + 1 for i in which])
    ends = [trunk.start(i, *sweep.arguments(), "--rate", RATE, *LAYOUT)
            for i in which]
    for end in ends:
        release(end)
    for end in ends:
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
              set(drops) <= {"egress_full", "egress_down"}, f"unaccounted for: {drops}, {pair.data}")
    return [pair.drops() for pair in pairs]


@alone
@cases("queues", (1, 2, 4))
def test_three_guests(t, queues):
    """As many lend as there are queues, the others share; nothing is lost."""
    trunk = Trunk(t, 3, queues)
    dropped = send_all(trunk, (0, 1, 2), SWEEP)
    lenders = sum(trunk.lends(i) for i in range(3))
    check(lenders == min(queues, 3), f"{lenders} of 3 lend on {queues} queues")
    # a sanitizer maps memory so late that bounce buffers run out meanwhile
    check(queues < 4 or not any("egress_down" in drops if trunk.be.sanitized()
                                else drops for drops in dropped),
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
