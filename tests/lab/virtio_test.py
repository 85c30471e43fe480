# SPDX-License-Identifier: BSD-2-Clause
"""virtio_net with zero-copy: the device, QEMU, reads guest memory."""

from lib.scenario import cases

from lablib import hosts, zerocopy
from lablib.gate import TimerGate

lab = hosts.sockets


@cases("memory", zerocopy.MEMORY, quick=("4k",))
def test_every_frame(lab, memory):
    zerocopy.every_frame(lab, "virtio", memory)


def test_device_reads_guest(lab):
    zerocopy.device_reads_guest(lab, "late", TimerGate(lab, "late"))


def test_copy_is_seen(lab):
    zerocopy.copy_is_seen(lab, "late", TimerGate(lab, "late"))


def test_kernel_allocates_nothing(lab):
    zerocopy.kernel_allocates_nothing(lab, "virtio", "start_xmit")
