# SPDX-License-Identifier: BSD-2-Clause
"""The hosts that tests share: one boot for all files that name the same."""

from . import nic
from .gate import TimerGate
from .host import LabHost


# a ring of 256 frames, and no more, in so many ns
SLOW_TIMER = "tx=timer,x-txtimer=2000000000"


def sockets(t):
    """Every kind of NIC, each with a wire of its own."""
    return LabHost(t, [
        nic.Nic("igb", "igb"),
        nic.virtio_zerocopy("virtio"),
        nic.virtio_zerocopy("late", TimerGate.TIMER),
        nic.virtio_zerocopy("slow", SLOW_TIMER),
        nic.Nic("e1000e", "e1000e"),
    ])


def taps(t):
    """virtio NICs with offloads: a tap with a virtio-net header behind them."""
    ns = t.netns("taps")
    for tap in ("tap0", "tap1"):
        ns.add_tap(tap, vnet_header=True)
    return LabHost(t, [
        nic.Nic("nic", "virtio-net-pci", tap="tap0"),
        nic.Nic("late", "virtio-net-pci", TimerGate.TIMER, tap="tap1"),
    ], ns=ns)


def slots(t):
    """A NIC that can be pulled out."""
    return LabHost(t, [nic.Nic("igb", "igb", slot=True)])
