# SPDX-License-Identifier: BSD-2-Clause
"""A real guest, a device, and the host behind it: a "site".

    guest -- vhost-user -- guestwired -- device up0 ... host 10.77.N.1

On a veth the host is the other end, in a namespace of its own; a tap is the
host's end itself.
"""

import collections

from . import memlock, netns, peer
from .daemon import Daemon
from .qemu import QemuGuest, VhostUserNic

GUEST_MIB = 256
REGISTER_TIMEOUT_S = 10
# reasons that stand for an answer while there is none yet
PENDING = ("query_pending", "mapping_pending")

# what the device does with frames of a guest:
#   lends   may guest memory be read in place?
#   reads   by whom, as the port says it
#   pins    is guest memory pinned, so that the memlock limit matters?
#   options of each port: a super-frame that is cut becomes 45 loans
Device = collections.namedtuple("Device", "lends reads pins options")
DEVICES = {
    "xdp": Device(lends=True, reads="kernel-copy", pins=True,
                  options=",loans=1024"),
    "tap": Device(lends=True, reads="kernel-copy", pins=False, options=""),
    "packet": Device(lends=False, reads="bounce", pins=False, options=""),
}


class Side:
    """One guest, one device, and the host behind it; N tells them apart."""

    def __init__(self, t, driver, number=1, guest_options="", options="",
                 nic=None, before=(), **guest):
        """nic: of VhostUserNic; before: what QEMU has to make before it."""
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
            f"{self.up}={driver}:{self.up},{network}"
            + self.device.options + options,
        ]
        self.nic, self.before = nic or {}, list(before)
        self.guest_arguments = {"memory_mib": GUEST_MIB, **guest}
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
        nic = VhostUserNic(self.socket, mac, **{**nic, **self.nic})
        self.vm = QemuGuest(self.t, [*self.before, nic],
                            name=f"vm{self.number}", **self.guest_arguments)

    def reach(self):
        """A static address, and pings both ways."""
        self.vm.set_address(self.guest + "/24")
        self.vm.ping(self.host)
        peer.ping(self.peer_ns, self.guest)

    def files(self, size=peer.FILE_BYTES):
        peer.send_to_guest(self.t, self.peer_ns, self.vm, self.host, size)
        peer.receive_from_guest(self.t, self.peer_ns, self.vm, self.host, size)


def wait_registered(be, side, timeout_s=REGISTER_TIMEOUT_S):
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
    be.wait_show(answered, timeout_s,
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
        side.vm.come_up()
    return be


def need_pinning(driver):
    if DEVICES[driver].pins:
        memlock.need(GUEST_MIB)
