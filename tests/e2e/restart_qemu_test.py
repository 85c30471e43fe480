# SPDX-License-Identifier: BSD-2-Clause
"""The daemon is killed while a real guest sends and receives, and comes back.

QEMU sets the base of a ring from its used index when the connection breaks
(of a packed ring it knows no base at all), so heads that were out on loan are
neither given back by the dead daemon nor seen by a new one that believes the
front-end. What must be seen: the stream goes on, its digest is right, and
every zero-copy send of the guest completes: a descriptor that was lost is a
completion that never comes.
"""

import re

from lib.daemon import Daemon
from lib.proc import check
from lib.qemu import QemuGuest, VhostUserNic
from lib.scenario import cases, deadline, long, rounds
from lib.site import Side, need_pinning, start_site, wait_registered
from lib.stream import Stream

KILLS = rounds(2, 10)
# QEMU looks for the socket once a second; TCP doubles its patience each time
PROGRESS_TIMEOUT_S = 120
FILE_BYTES = 4 << 20
# a device that keeps what it is lent for a while; small frames are copied and
# back at once, out of order: what QEMU's idea of the base cannot express
SLOW = "loop:,network=net1,delay=30,offloads=all"
NEIGHBOUR = "10.77.1.1", "02:00:00:00:00:01"
FLOOD_TIMEOUT_S = 120
LOANS = 200

FLOOD = """\
arp -s {0} {1}
rm -f /tmp/flood.*
(guest-tool flood {0} 9 >/tmp/flood.new 2>&1
 mv /tmp/flood.new /tmp/flood.end) </dev/null >/dev/null 2>&1 &
"""
FLOOD_END = """\
killall -TERM guest-tool
until [ -e /tmp/flood.end ]; do sleep 0.05; done
cat /tmp/flood.end
"""


def kill(be):
    be.kill()
    be.start()


def kill_in_stream(t, side, be):
    stream = Stream(t, side.peer_ns, side.host, side.vm)
    silences = []
    for _ in range(KILLS):
        stream.wait_progress(timeout_s=PROGRESS_TIMEOUT_S)
        since = stream.heard
        kill(be)
        stream.wait_progress(timeout_s=PROGRESS_TIMEOUT_S)
        silences.append(stream.longest_silence_s(since))
    said = stream.finish(side.vm)
    t.note(f"{KILLS} kills, {stream.bytes >> 20} MiB from the guest, "
           f"{stream.sent_bytes >> 20} to it, {said['completed']} zero-copy "
           f"sends; silent for {min(silences):.1f} to {max(silences):.1f} s")


@deadline(rounds(300, 1200))
@cases("packed", ("off", "on"), quick=("off",))
@cases("driver", ("xdp", "tap"), quick=("xdp",))
def test_kills_in_a_stream(t, driver, packed):
    need_pinning(driver)
    side = Side(t, driver, image_options=("--add", t.program("guest-tool")),
                nic={"options": f"packed={packed}"})
    be = start_site(t, [side])
    side.reach()
    wait_registered(be, side)
    kill_in_stream(t, side, be)
    # as good as new: no ring is short of descriptors
    side.files(FILE_BYTES)
    check(side.vm.process.alive(), "QEMU ended")
    be.stop()


def wait_lent(be):
    """Until so many frames more have been lent."""
    lent = be.pair("g1", "up").lent_frames
    be.wait_show(lambda _: be.pair("g1", "up").lent_frames >= lent + LOANS,
                 PROGRESS_TIMEOUT_S, f"{LOANS} loans more")


def wait_back(be):
    """Until the guest's NIC is a source again."""
    be.wait_show(lambda _: ("g1", "up") in be.pairs(), PROGRESS_TIMEOUT_S,
                 "the guest to be there again")


@deadline(rounds(300, 1200))
@long
def test_kills_with_loans_out(t):
    """Of a device that completes out of order; each send must complete.

    On a packed ring. From a split one QEMU itself takes chains while there is no
    back-end (the link is down, so it drops them, from the used index on): some
    of them for a second time, and the guest says that this "is not a head".
    """
    socket = t.path("g1.sock")
    be = Daemon(t, [f"g1=guest:{socket},network=net1", f"up={SLOW}"])
    vm = QemuGuest(t, [VhostUserNic(socket, options="packed=on")],
                   image_options=("--add", t.program("guest-tool")))
    be.start()
    vm.start()
    vm.set_address("10.77.1.2/24")
    vm.run(FLOOD.format(*NEIGHBOUR))
    for _ in range(KILLS):
        wait_lent(be)
        kill(be)
        wait_back(be)
    wait_lent(be)
    output = vm.run(FLOOD_END, FLOOD_TIMEOUT_S).output
    said = re.search(r"calls=(\d+) completed=(\d+)", output)
    check(said and said.group(1) == said.group(2), f"guest-tool: {output}")
    t.note(f"{KILLS} kills, {said.group(1)} zero-copy sends")
    be.stop()
