# SPDX-License-Identifier: BSD-2-Clause
"""The daemon is killed while a real guest sends and receives, and comes back.

QEMU sets the base of a ring from its used index when the connection breaks
(of a packed ring it knows no base at all), so heads that were out on loan are
neither given back by the dead daemon nor seen by a new one that believes the
front-end. What must be seen: the stream goes on, its digest is right, and
every zero-copy send of the guest completes: a descriptor that was lost is a
completion that never comes.
"""

from lib.proc import check
from lib.scenario import cases, deadline, rounds
from lib.site import Side, need_pinning, start_site, wait_registered
from lib.stream import Stream

KILLS = rounds(2, 10)
# QEMU looks for the socket once a second; TCP doubles its patience each time
PROGRESS_TIMEOUT_S = 120
FILE_BYTES = 4 << 20


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
