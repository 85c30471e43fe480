# SPDX-License-Identifier: BSD-2-Clause
"""Make a device wait before it fetches what it was given.

After shut() and the script `shut`, until the script `open`, the NIC reads no
guest memory: what it then sends are the bytes that lie there when it does. Both
scripts run in the lab, in one go with what happens between: the daemon takes a
device that rests for 200 ms for a stalled one, and would copy.
"""

from lib.proc import wait_for

WIRE_TIMEOUT_S = 60


class IgbGate:
    """The transmitter's enable bit, set behind the driver's back; then the
    tail registers of its two queues are written, which makes the NIC look at
    their descriptors (82576 datasheet, 8.12.1 and 8.12.9)."""

    LEAD = 4
    shut_script = "devmem $TCTL 32 $(($(devmem $TCTL 32) & ~2))"
    open_script = """devmem $TCTL 32 $(($(devmem $TCTL 32) | 2))
for tail in $TAILS; do
	devmem $tail 32 $(devmem $tail 32)
done"""

    def __init__(self, lab, ifname):
        # busybox's devmem reads and writes /dev/mem: let that be the NIC
        link = ("rm -f /dev/mem; ln -s /sys/class/net/"
                f"{ifname}/device/resource0 /dev/mem\n")
        self.shut_script = link + "TCTL=0x400 TAILS='0xe018 0xe058'\n" + self.shut_script

    def shut(self):
        pass


class TimerGate:
    """A virtio NIC that looks at its ring so long after it was kicked.

    When it has just sent something it has all that time before it, if nothing
    is sent meanwhile; hence the slow lead. That may go wrong on a busy
    machine, which is seen, as then too few frames wait.
    """

    TIMER = "tx=timer,x-txtimer=600000000"
    LEAD = 1
    shut_script = ""
    open_script = ""

    def __init__(self, lab, ifname):
        self.pcap = lab.pcap(ifname)

    def shut(self):
        before = len(self.pcap.frames())
        wait_for(lambda: len(self.pcap.frames()) > before, WIRE_TIMEOUT_S,
                 "the timer of the NIC")
