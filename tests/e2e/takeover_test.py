# SPDX-License-Identifier: BSD-2-Clause
"""Another process goes on: guestwired --takeover, under traffic.

Nothing is lost, nothing comes twice, and nobody has to connect again: frames
wait in the guest's ring until the new process takes them. Only what a device
receives while nobody is there is the device's to keep or to lose: an AF_XDP
socket is closed and opened, so there the guest sends and does not receive.
"""

import os
import socket
import struct

from lib import ethtool, guest, memlock
from lib.daemon import Daemon
from lib.gaps import Gaps
from lib.proc import check, run, wait_for
from lib.scenario import alone, cases, deadline, rounds
from lib.wire import PINNED_MIB, Sweep, Wire, addresses, check_end

RATE = 4000
SWEEP = Sweep(300, 1499, 5)     # one and a half seconds of frames
TIMEOUT_S = 60
READ_BYTES = 4096
PORTS_ARE_UP = b"y"     # src/lib/handover_wire.c
CREDENTIALS = struct.Struct("iII")      # struct ucred: pid, uid, gid
# without a frame on the wire; a machine that is busy with other things is
# slower, so a few tries are allowed, each of which says what it saw
OUTAGE_MAX_S = 0.1
TRIES = 5


def take_over(t, be, *arguments):
    """The new daemon, which has the old one's place; the old one ends."""
    old = be.process
    be.arguments = ["--takeover", *arguments]
    be.start(TIMEOUT_S)
    check(old.wait(TIMEOUT_S) == 0, f"the old one ends well:\n{old.err.tail()}")
    check("another process goes on" in old.err.text(), old.err.tail())


def ask_at_once(be):
    """There is a control socket, and who asks waits for whoever goes on."""
    be.command("--timeout", TIMEOUT_S, "show", timeout_s=TIMEOUT_S)


@deadline(120)
@alone
@cases("driver", ("xdp", "tap", "packet", "guest", "null"))
def test_guest_goes_on(t, driver):
    wire = Wire(t, driver)
    wire.start()
    n = SWEEP.count()
    far = None
    if driver != "null":
        far = wire.start_far(*addresses(wire.far_stream, wire.stream),
                             "--receive", n, "--ordered")
    a = wire.start_guest(*addresses(wire.stream, wire.far_stream),
                         *SWEEP.arguments(), "--rate", RATE, "--scribble")
    wait_for(lambda: wire.be.pairs().get(("a", "up")) and
             wire.be.pairs()["a", "up"].frames, TIMEOUT_S, "first frames")
    for _ in range(rounds(2, 10)):
        take_over(t, wire.be)
    said = guest.result(a, TIMEOUT_S)
    check_end(said, n, 0)
    if far:
        said = guest.result(far, TIMEOUT_S)
        check_end(said, 0, n)
        check(said["out_of_order"] == 0, said)
    wire.be.stop()


@deadline(120)
@alone
def test_outage(t):
    """On the wire there is a frame again within 100 ms."""
    memlock.need(PINNED_MIB)
    wire = Wire(t, "xdp")
    wire.start()
    gaps = Gaps(t, wire.far_ns, "farup")
    wire.start_guest(*addresses(wire.stream, wire.far_stream), "--send", 0,
                     "--timeout", 0, "--rate", RATE)
    wait_for(lambda: gaps.frames > 100, TIMEOUT_S, "frames on the wire")
    seen = []
    while len(seen) < TRIES and (not seen or seen[-1] > OUTAGE_MAX_S):
        gaps.reset()
        take_over(t, wire.be)
        frames = gaps.frames
        wait_for(lambda: gaps.frames > frames + 100, TIMEOUT_S, "frames")
        seen.append(gaps.longest_s)
    t.note(f"{', '.join(f'{s * 1000:.0f}' for s in seen)} ms without a frame")
    check(seen[-1] <= OUTAGE_MAX_S, f"never below 100 ms: {seen}")
    gaps.end()


@deadline(90)
def test_one_that_cannot_start_changes_nothing(t):
    """The new daemon has a port whose device does not exist."""
    wire = Wire(t, "guest")
    wire.start()
    n = SWEEP.count()
    far = wire.start_far(*addresses(wire.far_stream, wire.stream),
                         "--receive", n, "--ordered")
    a = wire.start_guest(*addresses(wire.stream, wire.far_stream),
                         *SWEEP.arguments(), "--rate", RATE)
    wait_for(lambda: wire.be.pairs().get(("a", "up")) and
             wire.be.pairs()["a", "up"].frames, TIMEOUT_S, "first frames")
    ports = [w for p in [*wire.ports, "no=xdp:nowhere,network=other"]
             for w in ("--port", p)]
    done = run([wire.be.binary, "--control", wire.be.control, "--takeover",
                *ports], ns=wire.ns, may_fail=True, timeout_s=TIMEOUT_S)
    check(done.returncode == 1 and "nowhere" in done.stderr, done)
    ask_at_once(wire.be)
    wire.be.process.wait_line("not taken over, all goes on here", TIMEOUT_S,
                              stream=wire.be.process.err)
    check_end(guest.result(a, TIMEOUT_S), n, 0)
    check_end(guest.result(far, TIMEOUT_S), 0, n)
    wire.be.stop()


@deadline(60)
def test_one_that_cannot_start_leaves_a_tap_as_it_was(t):
    """It has the tap, and gives it back with no offloads."""
    ns = t.netns("daemon")
    ns.add_tap("near")
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", "up=tap:near"], ns=ns)
    be.start(TIMEOUT_S)
    check(ethtool.segments(ns, "near"), "the kernel leaves super-frames to us")
    ports = [w for p in [*be.ports, "no=xdp:nowhere,network=other"]
             for w in ("--port", p)]
    done = run([be.binary, "--control", be.control, "--takeover", *ports],
               ns=ns, may_fail=True, timeout_s=TIMEOUT_S)
    check(done.returncode == 1 and "nowhere" in done.stderr, done)
    be.process.wait_line("not taken over, all goes on here", TIMEOUT_S,
                         stream=be.process.err)
    check(ethtool.segments(ns, "near"), "super-frames come in pieces now")
    be.stop()


@deadline(90)
def test_the_control_socket_stays_where_it_is(t):
    """Through a hand-over that comes to nothing, also while who asked for it
    still has the listening socket, and through one that does not."""
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", "up=null:"])
    be.start(TIMEOUT_S)
    file = os.stat(be.control).st_ino
    with socket.socket(socket.AF_UNIX) as successor:
        successor.settimeout(TIMEOUT_S)
        successor.connect(str(be.control))
        successor.sendall(b'{"command":"takeover"}\n')
        _, listeners, _, _ = socket.recv_fds(successor, 1, 1)
        check(len(listeners) == 1, "the listening socket comes with the answer")
    ask_at_once(be)
    be.process.wait_line("not taken over, all goes on here", TIMEOUT_S,
                         stream=be.process.err)
    os.close(listeners[0])
    for _ in range(2):
        take_over(t, be)
        ask_at_once(be)
        check(os.stat(be.control).st_ino == file, "the socket is another one")
    be.stop()
    check(not os.path.exists(be.control), "the socket is left behind")


@deadline(90)
def test_one_that_dies_at_the_last_moment(t):
    """The guests are his by then. A service manager sees a failure, and not
    that the service has ended well; what he starts then comes up."""
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", "up=null:"])
    be.start(TIMEOUT_S)
    with socket.socket(socket.AF_UNIX) as successor:
        successor.settimeout(TIMEOUT_S)
        successor.connect(str(be.control))
        successor.sendall(b'{"command":"takeover"}\n')
        check(successor.recv(1) == b"{", "an answer")
        successor.sendall(PORTS_ARE_UP)
        successor.shutdown(socket.SHUT_WR)
        while successor.recv(READ_BYTES):
            pass
    check(be.process.wait(TIMEOUT_S) == 1, be.process.err.tail())
    check("the process that took over has ended" in be.process.err.text(),
          be.process.err.tail())
    be.start(TIMEOUT_S)
    be.stop()


@deadline(90)
def test_one_that_is_killed_after_a_hand_over(t):
    """Who listens is known by its process id: it has to be the new one's."""
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", "up=null:"])
    be.start(TIMEOUT_S)
    take_over(t, be)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(be.control))
        pid = CREDENTIALS.unpack(client.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size))[0]
    check(pid == be.pid, f"{pid} listens, not {be.pid}")
    be.kill()
    be.arguments = []
    be.start()
    be.stop()


@deadline(60)
def test_nobody_to_take_over_from(t):
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", "up=null:"])
    done = run([be.binary, "--control", be.control, "--takeover", "--port",
                be.ports[0], "--port", be.ports[1]], may_fail=True,
               timeout_s=TIMEOUT_S)
    check(done.returncode == 1 and "cannot reach the daemon" in done.stderr,
          done)
