# SPDX-License-Identifier: BSD-2-Clause
"""DPDK's virtio-user (testpmd) as a guest: every kind of ring, over devices.

Over xdp and tap the far end sends frames that describe themselves, testpmd
sends each of them back with its addresses swapped, and the far end verifies
what comes: every byte has then gone both ways through the daemon. The null
device has no way back: what testpmd sends is counted.

virtio-user has INDIRECT_DESC at all times, and uses it for frames of several
pieces; it makes such where a received frame came in several buffers.
"""

from lib import guest, matrix, memlock, testpmd
from lib.proc import Timeout, check, wait_for
from lib.scenario import cases, deadline
from lib.wire import WINDOW, Wire, check_end, mac, release

FRAMES = 624  # three times round the sizes
SIZES = ("--size", "60-1514", "--size-step", 7)
QUEUES = 4
# each is a flow of its own, which stays on one pair of queues
FLOWS = 8
# what testpmd sends first, so that the device is asked about its memory
BURST = 32
BURSTS = 20
PIECES = "100,300,350"
# buffers of 384 bytes: a frame of 1514 takes four
SMALL = ("--mbuf-size=512", *testpmd.MULTI_SEGMENTS)
# registering memory, and a machine that is busy
SETTLE_S = 30

# what virtio-user and testpmd are told; both have all else off
CELLS = {
    "plain": ({}, ()),
    "indirect": ({"mrg_rxbuf": 1}, SMALL),
    "event-idx": None,
    "in-order": ({"in_order": 1}, ()),
    "mergeable": ({"mrg_rxbuf": 1}, SMALL),
    "multiqueue": ({}, ()),
}
WANTED = {
    "indirect": {"mrg_rxbuf"},
    "in-order": {"in_order"},
    "mergeable": {"mrg_rxbuf"},
    "multiqueue": {"net_mq"},
}


def start(t, wire, ring, feature, **more):
    device, options = CELLS[feature] or CELLS["plain"]
    device = {"mrg_rxbuf": 0, "in_order": 0,
              "packed_vq": int(ring == "packed"), **device}
    return testpmd.Testpmd(
        t, wire.socket, device,
        queues=QUEUES if feature == "multiqueue" else 1, options=options,
        **more)


def wait_sent(wire, frames):
    """Until the ledger has so many frames of the guest."""
    def there():
        pair = wire.be.pairs().get((wire.a, wire.up))
        return pair and pair.lent_frames + pair.copied_frames >= frames
    try:
        wait_for(there, SETTLE_S, f"{frames} frames from testpmd")
    except Timeout as e:
        raise Timeout(f"{e}: {wire.be.show()}") from e


def check_features(pmd, ring, feature):
    wanted = {"version_1", "indirect_desc"} | WANTED.get(feature, set())
    if ring == "packed":
        wanted.add("ring_packed")
    check(pmd.features() == wanted,
          f"negotiated {sorted(pmd.features())}, not {sorted(wanted)}")


def there_and_back(wire, stream, frames):
    """The far end sends, and has all of it back in order."""
    far = wire.start_far(
        "--stream", stream, "--mac", mac(stream), "--dst", mac(0xf0),
        "--receive-stream", stream, "--verify", "--ordered", "--send", frames,
        *SIZES, "--receive", frames, "--window", WINDOW)
    release(far)
    check_end(guest.result(far), frames, frames)


def both_ways(t, wire, ring, feature):
    pmd = start(t, wire, ring, feature)
    pmd.say("start tx_first 1")
    wire.wait_answered(0)
    multi = feature == "multiqueue"
    first = BURST * (QUEUES if multi else 1)
    wait_sent(wire, first)
    flows = FLOWS if multi else 1
    for flow in range(flows):
        wire.runs += 1
        there_and_back(wire, 1 + flow, FRAMES // flows)
    frames = FRAMES // flows * flows
    said = pmd.finish()
    check_features(pmd, ring, feature)
    count, dropped = testpmd.sent(said)
    check(count >= first + frames and not dropped, f"testpmd: {said}")
    if multi:
        used = [n for n in testpmd.queues_used(said).values() if n > BURST]
        check(len(used) > 1, f"one pair of queues had all: {said}")
        t.note(f"{len(used)} of {QUEUES} pairs")
    t.note(f"{frames} frames there and back")


def one_way(t, wire, ring, feature):
    pmd = start(t, wire, ring, feature)
    if feature == "indirect":
        pmd.say(f"set txpkts {PIECES}")
    pmd.say(f"start tx_first {BURSTS}")
    frames = BURST * BURSTS * (QUEUES if feature == "multiqueue" else 1)
    wait_sent(wire, frames)
    said = pmd.finish()
    check_features(pmd, ring, feature)
    check(testpmd.sent(said) == (frames, 0), f"testpmd: {said}")
    pair = wire.be.settled_pair(wire.a, wire.up)
    check(pair.lent_frames + pair.copied_frames == frames and
          not pair.drops(), f"not {frames} frames: {pair.data}")
    t.note(f"{frames} frames")


@matrix.rows("DPDK 22.11 virtio-user")
@deadline(120)
@cases("ring", matrix.RINGS)
@cases("feature", matrix.FEATURES, quick=("in-order", "mergeable"))
@cases("driver", matrix.DRIVERS, quick=("xdp",))
def test_cell(t, ring, feature, driver):
    if driver == "xdp":
        memlock.need(2 * testpmd.MEMORY_MIB)
    wire = Wire(t, driver, guest_options=",in_order=on")
    t.need_tool(testpmd.TOOL, testpmd.PACKAGE)
    wire.start()
    if driver == "null":
        one_way(t, wire, ring, feature)
    else:
        both_ways(t, wire, ring, feature)
    wire.be.stop()
    if CELLS[feature] is None:
        t.cell("not offered")
