# SPDX-License-Identifier: BSD-2-Clause
"""NICs of the lab, and the wire behind each.

Behind a NIC is a socket that nobody need listen to (what arrives there is
dropped), a hub with other NICs, or a tap of the namespace that QEMU runs in.
QEMU itself writes down what the NIC gave out, so what a test reads is the wire,
and nothing in the lab can have touched it.

A hub with one NIC would not do: QEMU keeps the frames until somebody else
is there.
"""

MAC = "52:54:00:00:00:{:02x}"

# the drivers that send from guest memory, and what they need for it:
# without iommu_platform virtio_net refuses the zero-copy bind
VIRTIO_ZEROCOPY = "disable-legacy=on,iommu_platform=on"


class Nic:
    """One NIC.

    name: of the interface in the lab; hub: a number, for NICs that hear each
    other; tap: with a virtio-net header, so that the NIC has offloads.
    """

    def __init__(self, name, model, options="", hub=None, tap=None):
        self.name = name
        self.model = model
        self.options = options
        self.hub = hub
        self.tap = tap
        self.mac = None
        self.pcap = None

    def arguments(self, i):
        self.mac = MAC.format(i + 1)
        more = "," + self.options if self.options else ""
        return ["-netdev", f"{self._behind()},id=n{i}",
                "-device", f"{self.model},netdev=n{i},id=nic{i},"
                           f"mac={self.mac},romfile={more}",
                "-object", f"filter-dump,id=d{i},netdev=n{i},"
                           f"file={self.pcap},maxlen=65536"]

    def _behind(self):
        if self.tap:
            return (f"tap,ifname={self.tap},script=no,downscript=no,"
                    "vhost=off,vnet_hdr=on")
        if self.hub is not None:
            return f"hubport,hubid={self.hub}"
        return f"stream,server=on,addr.type=unix,addr.path={self.pcap}.sock"


def virtio_zerocopy(name, options=""):
    more = "," + options if options else ""
    return Nic(name, "virtio-net-pci", VIRTIO_ZEROCOPY + more)
