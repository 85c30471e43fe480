# SPDX-License-Identifier: BSD-2-Clause
"""igb: a NIC whose DMA engine reads guest memory.

What says more of the kernel and of the proof than of us is in the quick tier
with virtio only, where it takes half the time.
"""

from lib.scenario import cases, long

from lablib import hosts, zerocopy
from lablib.gate import IgbGate

lab = hosts.sockets


@cases("memory", zerocopy.MEMORY, quick=("hugetlb", "4k-cross-page"))
def test_every_frame(lab, memory):
    zerocopy.every_frame(lab, "igb", memory)


def test_device_reads_guest(lab):
    zerocopy.device_reads_guest(lab, "igb", IgbGate(lab, "igb"))


@long
def test_copy_is_seen(lab):
    zerocopy.copy_is_seen(lab, "igb", IgbGate(lab, "igb"))


@long
def test_kernel_allocates_nothing(lab):
    zerocopy.kernel_allocates_nothing(lab, "igb", "igb_xmit_frame")
