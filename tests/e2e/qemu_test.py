# SPDX-License-Identifier: BSD-2-Clause
"""Real guests: Linux under QEMU, over each driver that reaches a network.

The same scenarios run over each device; what the ledger must say about it is
in the table. A "site" is what a test has to do with:

    guest a -- vhost-user -- guestwired -- device up0 ... host 10.77.N.1

On a veth the host is the other end, in a namespace of its own; a tap is the
host's end itself.
"""

import collections

from lib import memlock, netns, peer
from lib.daemon import Daemon
from lib.proc import check
from lib.qemu import QemuGuest, VhostUserNic
from lib.scenario import cases, deadline

GUEST_MIB = 256
OWN_MEMORY_MAX_BYTES = 32 << 20
LENT_SHARE_MIN = 0.99
SOME_BYTES = 4 << 20
REGISTER_TIMEOUT_S = 10
# reasons that stand for an answer while there is none yet
PENDING = ("query_pending", "mapping_pending")

# what the device does with frames of a guest:
#   lends   may guest memory be read in place?
#   reads   by whom, as the port says it
#   pins    is guest memory pinned, so that the memlock limit matters?
Device = collections.namedtuple("Device", "lends reads pins")
DEVICES = {
    "xdp": Device(lends=True, reads="kernel-copy", pins=True),
    "tap": Device(lends=True, reads="kernel-copy", pins=False),
    "packet": Device(lends=False, reads="bounce", pins=False),
}


class Side:
    """One guest, one device, and the host behind it; N tells them apart."""

    def __init__(self, t, driver, number=1, guest_options="", options="",
                 **guest):
        self.t = t
        self.device = DEVICES[driver]
        self.driver = driver
        self.host = f"10.77.{number}.1"
        self.guest = f"10.77.{number}.2"
        self.port, self.up = f"g{number}", f"up{number}"
        self.socket = t.path(f"{self.port}.sock")
        network = f"network=net{number}"
        self.ports = [
            f"{self.port}=guest:{self.socket},{network}{guest_options}",
            f"{self.up}={driver}:{self.up},{network}{options}",
        ]
        self.guest_arguments = guest
        self.number = number
        self.peer_ns = self.peer_if = self.vm = None

    def make_device(self, daemon_ns):
        if self.driver == "tap":
            self.peer_ns, self.peer_if = daemon_ns, self.up
            daemon_ns.add_tap(self.up, self.host + "/24")
            return
        self.peer_ns, self.peer_if = self.t.netns(f"host{self.number}"), "peer"
        netns.veth(daemon_ns, self.up, self.peer_ns, self.peer_if,
                   self.host + "/24")

    def make_guest(self, **nic):
        mac = f"52:54:00:77:00:{self.number:02x}"
        self.vm = QemuGuest(self.t, [VhostUserNic(self.socket, mac, **nic)],
                            name=f"vm{self.number}", memory_mib=GUEST_MIB,
                            **self.guest_arguments)

    def reach(self):
        """A static address, and pings both ways."""
        self.vm.set_address(self.guest + "/24")
        self.vm.ping(self.host)
        peer.ping(self.peer_ns, self.guest)

    def files(self, size=peer.FILE_BYTES):
        peer.send_to_guest(self.t, self.peer_ns, self.vm, self.host, size)
        peer.receive_from_guest(self.t, self.peer_ns, self.vm, self.host, size)


def wait_registered(be, side):
    """Until the device has its answer about the guest's memory.

    Registering takes a moment, in which frames are copied; how long it is
    depends on the load of the machine, and no ledger of a short transfer
    should be about it.
    """
    def answered(show):
        return any(p["source"] == side.port and p["egress"] == side.up and
                   p["query"]["current"] and
                   p["query"]["reason"] not in PENDING
                   for p in show["pairs"])
    be.wait_show(answered, REGISTER_TIMEOUT_S,
                 f"{side.up} to have the memory of {side.port}")


def start_site(t, sides, server=False):
    """The devices, the daemon and the guests; all booted."""
    ns = t.netns("daemon")
    be = Daemon(t, [p for side in sides for p in side.ports], ns=ns)
    for side in sides:
        side.make_device(ns)
        side.make_guest(server=server)
    be.start()
    for side in sides:
        side.vm.power_on()
    for side in sides:
        side.vm.wait_ready()
    return be


def need_pinning(driver):
    if DEVICES[driver].pins:
        memlock.need(GUEST_MIB)


def check_ledger(be, side):
    """What the device of the table must have done with the guest's frames."""
    reads = be.port(side.up)["device_reads"]
    check(reads == side.device.reads,
          f"{side.up} reads by '{reads}', not '{side.device.reads}'")
    if not side.device.lends:
        pair = check_all_copied(be, side)
        answer = pair.query.get("verdict"), pair.query.get("reason")
        check(answer == ("no", "device_cannot_read"),
              f"the driver of {side.up} answers {pair.query}")
        return
    pair = be.settled_pair(side.port, side.up)
    check(pair.query.get("verdict") in ("yes", "partly"),
          f"the driver of {side.up} answers {pair.query}")
    check(pair.lent_bytes > SOME_BYTES,
          f"only {pair.lent_bytes} bytes were lent; copies by reason: "
          f"{pair.copies()}")
    check(pair.lent_share() >= LENT_SHARE_MIN,
          f"{pair.lent_share():.2%} of the bytes above the copybreak lent; "
          f"copies by reason: {pair.copies()}")
    check(pair.kernel_copied_bytes >= pair.lent_bytes,
          f"the kernel copies what is lent to {side.driver}: "
          f"{pair.lent_bytes} bytes, it says {pair.kernel_copied_bytes}")
    side.t.note(f"{side.driver}: {pair.lent_share():.2%} lent")


def check_all_copied(be, side):
    pair = be.settled_pair(side.port, side.up)
    check(pair.lent_frames == 0, f"{pair.lent_frames} frames were lent")
    check(pair.copied_bytes > SOME_BYTES,
          f"only {pair.copied_bytes} bytes were copied")
    side.t.note(f"{side.driver}: all copied: "
                + ", ".join(sorted(pair.copies())))
    return pair


@deadline(400)
@cases("driver", DEVICES)
def test_life_of_a_guest(t, driver):
    """DHCP, files, and every way in which a guest goes away and comes back."""
    need_pinning(driver)
    side = Side(t, driver)
    be = start_site(t, [side])
    pid = be.pid
    peer.dhcp_server(t, side.peer_ns, side.peer_if, "10.77.1.50", "10.77.1.59")
    address = side.vm.dhcp()
    check(address.startswith("10.77.1.5"), f"a strange address: {address}")
    peer.ping(side.peer_ns, address)
    side.files()
    check_ledger(be, side)

    side.vm.reload_driver()
    side.reach()
    side.vm.reboot()
    side.reach()
    side.vm.kill()
    side.vm.start()
    side.reach()
    side.files(SOME_BYTES)
    check_ledger(be, side)
    check(be.pid == pid and be.process.alive(), "the daemon was restarted")
    side.vm.power_off()
    be.stop()


@deadline(240)
@cases("driver", ("xdp", "tap", "packet"))
def test_guest_in_hugepages(t, driver):
    need_pinning(driver)
    side = Side(t, driver, hugetlb=True)
    be = start_site(t, [side])
    side.reach()
    wait_registered(be, side)
    side.files()
    check_ledger(be, side)
    be.stop()


@deadline(240)
@cases("driver", ("xdp", "tap"))
def test_loan_never(t, driver):
    side = Side(t, driver, options=",loan=never")
    be = start_site(t, [side])
    side.reach()
    side.files(2 * SOME_BYTES)
    check_all_copied(be, side)
    be.stop()


@deadline(240)
def test_client_mode(t):
    """QEMU listens, the daemon connects, and connects again."""
    need_pinning("xdp")
    side = Side(t, "xdp", guest_options=",mode=client")
    be = start_site(t, [side], server=True)
    side.reach()
    side.vm.kill()
    side.vm.start()
    side.reach()
    wait_registered(be, side)
    side.files(SOME_BYTES)
    check_ledger(be, side)
    be.stop()


@deadline(240)
@cases("driver", ("tap",))
def test_daemon_comes_back(t, driver):
    """The daemon ends, and another takes its place; the guest stays."""
    side = Side(t, driver)
    be = start_site(t, [side])
    side.reach()
    be.terminate()
    be.start()
    side.vm.ping(side.host)
    be.kill()
    be.start()
    side.vm.ping(side.host)
    side.files(SOME_BYTES)
    be.stop()


@deadline(300)
def test_two_guests(t):
    """One lends and one copies, at once, and neither hears the other."""
    need_pinning("xdp")
    sides = [Side(t, "xdp", 1), Side(t, "packet", 2)]
    be = start_site(t, sides)
    for side in sides:
        side.reach()
        wait_registered(be, side)
    for side in sides:
        side.files(2 * SOME_BYTES)
    for side in sides:
        check_ledger(be, side)
    for source, target in (sides, reversed(sides)):
        check((source.port, target.up) not in be.pairs(),
              f"{source.port} and {target.up} are in different networks, and "
              "yet a pair")
    if not be.sanitized():
        own = be.private_bytes([side.vm.pid for side in sides])
        check(own < OWN_MEMORY_MAX_BYTES,
              f"the daemon takes {own >> 10} KiB of its own")
        t.note(f"daemon {own >> 10} KiB")
    be.stop()
