# SPDX-License-Identifier: BSD-2-Clause
"""igb: a NIC whose DMA engine reads guest memory."""

from lib.scenario import cases

from lablib import hosts, zerocopy
from lablib.gate import IgbGate

lab = hosts.sockets


@cases("memory", zerocopy.MEMORY)
def test_every_frame(lab, memory):
    zerocopy.every_frame(lab, "igb", memory)


def test_device_reads_guest(lab):
    zerocopy.device_reads_guest(lab, "igb", IgbGate(lab, "igb"))


def test_copy_is_seen(lab):
    zerocopy.copy_is_seen(lab, "igb", IgbGate(lab, "igb"))


def test_kernel_allocates_nothing(lab):
    zerocopy.kernel_allocates_nothing(lab, "igb", "igb_xmit_frame")
