# SPDX-License-Identifier: BSD-2-Clause
"""The test library itself, with a tap of QEMU's in place of a back-end.

A test that fails in qemu_test.py and a test that passes here say that it is
not the harness.
"""

import os
import sys
import time

from lib import matrix, netns, peer
from lib.proc import Failure, Timeout, check, run
from lib.qemu import QemuGuest, TapNic
from lib.scenario import cases, deadline

HOST = "10.77.0.1"
GUEST = "10.77.0.2"
HERE = os.path.dirname(os.path.abspath(__file__))

# a folder of tests for the runner: one of each kind
RUN = """
import sys
sys.path.insert(0, {here!r})
from lib import run
sys.exit(run.main({folder!r}))
"""
TESTS = """
from lib.proc import wait_for
from lib.scenario import cases, deadline

@cases("number", (1, 2))
def test_good(t, number):
    t.note(f"number {number}")

def test_bad(t):
    t.spawn(["true"], "known").wait(10)
    gone = t.spawn(["sh", "-c", "echo farewell >&2; exit 3"], "gone")
    gone.err.find("farewell", 10)
    wait_for(lambda: not gone.alive(), 10, "its end")
    raise AssertionError("this is bad")

def test_absent(t):
    t.skip("no such thing")

@deadline(1)
def test_endless(t):
    print("left:", t.spawn(["sleep", "1000"], "left").pid, t.folder)
    t.spawn(["sleep", "1000"], "right").wait(1000)
"""


def test_namespaces_are_apart(t):
    a, b = t.netns("a"), t.netns("b")
    netns.veth(a, "va", b, "vb", address_b=HOST + "/24", mtu=9000)
    a.ip("address", "add", GUEST + "/24", "dev", "va")
    peer.ping(a, HOST)
    peer.ping(b, GUEST)
    check(a.statistics("va")["tx_packets"] > 0, "nothing was sent on va")
    check("va" not in b.ip("link").stdout.replace("vb@", ""),
          "the namespaces see each other's interfaces")


def test_a_process_that_is_silent_times_out(t):
    silent = t.spawn(["sleep", "60"], "silent")
    try:
        silent.wait_line("anything", 0.2)
    except Timeout:
        return
    raise Failure("wait_line found a line that nobody wrote")


def test_the_runner_counts_and_cleans_up(t):
    for name, text in (("run.py", RUN), ("some_test.py", TESTS)):
        with open(t.path(name), "w", encoding="ascii") as f:
            f.write(text.replace("{here!r}", repr(HERE))
                    .replace("{folder!r}", repr(t.folder)))
    done = run([sys.executable, t.path("run.py"), "--jobs", "2"],
               may_fail=True, env={**os.environ, "PYTHONPATH": HERE})
    for line in ("ok   some_test::good[2]", "  number 2",
                 "FAIL some_test::bad", "this is bad",
                 "ended by itself with 3", "| farewell", "skip some_test::absent",
                 "no such thing", "FAIL some_test::endless",
                 "not done after 1 s", "2 passed, 2 failed, 1 skipped"):
        check(line in done.stdout, f"no '{line}' in:\n{done.stdout}")
    check("known" not in done.stdout, f"expected:\n{done.stdout}")
    check(done.returncode == 1, f"the exit status is {done.returncode}")
    left = next(l.split() for l in done.stdout.splitlines() if "left:" in l)
    check(not os.path.exists(f"/proc/{left[1]}"), "a process is left")
    check(not os.path.exists(left[2]), "a folder is left")


def test_the_matrix_keeps_what_was_not_run(_):
    cell = matrix.Cell("Some client", "split", "plain", "tap")
    other = cell._replace(ring="packed")
    page = "\n".join(["# Page", *matrix.show({cell: "both ways", other: "no"})
                      .splitlines(), "", "and more"])
    check(matrix.parse(page) == {cell: "both ways", other: "no"},
          f"parsed {matrix.parse(page)}")
    again = matrix.rewrite(page, {other: "FAIL"})
    check(matrix.parse(again) == {cell: "both ways", other: "FAIL"} and
          again.endswith("\n\nand more\n"), again)


def timed(t, what, function, *arguments):
    start = time.monotonic()
    result = function(*arguments)
    t.note(f"{what} {time.monotonic() - start:.1f} s")
    return result


@deadline(300)
@cases("memory", ("memfd", "hugetlb"), quick=("memfd",))
def test_guest_on_a_tap(t, memory):
    ns = t.netns("host")
    ns.add_tap("tap0", HOST + "/24")
    peer.dhcp_server(t, ns, "tap0", "10.77.0.50", "10.77.0.59")
    vm = QemuGuest(t, [TapNic("tap0")], ns=ns, hugetlb=memory == "hugetlb")
    timed(t, "boot", vm.start)
    address = timed(t, "dhcp", vm.dhcp)
    check(address.startswith("10.77.0.5"), f"a strange address: {address}")
    peer.ping(ns, address)
    timed(t, "file in", peer.send_to_guest, t, ns, vm, HOST)
    timed(t, "file out", peer.receive_from_guest, t, ns, vm, HOST)
    check(vm.run("exit 3", may_fail=True).status == 3, "status is lost")
    timed(t, "driver reload", vm.reload_driver)
    vm.set_address(GUEST + "/24")
    vm.ping(HOST)
    timed(t, "reboot", vm.reboot)
    vm.set_address(GUEST + "/24")
    vm.ping(HOST)
    timed(t, "reset", vm.reset)
    vm.kill()
    timed(t, "start again", vm.start)
    vm.set_address(GUEST + "/24")
    vm.ping(HOST)
    vm.power_off()
