# SPDX-License-Identifier: BSD-2-Clause
"""guestwire probe: what it says comes true, and asking changes nothing."""

import contextlib
import errno
import json
import os
import socket
import subprocess

from lib import foretold, memlock
from lib.daemon import READY_TIMEOUT_S, Daemon
from lib.netns import HOLD, NetNs, veth
from lib.proc import DIE_WITH_US, Skip, check, run, wait_for
from lib.scenario import cases

# an ordinary user of this test's own: locked memory is counted by user
NOBODY = 20000 + os.getpid() % 40000
RTMGRP_LINK = 1
SUBJECTS = {("xdp", "start"), ("xdp", "zero-copy"), ("xdp", "multi-buffer"),
            ("xdp", "copy"), ("xdp", "checksum"), ("xdp", "receive"),
            ("tap", "start"), ("packet", "start"), ("udp", "zero-copy")}
HOST_SUBJECTS = {("host", "af_xdp"), ("host", "raw sockets"),
                 ("host", "interfaces"), ("host", "xdp programs"),
                 ("host", "locked memory"), ("host", "hugepages"),
                 ("tap", "new")}
# that cannot be tried without sending, or without another program
ONLY_ASKED = {("udp", "zero-copy"), ("xdp", "zero-copy"), ("xdp", "checksum")}


# ---- who probes, and where

def need_root_of_the_host():
    with open("/proc/self/uid_map", encoding="ascii") as f:
        if f.read().split()[2] != memlock.ALL_USERS:
            raise Skip("another user can be had by the root of the host only")


def as_nobody(*words):
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}",
            "--clear-groups", *words]


class UserNs(NetNs):
    """A network namespace that an ordinary user made in a user namespace;
    who arranges it is the root of the host."""

    def __init__(self, test, name):
        need_root_of_the_host()
        self.name = name
        self.holder = subprocess.Popen(
            [*DIE_WITH_US, *as_nobody("unshare", "-Urn", "sh", "-c", HOLD)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        test.on_exit(self.close)
        if self.holder.stdout.readline() != b"ready\n":
            raise Skip("an ordinary user gets no user namespace here")
        self.path = f"/proc/{self.holder.pid}/ns/net"


class As:
    """Commands run in a namespace as a user, maybe with a limit."""

    def __init__(self, test, ns, user, *prefix):
        self.words = ns.enter_command()
        if user == "user-ns":
            self.words = ["nsenter", "--net=" + ns.path,
                          f"--user=/proc/{ns.holder.pid}/ns/user",
                          "--setuid=0", "--setgid=0", "--"]
        elif user == "nobody":
            need_root_of_the_host()
            self.words += as_nobody()
        if user != "root":
            os.chown(test.folder, NOBODY, NOBODY)
        self.words += prefix

    def enter_command(self):
        return list(self.words)


def add_links(ns):
    """veth0 (its end veth1), jumbo0 (jumbo1), br0; tap0 if taps can be."""
    for name, mtu in (("veth", 1500), ("jumbo", 9000)):
        ns.ip("link", "add", f"{name}0", "mtu", mtu, "type", "veth", "peer",
              "name", f"{name}1", "mtu", mtu)
        for end in "01":
            ns.ip("link", "set", name + end, "up")
    ns.ip("link", "add", "br0", "type", "bridge")
    with contextlib.suppress(Skip):
        ns.add_tap("tap0")


def place(t, user):
    """(where commands run, the namespace to arrange)."""
    ns = UserNs(t, "user") if user == "user-ns" else t.netns("host")
    add_links(ns)
    return As(t, ns, user), ns


# ---- both programs

def probe(t, where, *words):
    done = run([t.program("guestwire"), "probe", "--json", *words], ns=where)
    check(not done.stderr, done.stderr)
    return json.loads(done.stdout)


def really(t, where, spec, name):
    """The port of a daemon with nothing else, or None if it did not start."""
    control = t.path(name + ".control")
    process = t.spawn([t.program("guestwired"), "--control", control,
                       "--port", f"up={spec}"], name, ns=where)
    show = [t.program("guestwire"), "--control", control, "show", "--json"]
    done = None

    def decided():
        nonlocal done
        done = run(show, may_fail=True)
        return done.returncode == 0 or not process.alive()

    wait_for(decided, READY_TIMEOUT_S, f"{spec} to start or not")
    if done.returncode:
        return None
    process.stop()
    return json.loads(done.stdout)["ports"][0]


def links(ns):
    """All that ip tells of interfaces but what the clock moves."""
    return ns.ip("-details", "-json", "link").stdout + ns.run(
        ["cat", "/proc/net/packet"]).stdout


# ---- the tests

DEVICES = ("lo", "veth0", "jumbo0", "br0", "tap0")


@cases("device", DEVICES)
@cases("user", ("root", "user-ns", "nobody"))
def test_what_is_foretold_comes_true(t, user, device):
    """Asked, and tried, for each driver on each device as each user."""
    where, ns = place(t, user)
    if device == "tap0" and "tap0" not in ns.ip("link").stdout:
        t.skip("no taps in a namespace of this user")
    asked = probe(t, where, device)
    tried = probe(t, where, device, "--try")
    check(not asked["tried"] and tried["tried"], "tried or not?")
    wrong = []
    for driver in ("xdp", "packet", "tap"):
        port = really(t, where, f"{driver}:{device}", driver)
        for said in (asked, tried):
            show = {"ports": [port] if port else []}
            more, count = foretold.compare(
                said, show, None if port else f"{driver}:{device}")
            check(count == 1, f"{count} ports compared")
            wrong += more
    check(not wrong, "\n".join(wrong))


def test_every_no_has_a_reason_and_a_remedy(t):
    where, _ = place(t, "root")
    for said in (probe(t, where), probe(t, where, "--try")):
        check({d["name"] for d in said["devices"]} >= set(DEVICES) - {"tap0"},
              said["devices"])
        lists = [(d["findings"], SUBJECTS) for d in said["devices"]]
        lists.append((said["host"]["findings"], HOST_SUBJECTS))
        for findings, subjects in lists:
            check({(f["path"], f["subject"]) for f in findings} == subjects,
                  findings)
            for f in findings:
                check(f["text"], f"no text: {f}")
                check(f["verdict"] != "no" or f["remedy"], f"no remedy: {f}")
                check(f["how"] == "tried" or said["tried"] or not f["errno"],
                      f"an errno of what was not tried: {f}")
        for device in said["devices"]:
            found = foretold.findings(device, "tried").items()
            for subject, f in found:
                check(f["how"] == "tried" or not said["tried"] or
                      subject in ONLY_ASKED, f"was not tried: {f}")


class Monitor:
    """Counts what the kernel announces about interfaces, as it happens."""

    def __init__(self, t, ns):
        self.socket = ns.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                                socket.NETLINK_ROUTE)
        t.on_exit(self.socket.close)
        self.socket.bind((0, RTMGRP_LINK))
        self.told()
        ns.ip("link", "set", "br0", "mtu", 1400)
        check(self.told(), "what changes is not heard")
        ns.ip("link", "set", "br0", "mtu", 1500)
        self.told()

    def told(self):
        """Messages since the last call."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv(1 << 16, socket.MSG_DONTWAIT):
                count += 1
        return count


@cases("user", ("root", "user-ns"))
def test_asking_changes_nothing(t, user):
    """No interface is touched, not even for a moment; and trying undoes all
    that it does."""
    where, ns = place(t, user)
    monitor = Monitor(t, ns)
    before = links(ns)
    probe(t, where)
    told = monitor.told()
    check(not told, f"asking was noticed by {told} messages")
    check(links(ns) == before, "asking left something")
    probe(t, where, "--try")
    if user == "root":
        check(monitor.told(), "nobody noticed the tap that was tried")
    wait_for(lambda: links(ns) == before, 2, "trying to be undone")


@cases("how", ("asked", "tried"))
def test_a_queue_that_somebody_has_stays_his(t, how):
    _, ns = place(t, "root")
    be = Daemon(t, ["up=xdp:veth0"], ns=ns)
    be.start()
    before = be.port("up")
    said = probe(t, ns, "veth0", *(["--try"] if how == "tried" else []))
    found = foretold.findings(said["devices"][0], how)
    start = found["xdp", "start"]
    check(start["verdict"] == "no" and start["how"] == how, start)
    if how == "tried":
        check(start["errno"] == errno.EBUSY, start)
    check("queue=N" in start["remedy"], start)
    check(be.port("up") == before, f"{before} became {be.port('up')}")
    be.stop()
    check(really(t, ns, "xdp:veth0", "again"), "the queue was lost")


def test_a_tap_that_somebody_has_stays_his(t):
    _, ns = place(t, "root")
    ns.add_tap("tap1")
    be = Daemon(t, ["up=tap:tap1"], ns=ns)
    be.start()
    said = probe(t, ns, "tap1", "--try")["devices"][0]
    asked = foretold.findings(said, "asked")["tap", "start"]
    tried = foretold.findings(said, "tried")["tap", "start"]
    check(asked["verdict"] == "no" and "another program" in asked["text"],
          asked)
    check(tried["verdict"] == "no" and tried["errno"] == errno.EBUSY, tried)
    be.stop()
    said = probe(t, ns, "tap1")["devices"][0]
    asked = foretold.findings(said, "asked")["tap", "start"]
    check(asked["verdict"] == "yes", asked)


def test_an_xdp_program_that_is_there_is_seen(t):
    """It is that of a port on the other queue."""
    ns = t.netns("host")
    ns.ip("link", "add", "two0", "numrxqueues", 2, "numtxqueues", 2, "type",
          "veth", "peer", "name", "two1", "numrxqueues", 2, "numtxqueues", 2)
    ns.ip("link", "set", "two0", "up")
    ns.ip("link", "set", "two1", "up")
    be = Daemon(t, ["up=xdp:two0,queue=1"], ns=ns)
    be.start()
    said = probe(t, ns, "two0", "--try")
    for how in ("asked", "tried"):
        found = foretold.findings(said["devices"][0], how)
        check(found["xdp", "receive"]["via"] == "AF_PACKET", found)
        check(found["xdp", "start"]["verdict"] == "yes", found)
    port = really(t, ns, "xdp:two0", "beside")
    wrong, _ = foretold.compare(said, {"ports": [port]})
    check(port and not wrong, "\n".join(wrong))
    be.stop()


# queues of the interface, the limit in KiB, and whether that will do
LIMITS = {
    "1-queue": (1, 4 << 10, True),
    "1-queue-short": (1, 4092, False),
    "8-queues": (8, 6 << 10, True),
    "8-queues-short": (8, 6140, False),
}


@cases("what", tuple(LIMITS))
def test_locked_memory_runs_out(t, what):
    """ENOBUFS: foretold, tried, and true; and where it is just enough."""
    queues, kib, enough = LIMITS[what]
    _, ns = place(t, "user-ns")
    ns.ip("link", "add", "many0", "numrxqueues", queues, "numtxqueues",
          queues, "type", "veth", "peer", "name", "many1")
    where = As(t, ns, "user-ns", "prlimit", f"--memlock={kib << 10}")
    said = probe(t, where, "many0", "--try")
    port = really(t, where, "xdp:many0", "limited")
    check((port is not None) == enough, f"{kib} KiB: it is {port}")
    wrong, _ = foretold.compare(said, {"ports": [port] if port else []},
                                None if port else "xdp:many0")
    check(not wrong, "\n".join(wrong))
    tried = foretold.findings(said["devices"][0], "tried")["xdp", "start"]
    check(enough or tried["errno"] == errno.ENOBUFS and
          "locked memory" in tried["text"], tried)
    host = {f["subject"]: f for f in said["host"]["findings"]}
    check(host["locked memory"]["verdict"] == "no", host)
    check(said["host"]["memlock_bytes"] == kib << 10, said["host"])


# arguments, exit status, words
COMMAND_LINES = {
    "no-interface": (["probe", "nosuch0"], 1, "interface nosuch0: there is none"),
    "long-name": (["probe", "x" * 100], 1, "there is none of that name"),
    "two-words": (["probe", "lo", "lo"], 2, "one word too many"),
    "try-elsewhere": (["show", "--try"], 2, "--try: is for probe"),
    "watch": (["probe", "--watch", "1"], 2, "--watch: is for show"),
}


@cases("what", tuple(COMMAND_LINES))
def test_command_line(t, what):
    arguments, status, words = COMMAND_LINES[what]
    done = run([t.program("guestwire"), *arguments], may_fail=True)
    check(done.returncode == status and words in done.stderr,
          f"exits with {done.returncode} and says: {done.stderr}")


def test_for_people(t):
    """The text has each path once, and says where nothing was tried."""
    ns = t.netns("host")
    far = t.netns("far")
    veth(ns, "veth0", far, "veth1")
    out = run([t.program("guestwire"), "probe", "veth0"], ns=ns).stdout
    for words in ("xdp zero-copy          no      (asked)  driver veth",
                  "-> a NIC with it: igb", "veth0: MTU 1500, up, driver veth",
                  "Nothing was tried"):
        check(words in out, f"'{words}' is not in\n{out}")
    out = run([t.program("guestwire"), "probe", "veth0", "--try"],
              ns=ns).stdout
    check(out.count("xdp start") == 1 and "(tried)" in out, out)
    check("Nothing was tried" not in out, out)
