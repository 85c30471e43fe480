# SPDX-License-Identifier: BSD-2-Clause
"""What is behind a back-end: where frames end, and who counts them there.

    sink = make(t, "veth", size)
    back_end.start(sink)        # it looks at name, ns and, on a veth, at near
    sink.arrived()              # Arrived; None: the back-end has to say it
    sink.far_place(back_end)    # of a second end, for the check of bytes

    null    frames are thrown away, and nobody reads them
    read    each byte is read, and then they are thrown away
    loop    a simulated device holds them for a while, as a NIC does
    guests  another guest's rings
    veth    an interface of a namespace; at its other end the kernel has no use
            for what comes, and counts it
"""

import collections

from lib import netns

Arrived = collections.namedtuple("Arrived", "frames bytes")

ETHERNET_BYTES = 14
MTU_MIN = 1500
# which sink shows, before the measurement, that bytes arrive
CHECKED_BY = {"null": "guests", "read": "guests", "loop": "guests",
              "guests": "guests", "veth": "veth"}


class Sink:
    ns = None

    def __init__(self, name, size):
        self.name = name
        # of a device that can carry such frames
        self.mtu = max(MTU_MIN, size - ETHERNET_BYTES)

    def arrived(self):
        return None

    def far_place(self, back_end):
        """(arguments of guestwire-guest, namespace)"""
        return ("--socket", back_end.far), None


class Veth(Sink):
    near, far = "near", "far"

    def __init__(self, t, size):
        super().__init__("veth", size)
        self.ns, self.far_ns = t.netns("near"), t.netns("far")
        netns.veth(self.ns, self.near, self.far_ns, self.far,
                   mtu=self.mtu)

    def arrived(self):
        counts = self.far_ns.statistics(self.far)
        return Arrived(counts["rx_packets"], counts["rx_bytes"])

    def far_place(self, _):
        return ("--interface", self.far), self.far_ns


def make(t, name, size):
    return Veth(t, size) if name == "veth" else Sink(name, size)
