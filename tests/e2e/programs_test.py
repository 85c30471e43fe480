# SPDX-License-Identifier: BSD-2-Clause
"""guestwired and guestwire as people and service managers meet them.

Exit statuses, words on standard error, signals, the file, and everything that
can be done wrong at the control socket of a running daemon.
"""

import json
import os
import re
import signal
import socket
import stat

from lib.daemon import Daemon
from lib.proc import Failure, check, run, wait_for
from lib.scenario import cases

PORTS = ["a=loop:,network=red", "b=null:,network=red"]
TIMEOUT_S = 10
REQUEST_MAX = 4096
CLIENTS_MAX = 32

# arguments, exit status, words on standard error
BAD_COMMAND_LINES = {
    "no-ports": ([], 2, "no ports: give --port NAME=DRIVER:TARGET"),
    "no-driver": (["--port", "a=tpa:tap0"], 2,
                  "--port a=tpa:tap0: no driver named 'tpa'; there are guest"),
    "no-option": (["--port", "a=null:,colour=red"], 2,
                  "driver null has no option 'colour'; there are"),
    "bad-value": (["--port", "a=null:,loan=maybe"], 2,
                  "loan has to be auto|never, not 'maybe'"),
    "no-target": (["--port", "a=guest:"], 2, "SOCKET is missing"),
    "bad-name": (["--port", "a/b=null:"], 2, "the name has to be 1 to 31"),
    "twice": (["--port", "a=null:", "--port", "a=loop:"], 2,
              "there is a port 'a' already"),
    "unknown-option": (["--prot", "a=null:"], 2, "--prot: no such option"),
    "workers": (["--port", "a=null:", "--workers", "1000"], 2,
                "workers: 1000 is out of range; 1 to 64"),
    "control-too-long": (["--port", "a=null:", "--control", "/" + "x" * 150],
                         2, "at most 107 bytes, this one has 151"),
    "control-nowhere": (["--port", "a=null:", "--control", "/nonexistent/s"],
                        1, "/nonexistent/s: bind: No such file"),
    "no-file": (["--config", "/nonexistent/f"], 2,
                "--config /nonexistent/f: open: No such file"),
    "no-interface": (["--port", "a=tap:a-name-that-is-too-long"], 2,
                     "IFNAME has 23 bytes, 15 are the most"),
    "no-user": (["--port", "a=null:", "--user", "no-such-user", "--check"], 2,
                "user: there is no user 'no-such-user'"),
    "no-folder": (["--port", "a=guest:/nonexistent/s"], 1,
                  "cannot listen on /nonexistent/s (its folder has to be there"),
}


def daemon(t, ports=PORTS, **options):
    be = Daemon(t, ports, **options)
    be.start()
    return be


def run_daemon(t, *arguments):
    """guestwired, to its end. A --control of the test's unless there is one."""
    words = list(arguments)
    if "--control" not in words:
        words += ["--control", t.path("control")]
    return run([t.program("guestwired"), *words], may_fail=True,
               timeout_s=TIMEOUT_S)


def dial(be):
    s = socket.socket(socket.AF_UNIX)
    # blocking: with a timeout, a full backlog is an error and no wait
    s.connect(be.control)
    s.settimeout(TIMEOUT_S)
    return s


def ask(s, request):
    """The answer to a line."""
    s.sendall(request if isinstance(request, bytes) else
              json.dumps(request).encode() + b"\n")
    return hear(s)


def hear(s):
    text = b""
    while not text.endswith(b"\n"):
        more = s.recv(1 << 16)
        if not more:
            raise Failure(f"the daemon hung up after {text!r}")
        text += more
    return json.loads(text)


def check_serves(be):
    """Another client is served, and the ports run."""
    be.process.check_alive()
    for port in be.show()["ports"]:
        check(port["state"] == "running", f"{port['name']}: {port['state']}")


# ---- the command line and the file

@cases("what", tuple(BAD_COMMAND_LINES))
def test_bad_command_line(t, what):
    arguments, status, words = BAD_COMMAND_LINES[what]
    done = run_daemon(t, *arguments)
    check(done.returncode == status and words in done.stderr,
          f"exits with {done.returncode} and says: {done.stderr}")
    check(done.stderr.startswith("guestwired: "), done.stderr)
    check(not os.path.exists(t.path("control")), "the control socket stays")


def test_the_manual_has_each_driver_and_option(t):
    """But for the options of the simulated device, which are for tests."""
    with open(os.path.join(t.root, "docs", "guestwired.8"),
              encoding="utf-8") as f:
        page = f.read()
    driver = None
    for line in run_daemon(t, "--list-drivers").stdout.splitlines():
        match = re.match(r"  (\w+):|    ([a-z_]+)=|(\w)", line)
        if match and (match[1] or match[3]):
            driver = match[1]
        word = match and (match[1] or match[2])
        if word and (match[1] or driver != "loop"):
            check(re.search(rf"Cm {word}\b", page),
                  f"guestwired.8 does not have '{word}': {line}")


@cases("word", ("--help", "--version", "--list-drivers"))
def test_what_only_prints(t, word):
    done = run_daemon(t, word)
    check(done.returncode == 0 and done.stdout and not done.stderr, done)
    check(run(["sh", "-c", f"{t.program('guestwired')} {word} >/dev/full"],
              may_fail=True).returncode == 1, "a full disk is no success")


@cases("program", ("guestwire", "guestwire-guest"))
def test_help_and_version(t, program):
    for word in ("--help", "--version"):
        done = run([t.program(program), word], may_fail=True)
        check(done.returncode == 0 and done.stdout and not done.stderr, done)


def test_file_and_command_line_add_up(t):
    path = t.path("conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write("[daemon]\nworkers = 2\n[port c]\ndriver = null\n")
    be = daemon(t, arguments=["--config", path, "--workers", "1"])
    show = be.show()
    check([p["name"] for p in show["ports"]] == ["a", "b", "c"], show)
    check(show["workers"] == 1, "the command line wins")
    be.stop()


def test_a_bad_file_is_named_with_its_line(t):
    path = t.path("conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write("[port c]\ndriver = null\ncolour = red\n")
    done = run_daemon(t, "--config", path)
    check(done.returncode == 2 and f"{path}:3: no option 'colour'"
          in done.stderr, done.stderr)


def test_check_starts_nothing(t):
    done = run_daemon(t, "--check", "--port", f"g=guest:{t.path('s')}")
    check(done.returncode == 0 and "is fine: 1 port" in done.stdout, done)
    check(not os.path.exists(t.path("s")), "--check made a socket")


# ---- life and end

def test_the_service_manager_is_told(t):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(t.path("notify"))
    manager.settimeout(TIMEOUT_S)
    process = t.spawn([t.program("guestwired"), "--control", t.path("c"),
                       "--port", PORTS[0]], "daemon",
                      env={**os.environ, "NOTIFY_SOCKET": t.path("notify")})
    check(manager.recv(100) == b"READY=1", "not READY=1")
    process.signal(signal.SIGTERM)
    check(manager.recv(100) == b"STOPPING=1", "not STOPPING=1")
    check(process.wait(TIMEOUT_S) == 0, process.err.text())


@cases("number", (signal.SIGTERM, signal.SIGINT))
def test_a_signal_stops_it(t, number):
    be = daemon(t)
    check(stat.S_IMODE(os.stat(be.control).st_mode) == 0o600, "the mode")
    be.process.signal(signal.SIGHUP)
    be.process.wait_line("SIGHUP: ignored", TIMEOUT_S, stream=be.process.err)
    check_serves(be)
    be.process.signal(number)
    check(be.process.wait(TIMEOUT_S) == 0, be.process.err.text())
    check(not os.path.exists(be.control), "the control socket stays")


def test_a_second_signal_ends_it_at_once(t):
    be = daemon(t)
    # both are there when it looks
    be.process.signal(signal.SIGSTOP)
    be.process.signal(signal.SIGTERM)
    be.process.signal(signal.SIGINT)
    be.process.signal(signal.SIGCONT)
    check(be.process.wait(TIMEOUT_S) == 1, be.process.err.text())
    check("exit at once" in be.process.err.text(), be.process.err.text())
    check(not os.path.exists(be.control), "the control socket stays")


def test_a_killed_daemon_is_followed_by_another(t):
    be = daemon(t)
    be.kill()
    check(os.path.exists(be.control), "somebody removed the socket")
    done = be.command("show", may_fail=True)
    check(done.returncode == 1 and "nobody listens" in done.stderr, done)
    be.start()
    check_serves(be)
    be.stop()


def test_a_second_daemon_on_the_same_path(t):
    be = daemon(t)
    done = run_daemon(t, "--port", PORTS[0], "--control", be.control)
    check(done.returncode == 1 and "another daemon listens" in done.stderr,
          done)
    check_serves(be)
    be.stop()


def test_after_stop_the_next_can_start(t):
    be = Daemon(t, PORTS + [f"g=guest:{t.path('s')}"])
    for _ in range(5):
        be.start()
        be.command("stop")
        check(not os.path.exists(be.control), "stop returned too early")
    check(be.process.wait(TIMEOUT_S) == 0, be.process.err.text())


# ---- the control socket

def test_bad_requests(t):
    be = daemon(t)
    s = dial(be)
    for request, code in ((b"hello\n", "bad_request"),
                          (b"\0\xff\n", "bad_request"),
                          (b"[" * 4000 + b"\n", "bad_request"),
                          ({"command": 5}, "bad_request"),
                          ({"command": "show", "port": 5}, "bad_request"),
                          ({"command": "stop", "now": True}, "bad_request"),
                          ({"command": "dance"}, "unknown_command"),
                          ({"command": "show", "port": "z"}, "unknown_port")):
        answer = ask(s, request)
        check(not answer["ok"] and answer["code"] == code and answer["error"],
              f"{request!r}: {answer}")
    answer = ask(s, b"x" * REQUEST_MAX)
    check(answer["code"] == "too_long", answer)
    check(s.recv(1) == b"", "the connection stays after a line too long")
    check_serves(be)
    be.stop()


def test_half_requests_and_idle_connections(t):
    be = daemon(t)
    idle = [dial(be) for _ in range(100)]
    # of those that stay: the ones silent longest are turned away
    for s in idle[-CLIENTS_MAX // 2:]:
        s.sendall(b'{"command":"sh')
    check_serves(be)
    for s in idle[:50]:
        s.close()
    check(hear(idle[50])["code"] == "too_many", "more than there may be")
    idle[99].sendall(b'ow"}\n')
    check(hear(idle[99])["ok"], "the last one is served")
    for s in idle[50:]:
        s.close()
    check_serves(be)
    be.stop()


def test_readers_that_do_not_read(t):
    be = daemon(t)
    slow = [dial(be) for _ in range(CLIENTS_MAX + 5)]
    for s in slow:
        s.setblocking(False)
        try:
            while True:
                s.send(b'{"command":"show"}\n' * 50)
        except (BlockingIOError, BrokenPipeError):
            pass
    check_serves(be)
    be.stop()


def test_many_clients_at_once(t):
    be = daemon(t)
    clients = [dial(be) for _ in range(CLIENTS_MAX)]
    for _ in range(20):
        for s in clients:
            s.sendall(b'{"command":"show"}\n')
        for s in clients:
            check(hear(s)["ok"], "not served")
    be.stop()


def test_a_process_without_descriptors(t):
    """accept() fails; a connection that was silent makes place."""
    be = daemon(t)
    held = dial(be)
    check(ask(held, {"command": "version"})["ok"], "not served")
    used = len(os.listdir(f"/proc/{be.pid}/fd"))
    run(["prlimit", "--pid", be.pid, f"--nofile={used}:"])
    s = dial(be)
    check(ask(s, {"command": "version"})["ok"], "not served")
    check(hear(held)["code"] == "too_many", "the idle one makes place")
    be.stop()


# ---- the tool

def test_the_tool_and_its_statuses(t):
    be = Daemon(t, PORTS)
    for words, status, text in (
            (["show"], 1, "is guestwired running?"),
            (["stop"], 1, "is guestwired running?"),
            ([], 2, "a command is missing"),
            (["dance"], 2, "no command 'dance'"),
            (["stop", "--json"], 2, "--json: is for show"),
            (["show", "--from", "f"], 2, "--from: is for explain"),
            (["explain"], 1, "is guestwired running?"),
            (["explain", "--from", "/nonexistent"], 1, "/nonexistent"),
            (["show", "a", "b"], 2, "one word too many")):
        done = be.command(*words, may_fail=True)
        check(done.returncode == status and text in done.stderr,
              f"{words}: {done.returncode}, {done.stderr}")
    be.start()
    done = be.command("show", "z", may_fail=True)
    check(done.returncode == 1 and "no port named 'z'; there are a, b"
          in done.stderr, done.stderr)
    show = json.loads(be.command("show", "b", "--json").stdout)
    check([p["name"] for p in show["ports"]] == ["b"], show)
    text = be.command("show").stdout
    check("PORT" in text and "No frames between ports yet." in text, text)
    be.stop()


def test_watch_ends_with_the_daemon(t):
    be = daemon(t)
    watch = t.spawn([be.client, "--control", be.control, "show", "--json",
                     "--watch", "1"], "watch")
    _, match = watch.wait_line("^{.*}$", TIMEOUT_S)
    check(json.loads(match.group())["ports"], "no ports")
    be.stop()
    check(watch.wait(TIMEOUT_S) == 1, "watching goes on")
    wait_for(lambda: "is guestwired running?" in watch.err.text(), TIMEOUT_S,
             "the tool to say why it ends")
