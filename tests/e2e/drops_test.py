# SPDX-License-Identifier: BSD-2-Clause
"""What is lost is told, by its own name: while a device is given other memory."""

from lib import guest, memlock, netns
from lib.daemon import Daemon
from lib.proc import check, wait_for
from lib.wire import MEMORY_MIB, PINNED_MIB, RING_SIZE, Sweep, mac, release

FAR_MAC = mac(9)
TIMEOUT_S = 30
RATE, SWEEP = 1500, Sweep(300, 1049)


class Hub:
    """A guest, an interface and a tap: frames have several ways to go."""

    def __init__(self, t, device):
        memlock.need(PINNED_MIB)
        self.t = t
        self.ns, self.far_ns = t.netns("daemon"), t.netns("far")
        netns.veth(self.ns, "near", self.far_ns, "far")
        self.ns.add_tap("tap0")
        self.socket = t.path("a.sock")
        self.be = Daemon(t, [f"a=guest:{self.socket}", f"up={device}",
                             "side=tap:tap0"], ns=self.ns)
        self.be.start()
        # one frame, from which is learned where the far end is
        self.far_sends(1)

    def far_sends(self, count, *arguments):
        return guest.run_guest(
            self.t, "--interface", "far", "--mac", FAR_MAC, "--send", count,
            *arguments, ns=self.far_ns)

    def far_has_read_all(self):
        """Nothing waits in a raw socket of the far end."""
        table = self.far_ns.run(["cat", "/proc/net/packet"]).stdout
        head, *rows = [line.split() for line in table.splitlines()]
        return all(row[head.index("Rmem")] == "0" for row in rows)

    def start_guest(self, *arguments):
        return guest.start_guest(
            self.t, "--socket", self.socket, "--memory", MEMORY_MIB,
            "--ring-size", RING_SIZE, "--stream", 1, "--mac", mac(1), "--dst",
            FAR_MAC, *arguments)


def test_frames_wait_while_memory_is_registered(t):
    """A batch of copies waits for the device; what comes on top has a name that
    says so, and the far end hears the rest once, in its order."""
    hub = Hub(t, "xdp:near")
    far = guest.start_guest(
        t, "--interface", "far", "--mac", FAR_MAC, "--verify",
        "--receive-stream", 1, "--hold", "--timeout", TIMEOUT_S, ns=hub.far_ns)
    end = hub.start_guest(*SWEEP.arguments(), "--rate", RATE, "--timeout",
                          TIMEOUT_S)
    check(guest.result(end)["sent"] == SWEEP.count(), "not all was sent")
    pair = hub.be.settled_pair("a", "up")
    drops = pair.drops()
    check(pair.lent_frames, f"nothing was lent: {pair.data}")
    check(pair.frames + sum(drops.values()) == SWEEP.count() and
          set(drops) <= {"egress_paused", "egress_full"},
          f"unaccounted for: {pair.data}")
    wait_for(hub.far_has_read_all, TIMEOUT_S, "the far end to read")
    far.signal(15)
    said = guest.result(far)
    hub.be.stop()
    check(said["received"] == said["verified"] == pair.frames and
          not said["out_of_order"], f"{pair.frames} left: {said}")
    t.note(f"dropped: {drops}")
