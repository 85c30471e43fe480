# SPDX-License-Identifier: BSD-2-Clause
"""The claim, to the letter, in one process: guest A's frames are fetched from
its memory by a NIC's DMA engine, guest B's are copied once and go out
elsewhere, at the same time."""

from lib.proc import check
from lib.scenario import cases

from lablib import hosts
from lablib.load import Load, guest_port, patient
from lablib.queries import Queries

COUNT = 3000
SIZES = (300, 1514)
# two devices and two guests share the processor: a moment in which one of them is not
# served is not to be a ring that is full of loans
RATE = 1000
OPTIONS = ("--hugetlb", "--rate", RATE)

lab = hosts.sockets


@cases("fast", ("igb", "virtio"), quick=("igb",))
@patient
def test_one_lent_one_copied(lab, fast):
    be = lab.daemon([guest_port("a", ",network=red"),
                     f"fast=xdp:{fast},network=red",
                     guest_port("b", ",network=blue"),
                     "plain=packet:e1000e,network=blue"])
    for ifname in (fast, "e1000e"):
        lab.wait_carrier(ifname)
    queries = Queries(lab)
    a = Load(lab, be, "a", "fast", fast, COUNT, SIZES, 1, OPTIONS)
    b = Load(lab, be, "b", "plain", "e1000e", COUNT, SIZES, 2, OPTIONS)
    a.go()
    b.go()
    for load in (a, b):
        load.wait()
    check_lent(be, a.finish())
    check_copied(be, b.finish())
    log = be.log()
    for line in ("port fast asked about frames of port a: partly",
                 "port plain asked about frames of port b: no"):
        check(line in log, f"the daemon does not say '{line}':\n{log}")
    be.stop()
    check_asked(queries.of("a", "fast"), "partly", None, "dma")
    check_asked(queries.of("b", "plain"), "no", "device_cannot_read", "bounce")


def check_asked(events, verdict, reason, reads):
    """Asked first, and at last answered so."""
    kinds = [e["event"] for e in events]
    check(kinds[0] == "ask" and events[0]["why"] == "first", f"{events}")
    answers = [e for e in events if e["event"] == "answer"]
    check(answers, f"no answer: {events}")
    last = answers[-1]
    check((last["verdict"], last["reason"], last["device_reads"]) ==
          (verdict, reason, reads) and
          last["memory"] == events[0]["memory"], f"{events}")
    mapped = any(e["event"] == "map" and not e["failed"] for e in events)
    check(mapped == (verdict != "no"), f"mapped for the device: {events}")


def check_lent(be, ledger):
    check(be.port("fast")["device_reads"] == "dma", "who reads a's frames")
    check(ledger.lent_frames == ledger.frames and not ledger.copied_bytes
          and not ledger.kernel_copied_bytes, f"a is lent: {ledger}")


def check_copied(be, ledger):
    check(be.port("plain")["device_reads"] == "bounce", "who reads b's frames")
    check(ledger.copied_frames == ledger.frames and
          ledger.copied_bytes == ledger.bytes and not ledger.lent_frames and
          set(ledger.copies) == {"device_cannot_read"},
          f"b is copied, once: {ledger}")
