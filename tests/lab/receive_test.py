# SPDX-License-Identifier: BSD-2-Clause
"""The receive side of a queue that is bound with zero-copy: what the wire brings
reaches the guest, all of it, while the guest's own frames are fetched from its
memory."""

from lib.proc import check
from lib.scenario import cases

from lablib import hosts, pattern, zerocopy
from lablib.load import Load, patient

COUNT = 2000
SIZES = (60, 1514)
SENT, RECEIVED = 1, 9
# fewer than the guest's ring takes, and the NIC's
WINDOW = 100
WINDOW_TIMEOUT_S = 30

lab = hosts.sockets


def frame(sequence):
    low, high = SIZES
    return pattern.frame(RECEIVED, sequence, low + sequence % (high - low + 1))


def send_all(lab, be, ifname):
    """As fast as the guest gets them: no ring on the way runs over."""
    base = be.port("a")["tx_frames"]
    for first in range(0, COUNT, WINDOW):
        lab.nic(ifname).send(frame(i) for i in range(first, first + WINDOW))
        be.wait_show(lambda _, due=base + first + WINDOW:
                     be.port("a")["tx_frames"] >= due, WINDOW_TIMEOUT_S,
                     f"the guest's port to have given {first + WINDOW} frames")


@cases("queue", ("auto", "0"), quick=("auto",))
@cases("nic", ("igb", "virtio"), quick=("igb",))
@patient
def test_all_arrive(lab, nic, queue):
    be = zerocopy.start(lab, nic, f",queue={queue}")
    load = Load(lab, be, "a", "up", nic, COUNT, SIZES, SENT,
                ["--hugetlb", "--receive", COUNT, "--receive-stream", RECEIVED,
                 "--verify"])
    load.go()
    send_all(lab, be, nic)
    load.wait()
    ledger = load.finish()
    said = load.said
    check(said["verified"] == COUNT and not said["duplicated"] and
          not said["out_of_order"], f"the guest received: {said}")
    check(not ledger.copies, f"lent meanwhile: {ledger}")
    be.stop()
