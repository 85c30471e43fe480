# SPDX-License-Identifier: BSD-2-Clause
"""The interface of a port goes, and comes again: nobody has to restart anything.

Where a test says idle there is no frame by which a driver could notice.
"""

from lib import guest, netns
from lib.gaps import Gaps
from lib.proc import check, wait_for
from lib.scenario import cases, deadline
from lib.wire import Wire, addresses, check_end, release

TIMEOUT_S = 20
FRAMES, RATE = 100, 1000
GONE = "there is none of that name now"
AGAIN = "there is an interface"
# of these each event has one; a veth has no carrier until its peer is up
LINES = (GONE, AGAIN)
DRIVERS = ("xdp", "packet", "tap")


def near(wire):
    return "near" + wire.up


def make_again(wire):
    if wire.driver == "tap":
        wire.ns.add_tap(near(wire))
    else:
        netns.veth(wire.ns, near(wire), wire.far_ns, "far" + wire.up)


def wait_link(wire, link, state="running"):
    def reached(_):
        port = wire.be.port(wire.up)
        return (port["link"], port["state"]) == (link, state)
    wire.be.wait_show(reached, TIMEOUT_S, f"link {link}, state {state}")
    return wire.be.port(wire.up)


def count_lines(wire, text):
    lines = wire.be.process.err.text().splitlines()
    return sum(text in line for line in lines)


def check_lines(wire, times):
    seen = {text: count_lines(wire, text) for text in LINES}
    check(set(seen.values()) == {times}, f"lines of the log: {seen}, not {times}")
    errors = count_lines(wire, "cannot be started again")
    check(not errors, f"{errors} starts failed")


def flow(wire):
    """Frames go both ways."""
    def frames(source, egress):
        pair = wire.be.pairs().get((source, egress))
        return pair.frames if pair else 0
    ways = ((wire.a, wire.up), (wire.up, wire.a))
    before = [frames(*way) for way in ways]
    far = wire.start_far(*addresses(wire.far_stream, wire.stream), "--send", 0,
                         "--rate", RATE, "--hold")
    a = wire.start_guest(*addresses(wire.stream, wire.far_stream), "--send", 0,
                         "--rate", RATE, "--timeout", 0)
    release(far)
    wire.be.wait_show(
        lambda _: all(frames(*way) > n + FRAMES
                      for way, n in zip(ways, before)),
        TIMEOUT_S, "frames both ways")
    for end in (a, far):
        end.signal(15)
        said = guest.result(end)
        check(said["verified"] > 0 and not said["corrupted"], f"{said}")


@deadline(120)
@cases("driver", DRIVERS)
def test_idle_port_gets_a_new_interface(t, driver):
    wire = Wire(t, driver)
    wire.start()
    wait_link(wire, "up")
    flow(wire)
    for times in (1, 2):
        wire.ns.ip("link", "delete", near(wire))
        port = wait_link(wire, "gone", "failed")
        check(GONE in port["status"], f"status: {port}")
        make_again(wire)
        port = wait_link(wire, "up")
        check(GONE not in port["status"], f"status: {port}")
        check_lines(wire, times)
        flow(wire)
    wire.be.stop()


@deadline(120)
@cases("driver", DRIVERS)
def test_renamed_and_back(t, driver):
    """The port belongs to the interface that has the name."""
    wire = Wire(t, driver)
    wire.start()
    wait_link(wire, "up")
    ifname = near(wire)
    wire.ns.ip("link", "set", ifname, "down")
    wire.ns.ip("link", "set", ifname, "name", "other")
    wait_link(wire, "gone", "failed")
    check(count_lines(wire, "is called other") == 1, wire.be.process.err.tail())
    wire.ns.ip("link", "set", "other", "name", ifname)
    wire.ns.ip("link", "set", ifname, "up")
    wait_link(wire, "up")
    flow(wire)
    wire.be.stop()


@deadline(120)
@cases("driver", DRIVERS)
def test_renamed_and_another_has_the_name(t, driver):
    """What belongs to the port is the other one now, or nothing: never the old one."""
    wire = Wire(t, driver)
    wire.start()
    wait_link(wire, "up")
    wire.ns.ip("link", "set", near(wire), "down")
    wire.ns.ip("link", "set", near(wire), "name", "other")
    wait_link(wire, "gone", "failed")
    if driver != "tap":
        wire.far_ns.ip("link", "set", "far" + wire.up, "down")
        wire.far_ns.ip("link", "set", "far" + wire.up, "name", "farther")
    make_again(wire)
    if driver == "tap":
        # a confined daemon cannot open what a tap is attached to with
        wait_for(lambda: count_lines(wire, "a new process may"), TIMEOUT_S,
                 "the log to say what to do")
        port = wire.be.port(wire.up)
        check(port["state"] == "failed", f"{port}")
    else:
        wait_link(wire, "up")
        flow(wire)
    wire.be.stop()


@deadline(120)
@cases("driver", DRIVERS)
def test_down_and_up(t, driver):
    wire = Wire(t, driver)
    wire.start()
    wait_link(wire, "up")
    # a tap has had no carrier before there was a port
    before = {text: count_lines(wire, text) for text in
              (f"interface {near(wire)} is down", f"interface {near(wire)} is up")}
    wire.ns.ip("link", "set", near(wire), "down")
    port = wait_link(wire, "down")
    check(f"interface {near(wire)} is down; " in port["status"], f"{port}")
    wire.ns.ip("link", "set", near(wire), "up")
    wait_link(wire, "up")
    for text, count in before.items():
        check(count_lines(wire, text) == count + 1,
              f"'{text}' is said once:\n{wire.be.process.err.tail()}")
    flow(wire)
    wire.be.stop()


@deadline(120)
@cases("driver", DRIVERS[:2])
def test_under_traffic(t, driver):
    """A guest sends all the while, and gets every buffer back."""
    wire = Wire(t, driver)
    wire.start()
    a = wire.start_guest(*addresses(wire.stream, wire.far_stream), "--send", 0,
                         "--rate", RATE, "--timeout", 0)
    wire.be.wait_show(lambda _: wire.be.pair("a", "up").frames > FRAMES,
                      TIMEOUT_S, "frames of the guest")
    wire.ns.ip("link", "delete", near(wire))
    wait_link(wire, "gone", "failed")
    wire.be.wait_show(lambda _: wire.be.pair("a", "up").drops().get(
        "egress_down", 0) > FRAMES, TIMEOUT_S, "drops, named")
    make_again(wire)
    gaps = Gaps(t, wire.far_ns, "far" + wire.up)
    wait_for(lambda: gaps.frames > FRAMES, TIMEOUT_S, "frames on the new wire")
    gaps.end()
    check(count_lines(wire, GONE + ";") == 1, wire.be.process.err.tail())
    a.signal(15)
    said = guest.result(a)
    check_end(said, said["sent"], 0)
    t.note(f"dropped: {wire.be.pair('a', 'up').drops()}")
    wire.be.stop()
