# SPDX-License-Identifier: BSD-2-Clause
"""NICs of the lab, and the wire behind each.

Behind a NIC is a socket that nobody need listen to (what arrives there is
dropped), a hub with other NICs, or a tap of the namespace that QEMU runs in.
QEMU itself writes down what the NIC gave out, so what a test reads is the wire,
and nothing in the lab can have touched it.

A hub with one NIC would not do: QEMU keeps the frames until somebody else
is there.
"""

import contextlib
import socket

MAC = "52:54:00:00:00:{:02x}"

# for the NIC to take what was sent to it
WIRE_TIMEOUT_S = 30

# the drivers that send from guest memory, and what they need for it:
# without iommu_platform virtio_net refuses the zero-copy bind
VIRTIO_ZEROCOPY = "disable-legacy=on,iommu_platform=on"


class Nic:
    """One NIC.

    name: of the interface in the lab; hub: a number, for NICs that hear each
    other; tap: with a virtio-net header, so that the NIC has offloads; slot: one
    that it can be pulled out of, and put into again.
    """

    def __init__(self, name, model, options="", hub=None, tap=None, slot=False):
        self.name = name
        self.model = model
        self.options = options
        self.hub = hub
        self.tap = tap
        self.slot = slot
        self.index = None
        self.mac = None
        self.pcap = None

    def arguments(self, i):
        self.index = i
        self.mac = MAC.format(i + 1)
        device = ",".join(f"{k}={v}" for k, v in self.properties().items())
        more = "," + self.options if self.options else ""
        return [*self._slot(),
                "-netdev", f"{self._behind()},id=n{i}",
                "-device", f"{device}{more}".removeprefix("driver="),
                "-object", f"filter-dump,id=d{i},netdev=n{i},"
                           f"file={self.pcap},maxlen=65536"]

    def properties(self):
        """Of the device, but for its options: what plugs it in again."""
        i = self.index
        found = {"driver": self.model, "netdev": f"n{i}", "id": f"nic{i}",
                 "mac": self.mac, "romfile": ""}
        if self.slot:
            found["bus"] = f"slot{i}"
        return found

    def send(self, frames):
        """Into the NIC, from the far end of its wire."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as wire:
            wire.settimeout(WIRE_TIMEOUT_S)
            wire.connect(self._socket())
            for frame in frames:
                wire.sendall(len(frame).to_bytes(4, "big") + frame)

    def _socket(self):
        return f"{self.pcap}.sock"

    def _slot(self):
        i = self.index
        return ["-device", f"pcie-root-port,id=slot{i},chassis={i + 1}"] \
            if self.slot else []

    def _behind(self):
        if self.tap:
            return (f"tap,ifname={self.tap},script=no,downscript=no,"
                    "vhost=off,vnet_hdr=on")
        if self.hub is not None:
            return f"hubport,hubid={self.hub}"
        return f"stream,server=on,addr.type=unix,addr.path={self._socket()}"


def virtio_zerocopy(name, options=""):
    more = "," + options if options else ""
    return Nic(name, "virtio-net-pci", VIRTIO_ZEROCOPY + more)
