# SPDX-License-Identifier: BSD-2-Clause
"""The daemon under test, and what it says about itself.

    be = Daemon(t, ["a=guest:%s" % sock, "up=xdp:up0"], ns=host)
    be.start()
    pair = be.settled_pair("a", "up")       # the ledger from a to up
    be.stop()                       # checks the exit status, and stderr

All that this library knows of the names in `guestwire show --json` is here.
"""

import json
import re

from .calls import tracer
from .proc import Deadline, Failure, Timeout, check, run, wait_for

READY_TIMEOUT_S = 10
STOP_TIMEOUT_S = 10
SHOW_TIMEOUT_S = 10
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehavior|"
                       r"ThreadSanitizer|runtime error:")

# names in the output of `guestwire show --json`
SOURCE, EGRESS = "source", "egress"
COPIES, DROPS = "copied_by_reason", "drops_by_reason"
# what one frame has at most, without jumbo frames
FRAME_MAX_BYTES = 1514
SETTLE_TIMEOUT_S = 3
ADDRESSES = re.compile(r"^[0-9a-f]+-[0-9a-f]+ ")


class Pair:
    """The ledger of frames from one port to another."""

    def __init__(self, data):
        self.data = data

    def __getattr__(self, name):
        try:
            return self.data[name]
        except KeyError as e:
            raise Failure(f"show --json: no '{name}' in the pair, only "
                          f"{sorted(self.data)}") from e

    def copies(self):
        """{reason: frames} of what we copied."""
        return {r: n for r, n in self.__getattr__(COPIES).items() if n}

    def drops(self):
        return {r: n for r, n in self.__getattr__(DROPS).items() if n}

    def lent_share(self):
        """Of all bytes, those that were lent."""
        total = self.lent_bytes + self.copied_bytes
        return self.lent_bytes / total if total else 0.0

    def problem(self):
        """What does not add up: every copy has one reason."""
        reasons = sum(self.copies().values())
        if reasons == self.copied_frames:
            return None
        return (f"{self.copied_frames} frames copied, but the reasons add up "
                f"to {reasons}: {self.copies()}")


class Daemon:
    """One guestwired; may be started again after it ended."""

    def __init__(self, test, ports, ns=None, arguments=(), name="guestwired"):
        self.test = test
        self.ports = ports
        self.ns = ns
        self.arguments = list(arguments)
        self.name = name
        self.control = test.path(name + ".control")
        self.state_dir = test.path(name + ".state")
        self.binary = test.program("guestwired")
        self.client = test.program("guestwire")
        self.process = None
        self.runs = 0

    # life cycle

    def start(self, timeout_s=READY_TIMEOUT_S):
        self.runs += 1
        argv = [*tracer(), self.binary, "--control", self.control,
                "--state-dir", self.state_dir, *self.arguments]
        for port in self.ports:
            argv += ["--port", port]
        self.process = self.test.spawn(argv, f"{self.name}-{self.runs}",
                                       ns=self.ns)
        self.test.on_exit(self.check_no_report)
        wait_for(self._answers, timeout_s, "guestwired to answer")

    def _answers(self):
        self.process.check_alive()
        return self.command("show", "--json", may_fail=True).returncode == 0

    def stop(self, timeout_s=STOP_TIMEOUT_S):
        """Through the control socket."""
        self.command("stop", timeout_s=timeout_s)
        self._check_end(timeout_s)

    def terminate(self, timeout_s=STOP_TIMEOUT_S):
        """With SIGTERM."""
        self.process.signal(15)
        self._check_end(timeout_s)

    def kill(self):
        self.process.kill()

    def _check_end(self, timeout_s):
        status = self.process.wait(timeout_s)
        check(status == 0, f"{self.name} exits with {status}:\n"
              f"{self.process.err.tail()}")
        self.check_no_report()

    def sanitized(self):
        """Built with a sanitizer? Its memory is then not the daemon's own."""
        with open(self.binary, "rb") as f:
            text = f.read()
        return b"__asan_init" in text or b"__tsan_init" in text

    def check_no_report(self):
        text = self.process.err.text()
        check(not SANITIZER.search(text), f"{self.name}:\n{text}")

    @property
    def pid(self):
        return self.process.pid

    # what it says

    def command(self, *words, **options):
        return run([self.client, "--control", self.control, *words],
                   **options)

    def show(self):
        done = self.command("show", "--json", timeout_s=SHOW_TIMEOUT_S)
        try:
            return json.loads(done.stdout)
        except ValueError as e:
            raise Failure(f"show --json is no JSON ({e}):\n{done.stdout}"
                          ) from e

    def port(self, name):
        for port in self.show()["ports"]:
            if port["name"] == name:
                return port
        raise Failure(f"show --json: no port '{name}'")

    def pairs(self):
        """{(source, egress): Pair}."""
        return {(p[SOURCE], p[EGRESS]): Pair(p) for p in self.show()["pairs"]}

    def pair(self, source, egress):
        try:
            return self.pairs()[source, egress]
        except KeyError as e:
            raise Failure(f"show --json: no pair from '{source}' to '{egress}'"
                          ) from e

    def settled_pair(self, source, egress):
        """A pair whose numbers add up; under traffic they are off by a bit."""
        deadline = Deadline(SETTLE_TIMEOUT_S)
        while True:
            pair = self.pair(source, egress)
            problem = pair.problem()
            if not problem:
                return pair
            if deadline.passed():
                raise Failure(f"{source} to {egress}: {problem}")

    def wait_show(self, predicate, timeout_s, what):
        """Until predicate(show) is true."""
        try:
            return wait_for(lambda: predicate(self.show()), timeout_s, what)
        except Timeout as e:
            text = json.dumps(self.show(), indent=1)
            raise Timeout(f"{e}; show says:\n{text}") from e

    # what it takes

    def private_bytes(self, guest_pids=()):
        return own_bytes(self.pid, guest_pids)


def own_bytes(pid, guest_pids=()):
    """Memory of a process: what is mapped in a guest too is not counted.

    The proportional share of files and libraries, all of the rest.
    """
    shared = set()
    for guest in guest_pids:
        for mapping, _ in smaps(guest):
            if _inode(mapping) and mapping.split()[1].endswith("s"):
                shared.add(_inode(mapping))
    total = 0
    for mapping, sizes in smaps(pid):
        if _inode(mapping) not in shared:
            total += sizes["Pss"] + sizes.get("Private_Hugetlb", 0) \
                + sizes.get("Shared_Hugetlb", 0)
    return total


def _inode(mapping):
    """(device, inode) of what is mapped; None if it is no file."""
    _, _, _, device, inode = mapping.split()[:5]
    return (device, inode) if inode != "0" else None


def smaps(pid):
    """(first line, {name: bytes}) for each mapping."""
    found = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as f:
        for line in f:
            if ADDRESSES.match(line):
                found.append((line, {}))
            else:
                name, _, value = line.partition(":")
                words = value.split()
                if len(words) == 2 and words[1] == "kB":
                    found[-1][1][name] = int(words[0]) << 10
    return found
