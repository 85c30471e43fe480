# SPDX-License-Identifier: BSD-2-Clause
"""The daemon is killed under load, with frames in devices, and started again.

The guest goes on with the same rings and the same memory, as QEMU does with
reconnect=1, and says of each of its buffers that it came back, once. Frames
may be sent twice (the dead daemon may have sent what it did not complete):
that is counted, by the far end and by the daemon.
"""

from lib import guest
from lib.proc import check, wait_for
from lib.scenario import alone, cases, deadline, rounds
from lib.wire import Wire, addresses

RATE = 8000
TIMEOUT_S = 60
RECONNECT_S = 30
# between two deaths
FRAMES = 200
SHORT, LONG = 5, 100
# a daemon with a sanitizer starts several times more slowly: 200 in all six cases
LONG_SANITIZED = 34
# a device that has some of them at any time
HOLDS = ",delay=3,order=random"


def sent(be):
    pair = be.pairs().get(("a", "up"))
    return pair.frames if pair else 0


def kill_and_start(be):
    be.kill()
    be.process.wait(TIMEOUT_S)
    be.start(TIMEOUT_S)
    wait_for(lambda: sent(be) > FRAMES, TIMEOUT_S, "frames after a death")


@deadline(900)
@alone
@cases("ring", ("split", "packed"))
@cases("driver", ("loop", "xdp", "tap"))
def test_each_buffer_comes_back_once(t, driver, ring):
    wire = Wire(t, driver, options=HOLDS if driver == "loop" else "")
    wire.start()
    a = wire.start_guest(*addresses(wire.stream, wire.far_stream),
                         "--ring", ring, "--send", 0, "--rate", RATE,
                         "--reconnect", RECONNECT_S, "--scribble",
                         "--timeout", 0)
    wait_for(lambda: sent(wire.be) > FRAMES, TIMEOUT_S, "first frames")
    again = 0
    n = rounds(SHORT, LONG_SANITIZED if wire.be.sanitized() else LONG)
    for _ in range(n):
        kill_and_start(wire.be)
        again += wire.be.port("a")["taken_again"]
    a.signal(15)
    said = guest.result(a, TIMEOUT_S)
    check(said["restarts"] == n, said)
    check(said["stop"]["clean"] and said["stop"]["lost"] == 0 and
          not said["errors"], said)
    check(driver != "loop" or again > 0, "never was one in the device")
    t.note(f"{n} deaths, {said['sent']} frames, {again} taken again, "
           f"{said['out_at_restarts']} out")
    wire.be.stop()
