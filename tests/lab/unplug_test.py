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


def check_gone(lab, be):
    """The next guest is served without the NIC, and the port says why."""
    load = Load(lab, be, "a", "up", None, COUNT, SIZES, 2, ["--hugetlb"])
    query = load.before.query
    check(query["reason"] == "device_down" and GONE in query["text"], f"{query}")
    check(GONE in be.port("up")["status"], f"{be.port('up')}")
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
