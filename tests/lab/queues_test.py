# SPDX-License-Identifier: BSD-2-Clause
"""Three guests on a zero-copy NIC with two queues: the first two have a queue
each, and both are read by DMA; the third shares by copies, until one leaves."""

from lib.proc import check, wait_for

from lablib import hosts, judge
from lablib.load import SLOW, Ledger, Load, Slow, guest_port, patient

IFNAME = "igb"
SIZES = (300, 1514)
RATE = 200
# before they are told to go: slowly, so that however slow the machine is they have
# frames left, since a guest that sends nothing is not asked about
LEAD = 10
# the first goes, while the others send on
FIRST, OTHERS = 300, 1600
PROMOTED_TIMEOUT_S = 60
LEFT_TIMEOUT_S = 90
# while a queue changes its memory; among several ports 64 frames wait
PAUSE = {"egress_full", "egress_paused"}

lab = hosts.sockets


def load(lab, be, name, count, stream):
    return Load(lab, be, name, "up", IFNAME, count, SIZES, stream,
                ["--hugetlb", "--rate", RATE], lead=LEAD)


def check_out(be, load, pcap):
    """What the ledger says has left is on the wire, whole, once, in order."""
    pair = be.settled_pair(load.source, "up")
    drops = pair.drops()
    check(pair.frames + sum(drops.values()) == load.count and
          set(drops) <= PAUSE and not pair.loans_out, f"{pair.data}")
    if set(SLOW) & set(pair.copies()):
        raise Slow(f"too slow for the daemon: {pair.copies()}")
    frames = judge.frames_of(pcap, {load.stream})
    sequence = [f.sequence for f in frames]
    check(sequence == sorted(set(sequence)), f"{load.source}: {sequence}")
    check(len(frames) == pair.frames, f"{len(frames)} on the wire: {pair.data}")
    low, high = SIZES
    check(all(f.source_ok() and f.size == low + f.sequence % (high - low + 1)
              for f in frames), f"{load.source}: sizes and sources")
    return pair


def wait_left(be, load):
    """Until all its frames have left, or were counted as dropped."""
    def left(_):
        pair = be.pair(load.source, "up")
        return (pair.frames + sum(pair.drops().values()) == load.count and
                not pair.loans_out)
    be.wait_show(left, LEFT_TIMEOUT_S, f"the frames of {load.source} to leave")


@patient
def test_a_queue_for_each_guest(lab):
    be = lab.daemon([guest_port(n) for n in "abc"] +
                    [f"up=xdp:{IFNAME},queue=auto"])
    lab.wait_carrier(IFNAME)
    check("queue 0 of 2" in be.port("up")["status"], be.port("up")["status"])
    a = load(lab, be, "a", FIRST, 1)
    b = load(lab, be, "b", OTHERS, 2)
    c = load(lab, be, "c", OTHERS, 3)
    check(be.port("up")["device_reads"] == "dma", "who reads their frames")
    check(a.before.lent_frames and b.before.lent_frames, "a and b are lent")
    said = c.before.query
    check(said["reason"] == "memory_taken" and "all 2 queues" in said["text"],
          f"c shares: {said}")
    a.go()
    wait_left(be, a)
    be.wait_show(lambda _: be.pair("c", "up").copies().get("memory_taken"),
                 PROMOTED_TIMEOUT_S, "c to share by copies")
    check(not be.pair("c", "up").lent_frames, "no queue was left for c")
    b.go()
    a.end()
    be.wait_show(lambda _: be.pair("c", "up").lent_frames, PROMOTED_TIMEOUT_S,
                 "c to get the queue of a")
    c.go()
    for each in (b, c):
        wait_left(be, each)
    pcap = lab.pcap(IFNAME)
    wait_for(lambda: len(judge.frames_of(pcap, {1, 2, 3})) >=
             sum(be.pair(n, "up").frames for n in "abc"), LEFT_TIMEOUT_S,
             "all on the wire")
    b.end()
    c.end()
    pairs = [check_out(be, each, pcap) for each in (a, b, c)]
    # when a guest comes or goes, the driver is asked anew about all others
    for each, pair in ((a, pairs[0]), (b, pairs[1])):
        copies = Ledger(each.before, pair).copies
        check(set(copies) <= {"query_pending"},
              f"{each.source}, since it was lent: {copies}")
    for pair in pairs:
        check(not pair.kernel_copied_frames, f"the NIC reads: {pair.data}")
    lab.test.note("lent " + ", ".join(f"{p.lent_frames} of {p.frames}"
                                      for p in pairs) +
                  f"; c shared for {pairs[2].copies().get('memory_taken')}")
    be.stop()
