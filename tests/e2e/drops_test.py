# SPDX-License-Identifier: BSD-2-Clause
"""What is lost is told, by its own name: while a device is given other memory,
and before frames reach the daemon at all."""

import signal

from lib import guest, memlock, netns
from lib.daemon import Daemon
from lib.proc import Skip, check, wait_for
from lib.scenario import cases
from lib.wire import MEMORY_MIB, PINNED_MIB, RING_SIZE, mac, release

FAR_MAC = mac(9)
TIMEOUT_S = 30
RATE = 1500
# beyond what a ring of 64 buffers, and the queue of a packet socket, hold
FLOOD = {"xdp": 500, "packet": 20000}
RING = 64
GUESTS_MAX = 10


class Hub:
    """A guest, an interface and a tap: frames have several ways to go."""

    def __init__(self, t, device):
        if device.startswith("xdp"):
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

    def need_program(self):
        """Skip where the port receives through AF_PACKET: no BPF for this user."""
        status = self.be.port("up")["status"]
        if "AF_PACKET" in status:
            raise Skip(f"no XDP program: {status}")

    def counts(self):
        return self.be.port("up")["device_counts"]


def test_frames_wait_while_memory_is_registered(t):
    """A batch of copies waits for the device; what comes on top has a name that
    says so, and the far end hears the rest once, in its order."""
    hub = Hub(t, "xdp:near")
    far = guest.start_guest(
        t, "--interface", "far", "--mac", FAR_MAC, "--verify",
        "--receive-stream", 1, "--hold", "--timeout", TIMEOUT_S, ns=hub.far_ns)
    end = hub.start_guest("--send", 0, "--size", "300-1514", "--rate", RATE,
                          "--timeout", TIMEOUT_S)
    hub.be.wait_show(lambda _: hub.be.pair("a", "up").lent_frames, TIMEOUT_S,
                     "a loan")
    end.signal(15)
    completed = guest.result(end)["completed"]
    pair = hub.be.settled_pair("a", "up")
    drops = pair.drops()
    check(pair.frames + sum(drops.values()) == completed and
          set(drops) <= {"egress_paused", "egress_full"},
          f"{completed} were given back: {pair.data}")
    wait_for(hub.far_has_read_all, TIMEOUT_S, "the far end to read")
    far.signal(15)
    said = guest.result(far)
    hub.be.stop()
    check(said["received"] == said["verified"] == pair.frames and
          not said["out_of_order"], f"{pair.frames} left: {said}")
    t.note(f"dropped: {drops}")


@cases("driver", ("xdp", "packet"))
def test_what_the_kernel_drops_is_shown(t, driver):
    """A daemon that does not come round loses what its ring cannot hold."""
    count = FLOOD[driver]
    hub = Hub(t, f"xdp:near,rxring={RING}" if driver == "xdp" else "packet:near")
    if driver == "xdp":
        hub.need_program()
    before = hub.be.port("up")["rx_frames"]
    check("rx_dropped" not in hub.counts(), f"too early: {hub.counts()}")
    hub.be.process.signal(signal.SIGSTOP)
    hub.far_sends(count, "--size", 1514)
    hub.be.process.signal(signal.SIGCONT)

    def told(_):
        port = hub.be.port("up")
        lost = port["device_counts"].get("rx_dropped", 0)
        return lost and port["rx_frames"] - before + lost >= count
    hub.be.wait_show(told, TIMEOUT_S, "all frames, received or dropped")
    port = hub.be.port("up")
    lost = port["device_counts"]["rx_dropped"]
    check(port["rx_frames"] - before + lost == count, f"of {count}: {port}")
    check(driver != "xdp" or lost >= count - 2 * RING, f"{lost} only")
    text = hub.be.command("show").stdout
    check("counted by the kernel" in text and "rx_dropped" in text, text)
    text = hub.be.command("explain", "up").stdout
    check(f"device_counts.rx_dropped = {lost}" in text and
          "rxring=N" in text, text)
    hub.be.stop()


def test_what_passes_to_the_host_is_counted(t):
    """While the queue has no socket, what arrives is the host's."""
    hub = Hub(t, "xdp:near")
    hub.need_program()
    far = guest.start_guest(
        t, "--interface", "far", "--mac", FAR_MAC, "--send", 0, "--rate", 4000,
        "--size", 300, "--start-fd", 0, "--timeout", TIMEOUT_S, ns=hub.far_ns)
    release(far)
    before = hub.be.port("up")["rx_frames"]
    hub.be.wait_show(lambda _: hub.be.port("up")["rx_frames"] > before,
                     TIMEOUT_S, "frames of the far end")
    # a far end that is late by the 20 ms that it takes is not heard of
    for _ in range(GUESTS_MAX):
        lent = hub.be.pair("a", "up").lent_frames
        end = hub.start_guest("--send", 0, "--rate", RATE, "--size", 1000,
                              "--timeout", TIMEOUT_S)
        hub.be.wait_show(lambda _, n=lent: hub.be.pair("a", "up").lent_frames > n,
                         TIMEOUT_S, "a loan")
        end.signal(15)
        guest.result(end)
        if "rx_passed" in hub.counts():
            break
    far.signal(15)
    sent = guest.result(far)["sent"] + 1
    port, counts = hub.be.port("up"), hub.counts()
    known = port["rx_frames"] + sum(
        counts.get(name, 0) for name in ("rx_passed", "rx_dropped"))
    check(counts.get("rx_passed", 0) > 0, f"none: {port}")
    check(known <= sent, f"{known} of {sent}: {port}")
    hub.be.stop()
    t.note(f"{sent} sent, {counts}, {sent - known} in no counter")
