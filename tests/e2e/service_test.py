# SPDX-License-Identifier: BSD-2-Clause
"""An upgrade as a service manager sees it: systemctl reload, under traffic.

The manager is this test: it has a NOTIFY_SOCKET, starts what the unit has as
ExecStart= and ExecReload=, and keeps to systemd's rules. STOPPING=1, from
whichever process of a service, takes all of it down; the end of the main process is
the end of the service, unless it was told before that there is another one.
"""

import os
import re
import select
import signal
import socket
import struct

from lib import guest
from lib.daemon import Daemon
from lib.proc import check, run, wait_for
from lib.scenario import alone, cases, deadline, rounds
from lib.wire import Sweep, Wire, addresses, check_end

RATE = 4000
SWEEP = Sweep(300, 1499, 5)     # one and a half seconds of frames
TIMEOUT_S = 60
NOBODY = "nobody"
MESSAGE_BYTES = 4096
CREDENTIALS = struct.Struct("iII")      # struct ucred: pid, uid, gid
START = ("--takeover=if-running",)      # of ExecStart= and ExecReload=, as in
RELOAD = ("--takeover", "--background")  # contrib/guestwired.service.in


class Service(Daemon):
    """A daemon whose main process is the one that the manager was told of."""

    def __init__(self, t, ports, ns=None, arguments=()):
        super().__init__(t, ports, ns, arguments)
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        t.on_exit(self.manager.close)
        self.manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.manager.settimeout(TIMEOUT_S)
        # in a folder that a daemon's own user cannot enter
        folder = t.path("manager")
        os.mkdir(folder, 0o700)
        self.notify_path = os.path.join(folder, "notify")
        self.manager.bind(self.notify_path)
        os.chmod(self.notify_path, 0o777)
        self.main_pid = None

    @property
    def pid(self):
        return self.main_pid

    def _end_whoever_runs(self):
        """No child of ours, after a reload: nobody else would end it."""
        self.command("stop", may_fail=True)

    def spawn(self, arguments, ports=None):
        self.runs += 1
        argv = [self.binary, "--control", self.control, "--state-dir",
                self.state_dir, *self.arguments, *arguments]
        for port in ports or self.ports:
            argv += ["--port", port]
        self.process = self.test.spawn(
            argv, f"{self.name}-{self.runs}", ns=self.ns,
            env={**os.environ, "NOTIFY_SOCKET": self.notify_path})
        self.test.on_exit(self.check_no_report)
        self.test.on_exit(self._end_whoever_runs)
        return self.process

    def hear(self):
        """(pid, {name: value}) of the next message."""
        data, control, _, _ = self.manager.recvmsg(
            MESSAGE_BYTES, socket.CMSG_SPACE(CREDENTIALS.size))
        pid = CREDENTIALS.unpack(control[0][2])[0]
        return pid, dict(line.split("=", 1)
                         for line in data.decode("ascii").splitlines())

    def hear_nothing(self):
        check(not select.select([self.manager], [], [], 0)[0],
              "the manager was told something else")

    def start(self, timeout_s=TIMEOUT_S):
        """ExecStart=."""
        process = self.spawn(START)
        pid, said = self.hear()
        check((pid, said) == (process.pid, {"READY": "1"}), f"{pid}: {said}")
        self.main_pid = pid

    def reload(self):
        """ExecReload=."""
        old_end = os.pidfd_open(self.main_pid)
        process = self.spawn(RELOAD)
        check(select.select([old_end], [], [], TIMEOUT_S)[0],
              f"the old one does not end:\n{process.err.tail()}")
        check(select.select([self.manager], [], [], 0)[0],
              "the old one ends before the manager is told of the new one")
        os.close(old_end)
        pid, said = self.hear()
        check(said == {"READY": "1", "MAINPID": str(pid)}, f"{pid}: {said}")
        check(pid not in (self.main_pid, process.pid), f"{pid} is not new")
        self.main_pid = pid
        process.expected = True
        check(process.process.wait(TIMEOUT_S) == 0, process.err.tail())
        self.hear_nothing()

    def end(self):
        """ExecStop=: the main process hears SIGTERM."""
        end = os.pidfd_open(self.main_pid)
        os.kill(self.main_pid, signal.SIGTERM)
        pid, said = self.hear()
        check((pid, said) == (self.main_pid, {"STOPPING": "1"}),
              f"{pid}: {said}")
        check(select.select([end], [], [], TIMEOUT_S)[0], "it does not end")
        os.close(end)
        self.process.wait_line("stopped$", TIMEOUT_S, stream=self.process.err)
        self.hear_nothing()


def as_service(wire, arguments=()):
    wire.be = Service(wire.t, wire.ports, wire.ns, arguments)
    wire.be.start()


@deadline(120)
@alone
@cases("driver", ("xdp", "tap"))
def test_reload_under_traffic(t, driver):
    wire = Wire(t, driver)
    as_service(wire)
    first = wire.be.process
    n = SWEEP.count()
    far = wire.start_far(*addresses(wire.far_stream, wire.stream),
                         "--receive", n, "--ordered")
    a = wire.start_guest(*addresses(wire.stream, wire.far_stream),
                         *SWEEP.arguments(), "--rate", RATE, "--scribble")
    wait_for(lambda: wire.be.pairs().get(("a", "up")) and
             wire.be.pairs()["a", "up"].frames, TIMEOUT_S, "first frames")
    for _ in range(rounds(2, 10)):
        wire.be.reload()
    check(first.wait(TIMEOUT_S) == 0, f"the first one:\n{first.err.tail()}")
    check_end(guest.result(a, TIMEOUT_S), n, 0)
    check_end(guest.result(far, TIMEOUT_S), 0, n)
    check(wire.be.show()["confinement"]["seccomp"], "it is confined")
    wire.be.end()


@deadline(90)
def test_a_reload_that_fails(t):
    """Its status says so, nobody is told anything, and the old one goes on."""
    be = Service(t, [f"a=guest:{t.path('a.sock')}", "up=null:"])
    be.start()
    old = be.process
    bad = be.spawn(RELOAD, [*be.ports, "no=packet:nowhere,network=other"])
    check(bad.wait(TIMEOUT_S) == 1 and "nowhere" in bad.err.text(),
          bad.err.tail())
    bad = be.spawn([*RELOAD, "--workers", "none"])
    check(bad.wait(TIMEOUT_S) == 2, bad.err.tail())
    old.wait_line("not taken over, all goes on here", TIMEOUT_S, stream=old.err)
    be.hear_nothing()
    be.process = old
    be.reload()
    be.end()


@deadline(90)
def test_as_a_user_without_a_way_to_the_manager(t):
    """The socket was opened before the user changed."""
    if os.geteuid() != 0 or run(["setpriv", "--reuid", NOBODY, "true"],
                                may_fail=True).returncode:
        t.skip(f"cannot become {NOBODY} here")
    os.chmod(t.folder, 0o711)
    be = Service(t, [f"a=guest:{t.path('a.sock')}", "up=null:"],
                 arguments=["--user", NOBODY])
    be.start()
    check(os.stat(be.control).st_uid != 0, "the daemon is root")
    os.chown(t.folder, os.stat(be.control).st_uid, -1)
    be.reload()
    be.end()


@deadline(60)
def test_nobody_to_take_over_from(t):
    """--takeover=if-running starts afresh: without a socket, with one of a
    daemon that was killed; and takes over from one that runs."""
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", "up=null:"],
                arguments=["--takeover=if-running"])
    for why in ("there is no socket", "nobody listens"):
        be.start()
        be.process.wait_line(f"nothing to take over: .*{why}", TIMEOUT_S,
                             stream=be.process.err)
        old = be.process
        be.start()
        check(old.wait(TIMEOUT_S) == 0, old.err.tail())
        check("another process goes on" in old.err.text(), old.err.tail())
        be.kill()
    be.arguments = []
    be.start()
    be.stop()


def test_the_unit(t):
    """systemd takes it, and it starts what is tested here."""
    t.need_tool("systemd-analyze", "systemd")
    with open(os.path.join(t.build, "contrib", "guestwired.service"),
              encoding="utf-8") as f:
        text = re.sub(r"=\S*/guestwired ", f"={t.program('guestwired')} ",
                      f.read())
    for name, words in (("ExecStart", START), ("ExecReload", RELOAD)):
        check(re.search(f"^{name}=.* {' '.join(words)}$", text, re.MULTILINE),
              f"{name}= without {words}")
    unit = t.path("guestwired.service")
    with open(unit, "w", encoding="utf-8") as f:
        f.write(text)
    done = run(["systemd-analyze", "verify", "--man=no", unit], may_fail=True,
               timeout_s=TIMEOUT_S)
    check("guestwired" not in done.stderr, done)
    if done.returncode:
        t.skip(f"systemd-analyze verifies nothing here: {done.stderr.strip()}")


def test_in_the_background(t):
    """What was started returns when there is an answer."""
    be = Service(t, [f"a=guest:{t.path('a.sock')}", "up=null:"])
    starter = be.spawn(["--background"])
    starter.expected = True
    check(starter.process.wait(TIMEOUT_S) == 0, starter.err.tail())
    check(be.command("show").returncode == 0, "no answer")
    be.main_pid, said = be.hear()
    check(said == {"READY": "1"}, f"{said}")
    check(be.main_pid != starter.pid, "it is in the foreground")
    be.end()
