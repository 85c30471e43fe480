# SPDX-License-Identifier: BSD-2-Clause
"""A NIC that goes away with a guest's frames in it: the guest gets every buffer
back, and sends again when the NIC is there again."""

from lib.scenario import cases

from lablib import hosts, zerocopy
from lablib.load import Load, patient
from lablib.stuck import COUNT, SIZES, stuck

lab = hosts.sockets

# what happens to igb, while its transmitter rests; each ends with a link
TROUBLES = {
    "down-and-up": "ip link set igb down; ip link set igb up",
    "another-mtu": "ip link set igb mtu 1400; ip link set igb mtu 1500",
}


@cases("trouble", TROUBLES)
@patient
def test_every_buffer_comes_home(lab, trouble):
    be = zerocopy.start(lab, "igb")
    load = stuck(lab, be)
    loans = be.pair("a", "up").loans_out
    lab.run(TROUBLES[trouble])
    lab.wait_carrier("igb")
    load.end()
    lab.test.note(f"{loans} loans were out")
    lab.pcap("igb").mark()
    again = Load(lab, be, "a", "up", "igb", COUNT, SIZES, 2, ["--hugetlb"])
    again.run()
    be.stop()
