# SPDX-License-Identifier: BSD-2-Clause
"""What goes away and comes back: front-ends, and the daemon itself."""

import json
import signal

from lib import guest
from lib.proc import check, wait_for
from lib.scenario import cases, deadline, rounds
from lib.wire import RING_SIZE, Sweep, Wire, check_end, release

SWEEP = Sweep(14, 1514)
KILLS = rounds(10, 50)
RATE = 5000
SOME = 50
TIMEOUT_S = 10


def frames(wire):
    return wire.be.pairs()[wire.a, wire.up].frames \
        if (wire.a, wire.up) in wire.be.pairs() else 0


@deadline(rounds(120, 300))
@cases("driver", ("xdp", "tap", "packet", "guest"))
def test_a_guest_is_killed_again_and_again(t, driver):
    """With frames in flight both ways; the next one is served as the first."""
    wire = Wire(t, driver)
    wire.start()
    far = wire.start_far("--stream", wire.far_stream, "--send", 0, "--rate",
                         RATE, "--timeout", 0)
    release(far)
    for _ in range(KILLS):
        a = wire.start_guest("--send", 0, "--rate", RATE, "--descriptors",
                             "1-17")
        before = frames(wire)
        wait_for(lambda b=before: frames(wire) > b + SOME, TIMEOUT_S,
                 "frames of the guest")
        a.kill()
    far.stop()
    for port in wire.be.show()["ports"]:
        check(port["state"] == "running" and not port["quarantined"], port)
    check(len(wire.be.process.err.lines) < KILLS * 20, "it logs too much")
    wire.exchange(SWEEP)
    wire.be.stop()


def test_the_front_end_listens(t):
    """mode=client: the daemon connects, again and again."""
    wire = Wire(t, "tap", guest_options=",mode=client")
    wire.start()
    n = SWEEP.count()
    for _ in range(3):
        a = guest.start_guest(t, "--listen", "--socket", wire.socket,
                              "--ring-size", RING_SIZE, "--send", 0, "--rate",
                              RATE, name="killed")
        a.kill()
        said = guest.run_guest(t, "--listen", "--socket", wire.socket,
                               *SWEEP.arguments())
        check_end(said, n, 0, SWEEP.bytes(), 0)
    wire.be.process.check_alive()
    wire.be.stop()


def interface(wire):
    """What the kernel says of the device's interface."""
    text = wire.ns.ip("-details", "-json", "link", "show", "near" +
                      wire.up).stdout
    return json.loads(text)[0]


def test_nothing_stays_on_an_interface(t):
    """Killed with loans out: no XDP program, no promiscuous mode; and the next
    daemon finds the queue free."""
    wire = Wire(t, "xdp", options=",promisc=on")
    wire.start()
    for _ in range(3):
        a = wire.start_guest("--send", 0, "--rate", RATE, "--stream", 9)
        wait_for(lambda: wire.lent() > SOME, TIMEOUT_S, "loans")
        said = interface(wire)
        check(said.get("xdp") or "xdp" in said.get("linkinfo", {}),
              f"no XDP program while it runs: {said}")
        check(said["promiscuity"] > 0, f"not promiscuous: {said}")
        wire.be.kill()
        status = a.wait(TIMEOUT_S)
        check(status == 3, f"the guest ends with {status}")
        wait_for(lambda: not interface(wire).get("xdp") and
                 not interface(wire)["promiscuity"], TIMEOUT_S,
                 "the kernel to take everything away")
        wire.be.start()
    wire.exchange(SWEEP)
    wire.be.stop()
    said = interface(wire)
    check(not said.get("xdp") and not said["promiscuity"], f"left: {said}")


@cases("number", (signal.SIGKILL, signal.SIGTERM))
def test_a_guest_outlives_the_daemon(t, number):
    """Its device is gone, it is told so; the next daemon serves it anew."""
    wire = Wire(t, "loop", options=",echo=on")
    wire.start()
    for _ in range(3):
        a = wire.start_guest("--send", 0, "--rate", RATE)
        wire.be.process.signal(number)
        wire.be.process.wait(TIMEOUT_S)
        check(a.wait(TIMEOUT_S) == 3, f"the guest does not notice: "
              f"{a.err.tail()}")
        wire.be.start()
    wire.be.stop()
