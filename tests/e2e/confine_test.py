# SPDX-License-Identifier: BSD-2-Clause
"""What a running daemon could still do to its host, as the kernel sees it.

What the walls keep out is tried by apps/guestwired/confine_test.c, and beside it
confine_rights_test.c, in processes that confine themselves. That the daemon does
its work behind them is shown by all other tests here: they run it as it is.
"""

import contextlib
import os
import socket

from lib.daemon import Daemon
from lib.guest import run_guest
from lib.proc import check, run, wait_for
from lib.scenario import cases

# bits of linux/capability.h
NET_ADMIN, NET_RAW, IPC_LOCK, BPF = 1 << 12, 1 << 13, 1 << 14, 1 << 39
SETS = ("CapInh", "CapPrm", "CapEff", "CapAmb")
SECCOMP_FILTER = 2
FRAMES = 100
NOBODY = "nobody"
TIMEOUT_S = 20

# ports, and the capabilities that may stay
SITES = {
    "null": (("n=null:",), 0),
    "loop": (("n=loop:",), 0),
    "tap": (("n=tap:near",), 0),
    "packet": (("n=packet:near",), NET_RAW),
    "xdp": (("n=xdp:near",), NET_ADMIN | NET_RAW | BPF | IPC_LOCK),
}


def statuses(pid):
    """{thread: {name: value}} of /proc/PID/task/*/status."""
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        # a chore's thread may have ended meanwhile
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                open(f"/proc/{pid}/task/{thread}/status",
                     encoding="ascii") as f:
            found[thread] = dict(line.rstrip("\n").split(":\t", 1)
                                 for line in f if ":\t" in line)
    return found


def held_here():
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1], 16) for line in f
                    if line.startswith("CapPrm"))


def add_veth(ns):
    ns.ip("link", "add", "near", "type", "veth", "peer", "name", "far")
    ns.set_up("near")
    ns.set_up("far")


def site(t, name):
    """A daemon with a guest and a device of this kind."""
    ports, kept = SITES[name]
    ns = t.netns("daemon")
    if name == "tap":
        ns.add_tap("near")
    elif name in ("packet", "xdp"):
        add_veth(ns)
    sock = t.path("a.sock")
    be = Daemon(t, [f"a=guest:{sock}", *ports], ns=ns)
    return be, sock, kept


def check_thread(thread, status, kept):
    for name in SETS:
        extra = int(status[name], 16) & ~kept
        check(not extra, f"thread {thread} ({status['Name']}): {name} "
              f"{status[name]} has {extra:#x} too much")
    check(status["NoNewPrivs"] == "1", f"thread {thread}: {status}")
    check(int(status["Seccomp"]) == SECCOMP_FILTER, f"thread {thread}: "
          f"{status}")


@cases("name", SITES)
def test_no_thread_has_more_than_the_ports_need(t, name):
    be, sock, kept = site(t, name)
    be.start()
    said = run_guest(t, "--socket", sock, "--send", FRAMES)
    check(said["sent"] == FRAMES, f"{said}")
    threads = statuses(be.pid)
    for thread, status in threads.items():
        check_thread(thread, status, kept)
    about = be.show()["confinement"]
    check(about["seccomp"] and about["no_new_privileges"], f"{about}")
    expected = [word for word, bit in (("net_admin", NET_ADMIN),
                ("net_raw", NET_RAW), ("ipc_lock", IPC_LOCK), ("bpf", BPF))
                if kept & bit & held_here()]
    check(about["capabilities"] == ", ".join(expected), f"{about}")
    be.process.wait_line("confined: capabilities", 1, stream=be.process.err)
    t.note(f"{len(threads)} threads, Landlock {about['landlock_version']}")
    be.stop()
    check(not os.path.exists(sock) and not os.path.exists(be.control),
          "a socket is left behind")


@cases("name", ("xdp",))
def test_an_interface_that_comes_back(t, name):
    """Sockets, programs, netlink: all of it once more, by a daemon that has
    nothing but what it kept."""
    be, sock, _ = site(t, name)
    be.start()

    def frames_leave():
        before = be.port("n")["tx_frames"]
        run_guest(t, "--socket", sock, "--send", FRAMES)
        return be.port("n")["tx_frames"] > before

    wait_for(frames_leave, TIMEOUT_S, "frames to leave")
    be.ns.ip("link", "del", "near")
    add_veth(be.ns)
    wait_for(frames_leave, TIMEOUT_S, "frames to leave by the new interface")
    be.stop()


def test_a_tap_that_was_set_down(t):
    """Started over, a tap that the daemon made stays as people have set it:
    the right to set it up, and the system call for it, are given up."""
    ns = t.netns("daemon")
    ns.add_tap("other")     # or the machine has none
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", "n=tap:made"], ns=ns)
    be.start()
    ns.ip("link", "set", "made", "down")
    with socket.socket(socket.AF_UNIX) as successor:
        successor.settimeout(TIMEOUT_S)
        successor.connect(str(be.control))
        successor.sendall(b'{"command":"takeover"}\n')
        check(successor.recv(1) == b"{", "an answer")
    be.process.wait_line("not taken over, all goes on here", TIMEOUT_S,
                         stream=be.process.err)
    wait_for(lambda: be.command("show", may_fail=True).returncode == 0,
             TIMEOUT_S, "the control socket to be there again")
    check(be.port("n")["state"] == "running", be.port("n"))
    be.stop()


def test_a_tap_that_was_deleted(t):
    """One that the daemon made itself: it has no right to make it again, and
    says who has."""
    ns = t.netns("daemon")
    ns.add_tap("other")     # or the machine has none
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", "n=tap:made"], ns=ns)
    be.start()
    ns.ip("link", "delete", "made")
    be.wait_show(lambda _: "ip tuntap add dev made" in be.port("n")["status"],
                 TIMEOUT_S, "the status to say what to do")
    check("--takeover" in be.port("n")["status"], be.port("n"))
    old = be.process
    be.arguments = ["--takeover"]
    be.start(TIMEOUT_S)
    check(old.wait(TIMEOUT_S) == 0, old.err.tail())
    check(be.port("n")["state"] == "running", be.port("n"))
    ns.ip("link", "show", "made")
    be.stop()


def test_off_is_off(t):
    be, sock, _ = site(t, "null")
    be.arguments += ["--confine", "off"]
    be.start()
    status = statuses(be.pid)[str(be.pid)]
    check(int(status["CapPrm"], 16) == held_here(), f"{status}")
    check(status["Seccomp"] != str(SECCOMP_FILTER) or
          os.environ.get("GW_CALLS"), f"{status}")
    check(not be.show()["confinement"]["seccomp"], "show says it is confined")
    be.process.wait_line("not confined", 1, stream=be.process.err)
    check(run_guest(t, "--socket", sock, "--send", FRAMES)["sent"] == FRAMES,
          "no frames")
    be.stop()


@cases("name", SITES)
def test_as_another_user(t, name):
    """Sockets and all else belong to that user, who can remove them where
    the folder is his."""
    if os.geteuid() != 0 or run(["setpriv", "--reuid", NOBODY, "true"],
                                may_fail=True).returncode:
        t.skip(f"cannot become {NOBODY} here")
    be, sock, kept = site(t, name)
    be.arguments += ["--user", NOBODY]
    os.chmod(t.folder, 0o711)
    be.start()
    owner = os.stat(sock).st_uid
    check(owner != 0 and os.stat(be.control).st_uid == owner,
          f"the sockets are of user {owner}")
    for thread, status in statuses(be.pid).items():
        check_thread(thread, status, kept)
        check(status["Uid"].split() == [str(owner)] * 4, f"{status['Uid']}")
    said = run_guest(t, "--socket", sock, "--send", FRAMES)
    check(said["sent"] == FRAMES, f"{said}")
    os.chown(t.folder, owner, -1)
    be.stop()
    check(not os.path.exists(sock), "the socket is left behind")


def test_a_user_that_does_not_exist(t):
    done = run([t.program("guestwired"), "--control", t.path("c"), "--user",
                "no-such-user-here", "--port", "a=null:"], may_fail=True)
    check(done.returncode == 1 and "there is no user 'no-such-user-here'"
          in done.stderr, f"{done}")
