# SPDX-License-Identifier: BSD-2-Clause
"""A guest or a front-end that does everything wrong costs nobody but itself.

One after the other, each misdeed that guestwire-guest knows (--misbehave) is
done to one port of a daemon, while a good guest of another network goes on.
In the misbehaving guest's own network are a device that lends from its
memory, or another guest, and frames that come in for it.
"""

import os
import signal
import socket
import time

from lib import guest
from lib.proc import check, run, wait_for
from lib.scenario import cases, deadline
from lib.wire import WINDOW, Sweep, Wire, check_end, release, start_together

WATCH_S, ANSWER_S = 0.1, 5
SWEEP = Sweep(14, 1514)
GOOD_RATE, NOISE_RATE = 2000, 1000
# on a busy machine it is slower, but it does not stand still
GOOD_SHARE_MIN = 0.2
TIMEOUT_S = 10
# what the allocator, logs and page tables may keep of 220 misdeeds
RSS_GROWTH_MAX_BYTES = 4 << 20
FEW_FDS = 3
# drivers/guest lets so many in a second; some wait in the backlog
COMING, COMING_MAX, BACKLOG = 350, 100, 8

# What the misbehaving side must be told, by the beginning of the name. What is
# not here, a back-end may take or leave.
RING_ERROR = (
    "desc-unmapped", "desc-half-mapped", "desc-wrapping", "desc-length-max",
    "head-", "next-", "avail-", "zero-length", "header-", "tx-",
    "indirect-empty", "indirect-odd", "indirect-long", "indirect-nested",
    "indirect-with-next", "indirect-unmapped", "indirect-next-beyond",
    "indirect-loop", "ring-garbage", "rx-readable", "rx-unmapped", "rx-loop",
    "rx-zero-length", "base-ahead", "base-behind", "packed-id-beyond",
    "packed-id-max", "packed-next-", "packed-indirect-empty",
    "packed-indirect-odd", "packed-indirect-long", "packed-indirect-nested",
    "packed-indirect-next", "packed-indirect-unmapped", "packed-desc-",
    "packed-tx-", "packed-garbage", "rx-packed-")
CLOSED = ("message-wrong-version", "message-reply-flag", "message-flags-all",
          "message-payload", "fds-")
COMPLETED = ("packed-event-", "packed-indirect-flags", "frame-", "csum-", "gso-", "offload-", "segments-",
             "second-client", "replace-kick")
# the rings are in that memory too, and what is left of them may be seen first
TRUNCATED = ("truncate-",)
# what comes after it is answered, although that descriptor does not close
HELD = ("pipe-held",)
# shares, or shared: said by whoever sees it first
SHORTENED = "the front-end shortened a file that it share"
SHORTENINGS = 3
MUST_END_AS = ((RING_ERROR, {"ring-error"}), (CLOSED, {"closed"}),
               (COMPLETED, {"completed"}), (HELD, {"answered"}),
               (TRUNCATED, {"closed", "ring-error"}))


def misdeeds(t):
    text = run([t.program("guestwire-guest"), "--misbehave", "list"]).stdout
    return [line.split()[0] for line in text.splitlines()]


def misbehave(wire, name):
    """Do it, and see how it ends. Waiting ends with the first answer."""
    expected = next((e for names, e in MUST_END_AS if name.startswith(names)),
                    None)
    if name.startswith("rx-") and not wire.far_place:
        expected = None  # nobody sends it frames
    said = guest.run_guest(wire.t, "--socket", wire.socket, "--misbehave",
                           name, "--duration",
                           ANSWER_S if expected else WATCH_S)
    outcome = said["misbehave"]["outcome"]
    check(not expected or outcome in expected,
          f"{name} ends as {outcome}, not as {expected}")


class GoodGuest:
    """On a network of its own: its frames come back to it, each of them."""

    def __init__(self, t, wire):
        self.started = time.monotonic()
        self.process = wire.start_guest(
            "--send", 0, "--size", "14-1514", "--rate", GOOD_RATE, "--window",
            WINDOW, "--verify", "--receive-stream", wire.stream, "--stream",
            wire.stream, "--scribble", "--descriptors", "1-17", "--timeout", 0)

    def stop(self):
        """It was interrupted, so what was on its way is missing."""
        seconds = time.monotonic() - self.started
        self.process.signal(signal.SIGTERM)
        said = guest.result(self.process)
        least = int(seconds * GOOD_RATE * GOOD_SHARE_MIN)
        check(said["sent"] > least,
              f"{said['sent']} frames in {seconds:.1f} s, not {least}")
        check(said["sent"] - said["received"] <= WINDOW, f"lost: {said}")
        check_end(said, said["sent"], said["received"])


def fds(be):
    return len(os.listdir(f"/proc/{be.pid}/fd"))


def own_bytes(be):
    with open(f"/proc/{be.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f
                    if line.startswith("RssAnon:"))


def check_unharmed(be):
    be.process.check_alive()
    for port in be.show()["ports"]:
        check(port["state"] == "running" and not port["quarantined"],
              f"{port}")


def site(t, driver, options=""):
    """The misbehaving guest's wire, the good one's, and the good guest."""
    ns = t.netns("daemon")
    bad = Wire(t, driver, site=1, ns=ns, options=options)
    good = Wire(t, "loop", site=2, ns=ns, options=",echo=on,delay=1")
    start_together(t, [bad, good])
    if bad.far_place:
        bad.exchange(SWEEP)
    return bad, good


DEVICES = {"xdp": "", "tap": "", "packet": "", "guest": "",
           "loop": ",echo=on,delay=20,order=random"}


@deadline(200)
@cases("driver", DEVICES)
def test_all_misdeeds(t, driver):
    bad, good = site(t, driver, DEVICES[driver])
    be = bad.be
    good_guest = GoodGuest(t, good)
    files, memory = fds(be), own_bytes(be)
    noise = bad.far_place and bad.start_far(
        "--stream", bad.far_stream, "--send", 0, "--rate", NOISE_RATE,
        "--timeout", 0)
    if noise:
        release(noise)
    names = misdeeds(t)
    for name in names:
        misbehave(bad, name)
        be.process.check_alive()
    if noise:
        noise.stop()
    check_unharmed(be)
    if bad.far_place:
        bad.exchange(SWEEP)
    good_guest.stop()
    wait_for(lambda: fds(be) <= files, TIMEOUT_S,
             f"{files} open files again, now {fds(be)}")
    grown = own_bytes(be) - memory
    check(be.sanitized() or grown < RSS_GROWTH_MAX_BYTES,
          f"the daemon took {grown >> 10} KiB more")
    t.note(f"{len(names)} misdeeds, memory {grown >> 10:+d} KiB")
    be.stop()


@cases("what", ("truncate-memory", "truncate-half"))
def test_memory_that_is_cut_off_costs_its_session_only(t, what):
    """And again, and again: SIGBUS is caught each time."""
    bad, good = site(t, "xdp")
    good_guest = GoodGuest(t, good)
    for _ in range(10):
        misbehave(bad, what)
    check_unharmed(bad.be)
    bad.exchange(SWEEP)
    good_guest.stop()
    bad.be.stop()


@cases("what", ("log-truncated", "inflight-truncated",
                "inflight-truncated-half"))
def test_a_file_that_is_cut_off_costs_its_session_only(t, what):
    """The daemon comes to what is gone, and says why it ends the session."""
    bad, good = site(t, "loop", DEVICES["loop"])
    good_guest = GoodGuest(t, good)
    for _ in range(SHORTENINGS):
        said = guest.run_guest(t, "--socket", bad.socket, "--misbehave", what,
                               "--duration", TIMEOUT_S)
        check(said["misbehave"]["outcome"] == "closed", f"{what}: {said}")
    check_unharmed(bad.be)
    wait_for(lambda: bad.be.process.err.text().count(SHORTENED) >= SHORTENINGS,
             TIMEOUT_S, f"all sessions to end because of '{SHORTENED}'")
    good_guest.stop()
    bad.be.stop()
    # nor does one of them end twice
    check(bad.be.process.err.text().count(SHORTENED) == SHORTENINGS,
          f"'{SHORTENED}' is not said {SHORTENINGS} times")


def test_a_second_client_is_turned_away(t):
    """The first is served on."""
    wire = Wire(t, "loop", options=",echo=on")
    wire.start()
    n = SWEEP.count()
    first = wire.start_guest(*SWEEP.arguments(), "--receive", n, "--verify",
                             "--rate", GOOD_RATE)
    for tried in range(20):
        said = guest.run_guest(t, "--socket", wire.socket, "--send", 1,
                               may_fail=True)
        if tried and not first.alive():
            break  # a slow machine: the first has done what it was to do
        check(said["exit"] == 3, f"a second guest was served: {said}")
    check_end(guest.result(first), n, n, SWEEP.bytes(), SWEEP.bytes())
    said = guest.run_guest(t, "--socket", wire.socket, "--send", 1,
                           "--receive", 1, "--verify")
    check_end(said, 1, 1)
    wire.be.stop()


def test_who_comes_again_and_again_has_to_wait(t):
    """So that the control thread has time for others. Then it is served."""
    wire = Wire(t, "loop", options=",echo=on")
    wire.start()
    started = time.monotonic()
    for _ in range(COMING):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(wire.socket)
    seconds = time.monotonic() - started
    least = (COMING - BACKLOG) / COMING_MAX - 1
    check(seconds > least, f"{COMING} connections in {seconds:.1f} s")
    n = SWEEP.count()
    said = guest.run_guest(t, "--socket", wire.socket, *SWEEP.arguments(),
                           "--receive", n, "--verify", "--rate", GOOD_RATE)
    check_end(said, n, n)
    t.note(f"{COMING / seconds:.0f} connections a second")
    wire.be.stop()


def test_a_daemon_without_descriptors(t):
    """No room for the descriptors of a new guest: it is refused. The others
    go on, and when there is room again it is served."""
    bad, good = site(t, "guest")
    be = bad.be
    good_guest = GoodGuest(t, good)
    used = fds(be)
    for room in range(FEW_FDS):
        run(["prlimit", "--pid", be.pid, f"--nofile={used + room}:"])
        said = guest.run_guest(t, "--socket", bad.socket, "--send", 1,
                               "--connect-timeout", 1, "--timeout", 2,
                               may_fail=True)
        check(said["exit"] != 0, f"served with {room} descriptors: {said}")
        be.process.check_alive()
    run(["prlimit", "--pid", be.pid, "--nofile=1024:"])
    bad.exchange(SWEEP)
    good_guest.stop()
    check_unharmed(be)
    be.stop()


# 12 bytes of header and one of the frame, a byte in each descriptor
TOO_SMALL = "rx_buffer_too_small"
TINY = ("--rx-buffer", 13, "--rx-descriptors", 13, "--ring-size", 256)


def test_two_guests_with_tiny_buffers(t):
    """Each sends what takes more of the other's buffers than a frame may, as
    fast as it can; a guest of another network does not notice. CVE-2019-3900:
    Linux's vhost did not leave its loop while one end fed the other."""
    bad, good = site(t, "guest")
    be = bad.be
    good_guest = GoodGuest(t, good)
    pair = [guest.start_guest(t, "--socket", path, "--send", 0, "--stream", n,
                              "--timeout", 0, *TINY, name=f"tiny-{n}")
            for n, path in enumerate((bad.socket, bad.far_place[1]), 11)]
    for way in ((bad.a, bad.up), (bad.up, bad.a)):
        wait_for(lambda w=way: be.pair(*w).drops().get(TOO_SMALL, 0) >
                 GOOD_RATE, TIMEOUT_S * 3, f"frames from {way[0]} to be dropped")
    for process in pair:
        process.kill()
    good_guest.stop()
    check_unharmed(be)
    bad.exchange(SWEEP)
    be.stop()
