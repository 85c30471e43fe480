# SPDX-License-Identifier: BSD-2-Clause
"""Devices that are lent to and whose driver in the kernel copies each frame:
said so, counted so, and right on the wire."""

from lib.proc import check

from lablib import hosts
from lablib.host import result
from lablib.load import Load, guest_port, patient

COUNT = 2000
SIZES = (60, 1514)
STREAM = 1
# what the far end's socket has room for while nobody reads it
RATE = 2000
MIXED = ("--descriptors", "1-8", "--unaligned", "--header", "mixed")

# busybox does not name the peer: the kernel does
ADD_VETH = """
set -e
ip link add near type veth
for nic in /sys/class/net/*; do
	[ "$(cat $nic/ifindex)" != "$(cat /sys/class/net/near/iflink)" ] ||
		ip link set ${nic##*/} name far
done
ip link set near up
ip link set far up
"""

lab = hosts.sockets


def start(lab, ifname):
    be = lab.daemon([guest_port("a"), f"up=xdp:{ifname}"])
    lab.wait_carrier(ifname)
    port = be.port("up")
    check(port["device_reads"] == "kernel-copy", f"{ifname}: {port}")
    return be


def check_kernel_copies(ledger):
    check(not ledger.copies, f"lent all the same: {ledger}")
    check((ledger.kernel_copied_frames, ledger.kernel_copied_bytes) ==
          (ledger.frames, ledger.bytes), f"the kernel copies all: {ledger}")


@patient
def test_e1000e(lab):
    be = start(lab, "e1000e")
    check_kernel_copies(Load(lab, be, "a", "up", "e1000e", COUNT, SIZES,
                             options=MIXED).run())
    be.stop()


@patient
def test_veth(lab):
    """Its wire does not leave the lab: the built-in guest's other mode looks."""
    lab.run(ADD_VETH)
    be = start(lab, "near")
    far = lab.guest("--interface", "far", "--receive-stream", STREAM,
                    "--receive", COUNT, "--verify", "--timeout", 150,
                    name="far")
    load = Load(lab, be, "a", "up", None, COUNT, SIZES, STREAM,
                [*MIXED, "--rate", RATE])
    load.go()
    said = result(far)
    check(said["verified"] == COUNT and not said["duplicated"] and
          not said["out_of_order"], f"the far end: {said}")
    check_kernel_copies(load.finish())
    be.stop()
    lab.run("ip link delete near")
