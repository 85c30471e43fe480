# SPDX-License-Identifier: BSD-2-Clause
"""Queue pairs that go from one worker to another while frames move."""

from lib import guest
from lib.daemon import Daemon
from lib.proc import check
from lib.scenario import cases, deadline
from lib.wire import (EXCHANGE_TIMEOUT_S, MEMORY_MIB, RING_SIZE, WINDOW, Wire,
                      check_end, mac, release)

PAIRS = 4
WORKERS = 2
FRAMES = 4000
RATE = 2000
ROUNDS = 3
# in turn, from the network's first worker on
DEALT = [pair % WORKERS for pair in range(PAIRS)]


def streams(first):
    return f"{first}-{first + PAIRS - 1}"


def load(own, other, others):
    """Arguments of an end: its streams from `own` on, and what it hears."""
    return ["--stream", own, "--mac", mac(own), "--dst", mac(other),
            "--receive-stream", others, "--verify", "--send", FRAMES,
            "--receive", FRAMES, "--rate", RATE, "--window", WINDOW,
            "--start-fd", 0, "--timeout", EXCHANGE_TIMEOUT_S]


def places(be, port):
    """The worker of each queue pair, as `show` says."""
    shown = next(p for p in be.show()["ports"] if p["name"] == port)
    return [pair["worker"] for pair in shown["queue_pairs"]]


def move_to_and_fro(t, be, ports):
    """Each pair to each worker. One whose frames a device keeps, or that
    frames wait for, may stay where it is. It is shown where it is."""
    moved = asked = 0
    place = {port: DEALT[:] for port in ports}
    known = dict.fromkeys(ports, 0)
    for i in range(ROUNDS * WORKERS):
        for n, port in enumerate(ports):
            for pair in range(PAIRS):
                worker = (i + pair // (n + 1)) % WORKERS
                done = be.command("move", f"{port}:{pair}", "--worker", worker,
                                  may_fail=True)
                asked += 1
                moved += done.returncode == 0
                check(done.returncode == 0 or "stay" in done.stderr,
                      f"{port}:{pair} to {worker}: {done.stderr}")
                if done.returncode == 0:
                    place[port][pair] = worker
                # the front-end may not have started all of them yet
                shown = places(be, port)
                check(shown == place[port][:len(shown)] and
                      len(shown) > pair * (done.returncode == 0) and
                      len(shown) >= known[port],
                      f"{port}: {place[port]}, shown {shown}")
                known[port] = len(shown)
    check(all(len(places(be, port)) == PAIRS for port in ports), be.show())
    t.note(f"{moved} of {asked} moves")
    check(moved > asked / 2, f"only {moved} of {asked} moves")


@deadline(90)
def test_between_guests(t):
    """Each number once, both ways. In which order the guest reads its rings,
    and so frames that came to several, is up to the guest."""
    sockets = {p: t.path(f"{p}.sock") for p in ("a", "b")}
    be = Daemon(t, [f"{p}=guest:{s},queues={PAIRS}"
                    for p, s in sockets.items()],
                arguments=["--workers", WORKERS])
    be.start()
    ends = [guest.start_guest(
        t, "--socket", sockets[name], "--queues", PAIRS, "--memory",
        MEMORY_MIB, "--ring-size", RING_SIZE,
        *load(own, other, streams(other)), name=name)
        for name, own, other in (("a", 1, 101), ("b", 101, 1))]
    for end in ends:
        release(end)
    move_to_and_fro(t, be, ("a", "b"))
    for end in ends:
        check_end(guest.result(end), FRAMES, FRAMES)
    be.stop()


@deadline(90)
@cases("driver", ("xdp", "tap", "packet"))
def test_with_a_device(t, driver):
    """Each number once, both ways, and to the device each flow in order: it
    stays in its ring, whoever serves that."""
    wire = Wire(t, driver, guest_options=f",queues={PAIRS}")
    wire.start("--workers", WORKERS)
    far = wire.start_far(*load(101, 1, streams(1))[:-4], "--ordered",
                         "--timeout", EXCHANGE_TIMEOUT_S)
    a = wire.start_guest("--queues", PAIRS, *load(1, 101, "101"))
    release(a)
    wire.wait_answered(0)
    release(far)
    move_to_and_fro(t, wire.be, ("a",))
    for end in (a, far):
        check_end(guest.result(end), FRAMES, FRAMES)
    wire.be.stop()


def test_where_pairs_are(t):
    """Without a front-end: none, or as those that were moved will be."""
    sockets = {p: t.path(f"{p}.sock") for p in ("a", "b")}
    be = Daemon(t, [f"a=guest:{sockets['a']}", "out=null:",
                    f"b=guest:{sockets['b']},worker=1"],
                arguments=["--workers", WORKERS])
    be.start()
    for port in ("a", "b", "out"):
        check(not places(be, port), places(be, port))
    be.command("move", "b:1", "--worker", 1)
    check(places(be, "b") == [1, 1], places(be, "b"))
    check(places(be, "a") == [], places(be, "a"))
    be.command("move", "a:2", "--worker", 1)
    text = be.command("show", "a").stdout
    check("\na\n  queue pair 0: worker 0\n  queue pairs 1 2: worker 1\n"
          in text, text)
    be.stop()


def test_what_cannot_be_moved(t):
    """Each refusal names what was asked for, and what there is."""
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", "out=null:"],
                arguments=["--workers", WORKERS])
    be.start()
    for what, worker, words in (
            ("a:0", 5, f"to worker 5: there are {WORKERS} workers"),
            ("out:0", 1, "port out: to be moved there are queue pairs of "
             "guests only"),
            ("z:0", 1, "no port named 'z'")):
        done = be.command("move", what, "--worker", worker, may_fail=True)
        check(done.returncode == 1 and words in done.stderr, done)
    be.stop()
