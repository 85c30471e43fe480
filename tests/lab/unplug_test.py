# SPDX-License-Identifier: BSD-2-Clause
"""A NIC that is pulled out with a guest's frames in it: the guest gets every
buffer back, and once there are frames for it, the port says what is missing."""

from lib.proc import check, wait_for

from lablib import hosts, zerocopy
from lablib.load import Load, patient
from lablib.stuck import COUNT, SIZES, stuck

GONE_TIMEOUT_S = 60
GONE = "there is none of that name"

lab = hosts.slots


def unplug(lab, ifname):
    nic = lab.nic(ifname)
    lab.monitor("device_del", id=f"nic{nic.index}")
    wait_for(lambda: lab.run(f"[ -e /sys/class/net/{ifname} ]",
                             may_fail=True).status,
             GONE_TIMEOUT_S, f"{ifname} to be gone")


class Dropped(Load):
    """A guest of a port whose device is gone: nobody is asked about its memory."""

    def _wait_answered(self, earlier):
        def dropped(_):
            return self.be.pair(self.source, self.egress).drops().get("egress_down")
        self.be.wait_show(dropped, GONE_TIMEOUT_S, "dropped frames")
        return self.be.settled_pair(self.source, self.egress)


def check_gone(lab, be):
    """The next guest is served without the NIC, and the port says why."""
    load = Dropped(lab, be, "a", "up", None, COUNT, SIZES, 2, ["--hugetlb"])
    port = be.port("up")
    check(port["link"] == "gone" and GONE in port["status"], f"{port}")
    check(GONE in be.log(), f"the daemon does not say it:\n{be.log()}")
    return load


@patient
def test_every_buffer_comes_home(lab):
    be = zerocopy.start(lab, "igb")
    load = stuck(lab, be)
    loans = be.pair("a", "up").loans_out
    unplug(lab, "igb")
    load.end()
    check(not be.settled_pair("a", "up").loans_out, "loans are still out")
    lab.test.note(f"{loans} loans were out")
    load = check_gone(lab, be)
    load.go()
    load.end()
    be.stop()
