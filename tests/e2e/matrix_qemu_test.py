# SPDX-License-Identifier: BSD-2-Clause
"""A Linux guest in QEMU: every kind of ring, over devices.

The features of a cell are switched on by the properties of the NIC, all others
off, and read in the guest. Over xdp and tap files go both ways over TCP, and
their SHA-256 is compared. The null device has no way back: what the guest says
it sent is compared with what was counted.
"""

import contextlib
import re
import socket

from lib import matrix
from lib.daemon import Daemon
from lib.proc import Timeout, check, run, wait_for
from lib.qemu import QEMU, QemuGuest, VhostUserNic
from lib.scenario import cases, deadline
from lib.site import Side, need_pinning, start_site
from lib.testpmd import names

PROPERTIES = ("indirect_desc", "event_idx", "mrg_rxbuf", "mq")
# name: the property that is on
CELLS = {
    "plain": None,
    "indirect": "indirect_desc",
    "event-idx": "event_idx",
    "in-order": "in_order",
    "mergeable": "mrg_rxbuf",
    "multiqueue": "mq",
}
BITS = {"mq": "net_mq"}
FILE_BYTES = 4 << 20
PAIRS = 4
CPUS = 2
FLOWS = 64
FLOW_PORT = 20000
PINGS = 100
PING_BYTES = 1400
NOWHERE = "10.77.1.1"
NOWHERE_MAC = "52:54:00:77:01:ff"
HELP_TIMEOUT_S = 30
SETTLE_S = 30
RECEIVED = re.compile(r"rx(?:_queue)?_?\d+_packets: (\d+)")


def has_property(t, name):
    t.need_tool(QEMU, "qemu-system-x86")
    said = run([QEMU, "-device", "virtio-net-pci,help"],
               timeout_s=HELP_TIMEOUT_S).stdout
    check("event_idx=" in said, f"QEMU's properties: {said}")
    return f" {name}=" in said


def nic_arguments(ring, wanted):
    """Of VhostUserNic, and of QemuGuest."""
    words = [f"{p}={'on' if p == wanted else 'off'}" for p in PROPERTIES]
    words.append(f"packed={'on' if ring == 'packed' else 'off'}")
    multi = wanted == "mq"
    return ({"options": ",".join(words), "queues": PAIRS if multi else 1},
            {"arguments": ("-smp", CPUS) if multi else (),
             "image_options": ("--tools",) if multi else ()})


def check_features(vm, ring, wanted):
    said = vm.run("cat /sys/class/net/eth0/device/features").output.strip()
    have = names(int(said[::-1], 2))
    need = {"version_1"}
    if wanted:
        need.add(BITS.get(wanted, wanted))
    if ring == "packed":
        need.add("ring_packed")
    check(have == need, f"negotiated {sorted(have)}, not {sorted(need)}")


def check_spread(vm):
    """Received packets of each queue, as the guest counts them."""
    said = vm.run("ethtool -S eth0").output
    counts = [int(n) for n in RECEIVED.findall(said)]
    check(len(counts) == PAIRS, f"{len(counts)} queues: {said}")
    check(sum(1 for n in counts if n) > 1, f"one queue has all: {counts}")


def flows(side):
    """Datagrams of many flows to the guest: by number they go to all pairs."""
    with contextlib.ExitStack() as stack:
        for n in range(FLOWS):
            sock = side.peer_ns.socket(kind=socket.SOCK_DGRAM)
            stack.enter_context(contextlib.closing(sock))
            sock.sendto(b"flow", (side.guest, FLOW_PORT + n))


def both_ways(t, driver, ring, wanted):
    need_pinning(driver)
    nic, machine = nic_arguments(ring, wanted)
    side = Side(t, driver, guest_options=",in_order=on", nic=nic, **machine)
    be = start_site(t, [side])
    side.reach()
    check_features(side.vm, ring, wanted)
    if wanted == "mq":
        side.vm.run(f"ethtool -L eth0 combined {PAIRS}")
        flows(side)
    side.files(FILE_BYTES)
    t.note(f"{FILE_BYTES >> 20} MiB each way")
    if wanted == "mq":
        check_spread(side.vm)
    side.vm.power_off()
    be.stop()


def one_way(t, ring, wanted):
    path = t.path("a.sock")
    be = Daemon(t, [f"a=guest:{path},in_order=on", "up=null:"],
                ns=t.netns("daemon"))
    nic, machine = nic_arguments(ring, wanted)
    vm = QemuGuest(t, [VhostUserNic(path, **nic)], **machine)
    be.start()
    vm.start()
    check_features(vm, ring, wanted)
    vm.set_address("10.77.1.2/24")
    vm.run(f"arp -s {NOWHERE} {NOWHERE_MAC} -i eth0; "
           f"ping -q -c {PINGS} -i 0.01 -W 1 -s {PING_BYTES} {NOWHERE}",
           may_fail=True)
    seen = {}

    def agree():
        seen["guest"] = int(vm.run(
            "cat /sys/class/net/eth0/statistics/tx_packets").output)
        pair = be.settled_pair("a", "up")
        seen["daemon"] = pair.lent_frames + pair.copied_frames
        seen["bytes"] = pair.lent_bytes + pair.copied_bytes
        return seen["guest"] == seen["daemon"]
    try:
        wait_for(agree, SETTLE_S, "guest and daemon to count the same")
    except Timeout as e:
        raise Timeout(f"{e}: {seen}") from e
    check(seen["bytes"] >= PINGS * PING_BYTES, f"the pings were sent: {seen}")
    t.note(f"{seen['daemon']} frames")
    vm.power_off()
    be.stop()


@matrix.rows("QEMU 7.2 guest")
@deadline(300)
@cases("ring", matrix.RINGS, quick=("packed",))
@cases("feature", matrix.FEATURES, quick=("mergeable",))
@cases("driver", matrix.DRIVERS, quick=("tap",))
def test_cell(t, ring, feature, driver):
    wanted = CELLS[feature]
    if wanted and not has_property(t, wanted):
        t.cell("not offered")
        t.note(f"QEMU has no property '{wanted}'")
    elif driver == "null":
        one_way(t, ring, wanted)
    else:
        both_ways(t, driver, ring, wanted)
