# SPDX-License-Identifier: BSD-2-Clause
"""Devices that hold what was lent to them, through the command line.

Three guests in one daemon and on one worker: one whose device holds every
frame for ever, one in another network, and a device beside the held one that
hears the same frames.
"""

import time

from lib import guest
from lib.daemon import Daemon
from lib.proc import check
from lib.scenario import alone, cases, deadline
from lib.wire import RING_SIZE, WINDOW, check_end, release

LOANS, BOUNCE = 32, 16
MEASURE_S = 1.0
OFFERED_RATE = 20000
# of the rate beside a device that works; noise of a busy machine included
RATE_SHARE_MIN, TRIES = 0.6, 3
STOP_MAX_S = 2.0
TIMEOUT_S = 10
HELD = f"hold=on,loans={LOANS},bounce={BOUNCE}"
# Half of all stays there. The other half is progress, so that it is lent to
# however long mapping takes, up to 5 s at this rate.
LOSING_BOUNCE, LEAD_RATE = 512, 200
LOSING = f"lose=2,loans={LOANS},bounce={LOSING_BOUNCE}"


def start(t, options, stuck_too=()):
    be = Daemon(t, [f"a=guest:{t.path('a.sock')},network=red",
                    f"stuck=loop:,network=red,{options}", *stuck_too,
                    f"b=guest:{t.path('b.sock')},network=blue",
                    "echo=loop:,network=blue,echo=on"])
    be.start()
    return be


def start_a(t, *arguments):
    return guest.start_guest(t, "--socket", t.path("a.sock"), "--timeout", 0,
                             *arguments, name="a")


def send_for_ever(t):
    # little memory is mapped soon: a device that holds copies and completes
    # nothing is stalled after 0.2 s, and is lent nothing then
    return start_a(t, "--memory", 8, "--ring-size", RING_SIZE, "--send", 0,
                   "--rate", 5000)


def rate_of_b(t):
    """Frames a second that come back to a guest of the other network. It
    offers what is easy: how fast it could go depends on who sleeps when."""
    said = guest.run_guest(
        t, "--socket", t.path("b.sock"), "--ring-size", RING_SIZE, "--send",
        0, "--duration", MEASURE_S, "--rate", OFFERED_RATE, "--window",
        WINDOW, "--verify", "--settle", 0.2, "--scribble")
    check_end(said, said["sent"], said["sent"])
    return said["sent"] / MEASURE_S


def rate_beside(t, alone):
    """Beside the held device. A busy machine takes what it takes of any second:
    of a few the one that has least of that."""
    best = 0
    for _ in range(TRIES):
        best = max(best, rate_of_b(t))
        if best > RATE_SHARE_MIN * alone:
            break
    return best


def wait_held(be):
    """Until the device has all it may hold, lent and copied."""
    be.wait_show(lambda _: be.pair("a", "stuck").loans_out == LOANS and
                 be.pair("a", "stuck").bounce_out == BOUNCE, TIMEOUT_S,
                 "the device to hold all it may")


@alone
@deadline(90)
@cases("order", ("hold=on", "lose=1"))
def test_the_other_guest_does_not_notice(t, order):
    be = start(t, f"{order},loans={LOANS},bounce={BOUNCE}")
    alone = rate_of_b(t)
    a = send_for_ever(t)
    wait_held(be)
    beside = rate_beside(t, alone)
    check(beside > RATE_SHARE_MIN * alone,
          f"{beside:.0f} frames a second, {alone:.0f} without a held device")
    t.note(f"{alone:.0f} and {beside:.0f} frames a second")
    started = time.monotonic()
    a.signal(15)
    said = guest.result(a)
    seconds = time.monotonic() - started
    check(seconds < STOP_MAX_S, f"the stop took {seconds:.1f} s")
    check(said["stop"]["clean"] and said["stop"]["tx_used_idx"] ==
          said["stop"]["tx_avail_idx"], f"heads are missing: {said}")
    check(be.port("stuck")["quarantined"] == 0, "gave all back when stopped")
    be.stop()


@alone
def test_another_port_of_the_network_goes_on(t):
    """What the held device cannot take is dropped and counted; the frames to
    the port beside it are not touched by that."""
    be = start(t, HELD, ["out=null:,network=red"])
    count = 20000
    a = start_a(t, "--send", count, "--rate", 20000)
    be.wait_show(lambda _: be.pair("a", "out").frames == count, TIMEOUT_S,
                 "all frames to go to the port that works")
    out, stuck = be.settled_pair("a", "out"), be.settled_pair("a", "stuck")
    check(out.frames == count and not out.drops(), f"to out: {out.data}")
    check(set(stuck.drops()) <= {"egress_full", "egress_down"} and
          stuck.drops().get("egress_full", 0) > count // 2,
          f"to stuck: {stuck.data}")
    check(stuck.frames + stuck.dropped_frames == count,
          f"not each is counted: {stuck.data}")
    a.signal(15)
    said = guest.result(a)
    check_end(said, count, 0)
    check(said["stop"]["tx_used_idx"] == said["stop"]["tx_avail_idx"],
          f"heads are missing: {said}")
    be.stop()


def other_memory_while_held(t, be):
    """Another memory table, once the device has what is lent to it. Returns
    when that was."""
    a = start_a(t, "--memory", 8, "--send", 0, "--lead", LEAD_RATE,
                "--misbehave", "change-mem-table", "--start-fd", 0,
                "--duration", TIMEOUT_S)
    be.wait_show(lambda _: be.pair("a", "stuck").loans_out == LOANS, TIMEOUT_S,
                 "the device to hold all that is lent")
    release(a)
    return time.monotonic()


@deadline(90)
@cases("way", ("stop", "disconnect", "memory"))
def test_what_is_never_given_back_is_quarantined(t, way):
    """Even when it is stopped the device keeps it all; nobody waits longer
    than the limit, and it is shown."""
    be = start(t, (LOSING if way == "memory" else HELD) + ",stubborn=on")
    if way == "memory":
        started = other_memory_while_held(t, be)
    else:
        a = send_for_ever(t)
        wait_held(be)
        started = time.monotonic()
        a.signal(15 if way == "stop" else 9)
    be.wait_show(lambda _: be.port("stuck")["quarantined"] > 0, TIMEOUT_S,
                 "frames in quarantine")
    seconds = time.monotonic() - started
    check(seconds < STOP_MAX_S, f"it took {seconds:.1f} s")
    check(be.port("stuck")["quarantined"] <=
          LOANS + (LOSING_BOUNCE if way == "memory" else BOUNCE), "too many")
    check(rate_of_b(t) > 0, "the other guest stands still")
    started = time.monotonic()
    be.command("stop", may_fail=True)
    seconds = time.monotonic() - started
    check(seconds < 2 * STOP_MAX_S, f"the daemon's stop took {seconds:.1f} s")
    check(be.process.wait(TIMEOUT_S) in (0, 1), be.process.err.text())
    t.note(f"{seconds:.1f} s")
