# SPDX-License-Identifier: BSD-2-Clause
"""How a worker waits, and what is measured of each frame's way, in `guestwire
show`."""

from lib import guest
from lib.daemon import Daemon
from lib.proc import check, wait_for
from lib.scenario import cases, deadline
from lib.wire import RING_SIZE

FRAMES = 2000
# slow enough that the device is asked before most of them have gone by
RATE = 2000
HOLD_MS = 100
IDLE_GUESTS = 16
# Of one of them, for a while: how often the worker has to look for that, and
# for what is asked of it meanwhile.
TRICKLE_RATE, TRICKLE_S = 20, 2
ROUNDS_PER_FRAME = 50
TIMEOUT_S = 10


def start(t, device, options="", guests=1):
    be = Daemon(t, [f"g{i}=guest:{t.path(f'g{i}.sock')}{options}"
                    for i in range(guests)] + [f"up={device}"])
    be.start()
    return be


def send(t, *arguments, index=0):
    return guest.run_guest(t, "--socket", t.path(f"g{index}.sock"),
                           "--ring-size", RING_SIZE, *arguments)


def check_histogram(latency, count):
    check(latency["count"] == count, f"{count} frames, but {latency}")
    check(sum(n for _, n in latency["buckets"]) == count, latency)
    if count:
        marks = [latency[m] for m in ("p50_ns", "p99_ns", "p999_ns", "max_ns")]
        check(marks == sorted(marks) and marks[0] > 0, latency)
        check(0 < latency["mean_ns"] <= latency["max_ns"], latency)


@deadline(60)
@cases("device", ("null:", f"loop:,delay={HOLD_MS}"))
def test_each_frame_is_measured(t, device):
    """As many as went out, and of those that were lent as many came back. How
    long a device holds them is no part of it."""
    be = start(t, device)
    send(t, "--send", FRAMES, "--size", "60-1514", "--size-step", 7, "--rate",
         RATE)
    pair = be.settled_pair("g0", "up")
    check(pair.frames == FRAMES and pair.lent_frames > 0, pair.data)
    latency = be.port("g0")["latency"]
    check_histogram(latency["forward"], pair.frames)
    check_histogram(latency["back"], pair.lent_frames)
    check(latency["back"]["p50_ns"] < HOLD_MS * 1000000, latency)
    check_histogram(be.port("up")["latency"]["forward"], 0)
    text = be.command("show").stdout
    check("handed on within" in text and "given back within" in text, text)
    be.stop()


def work(be):
    return be.show()["work"][0]


@deadline(60)
@cases("wait", ("adaptive", "poll", "sleep"))
def test_a_worker_waits_as_it_is_told(t, wait):
    be = start(t, "null:", f",wait={wait}")
    said = work(be)
    check(not said["polls"], f"polls for a guest that is not there: {said}")
    a = guest.start_guest(t, "--socket", t.path("g0.sock"), "--send", 0,
                          "--rate", TRICKLE_RATE)
    wait_for(lambda: be.pairs()["g0", "up"].frames > 5, TIMEOUT_S, "frames")
    before, after = work(be), work(be)
    check(before["polls"] == (wait == "poll"), before)
    if wait == "poll":
        check(after["sleeps"] == before["sleeps"], (before, after))
        check(after["rounds"] > before["rounds"] + 1000, (before, after))
    else:
        check(after["sleeps"] > 0, after)
    if wait == "sleep":
        check(not after["window_ns"], after)
    a.kill()
    be.wait_show(lambda show: not show["work"][0]["polls"], TIMEOUT_S,
                 "the worker to sleep when the guest has gone")
    text = be.command("show").stdout
    check("worker 0: " in text and "sleeps" in text, text)
    be.stop()


@deadline(60)
def test_a_worker_that_polls_needs_no_kicks(t):
    """It is armed only after a while without work, so that a guest that is kept
    from running for that long has to kick now and then."""
    be = start(t, "null:", ",wait=poll")
    said = send(t, "--send", FRAMES, "--rate", 5000)
    t.note(f"{said['kicks']} kicks for {said['sent']} frames")
    check(said["sent"] == FRAMES and said["kicks"] < FRAMES / 2, said)
    be.stop()


@deadline(90)
def test_idle_guests_cost_nothing(t):
    """Sixteen of them, and one that sends a frame now and then: a worker does
    no more than this one asks for."""
    be = start(t, "null:", guests=IDLE_GUESTS + 1)
    for i in range(IDLE_GUESTS):
        guest.start_guest(t, "--socket", t.path(f"g{i}.sock"), "--receive", 1,
                          "--timeout", 0, name=f"g{i}")
    before = work(be)
    said = send(t, "--send", 0, "--rate", TRICKLE_RATE, "--duration",
                TRICKLE_S, index=IDLE_GUESTS)
    after = work(be)
    rounds = after["rounds"] - before["rounds"]
    t.note(f"{rounds} rounds for {said['sent']} frames")
    check(said["sent"] > TRICKLE_RATE and
          rounds < said["sent"] * ROUNDS_PER_FRAME + 10000, (before, after))
    be.stop()
