# SPDX-License-Identifier: BSD-2-Clause
"""Every kind of ring, with every feature of rings, over devices.

A line for each cell of {split, packed} x {plain, indirect, event-idx,
in-order, mergeable, multiqueue, all} x {null, tap, xdp}. A guest negotiates
exactly what the cell says, and frames go both ways at once, all of them
verified, once and in order. The null device has no way back.
"""

from lib import guest, matrix
from lib.proc import Timeout, check, wait_for
from lib.scenario import cases, deadline
from lib.wire import WINDOW, Wire, check_end, mac, release

FRAMES = 624  # three times round the sizes
SIZES = ("--size", "60-1514", "--size-step", 7)
STREAM, FAR_STREAM = 100, 1
QUEUES = 4
ALWAYS = {"protocol_features", "mq", "reply_ack", "status"}
RINGS = ("split", "packed")
DRIVERS = ("null", "tap", "xdp")
LOOP = ",echo=on,delay=1,order=random"
SETTLE_S = 10

# name: features of rings that are negotiated, and what the guest is told
FEATURES = {
    "plain": (set(), ()),
    "indirect": ({"indirect_desc"},
                 ("--descriptors", "1-7", "--indirect", "always")),
    "event-idx": ({"event_idx"}, ()),
    "in-order": ({"in_order"}, ("--in-order", "--descriptors", "1-3")),
    "mergeable": ({"mrg_rxbuf"}, ("--rx-buffer", 300)),
    "multiqueue": ({"net_mq"}, ("--queues", QUEUES)),
    "all": ({"indirect_desc", "event_idx", "in_order", "mrg_rxbuf", "net_mq"},
            ("--in-order", "--queues", QUEUES, "--descriptors", "1-7",
             "--indirect", "mixed", "--rx-buffer", 300)),
}
OPTIONAL = ("indirect_desc", "event_idx", "mrg_rxbuf")


def ring_arguments(ring, feature):
    """What makes a guest negotiate these features, and no others."""
    wanted, arguments = FEATURES[feature]
    off = [f for f in OPTIONAL if f not in wanted]
    return ["--ring", ring, *arguments, *(["--features-off", ",".join(off)]
                                          if off else [])]


def check_features(said, ring, feature):
    wanted = {"version_1"} | FEATURES[feature][0]
    if ring == "packed":
        wanted.add("ring_packed")
    have = set(said["features"]) - ALWAYS
    check(have == wanted, f"negotiated {sorted(have)}, not {sorted(wanted)}")


def check_queues(said, feature):
    """All pairs of queues have sent, and got all back."""
    count = QUEUES if "net_mq" in FEATURES[feature][0] else 1
    check(len(said["queues"]) == count, f"{count} queues: {said['queues']}")
    for q in said["queues"]:
        check(q["sent"] > 0 and q["completed"] == q["sent"] and
              q["stop"]["clean"], f"pair {q['pair']}: {q}")


def guest_wire(t, driver, options=""):
    wire = Wire(t, driver, options=options, guest_options=",in_order=on")
    wire.start()
    return wire


def start_sender(wire, *arguments):
    return wire.start_guest(
        "--stream", STREAM, "--mac", mac(STREAM), "--dst", mac(FAR_STREAM),
        "--send", FRAMES, *SIZES, "--scribble", *arguments)


def both_ways(wire, arguments):
    """What guest and far end say when each has sent all and got all.

    A guest that sends one flow on several pairs has the answers move from ring
    to ring, and then in no order.
    """
    order = [] if "--queues" in arguments else ["--ordered"]
    mark = len(wire.be.process.err.lines)
    far = wire.start_far(
        "--stream", FAR_STREAM, "--mac", mac(FAR_STREAM), "--dst",
        mac(STREAM), "--receive-stream", f"{STREAM}-{STREAM + QUEUES - 1}",
        "--verify", "--ordered", "--send", FRAMES, *SIZES, "--receive",
        FRAMES, "--window", WINDOW)
    a = start_sender(wire, "--receive-stream", FAR_STREAM, "--verify",
                     *order, "--receive", FRAMES, "--window", WINDOW,
                     *arguments)
    wire.wait_answered(mark)
    release(far)
    return guest.result(a), guest.result(far)


def one_way(wire, arguments):
    said = guest.result(start_sender(wire, *arguments))

    def counted():
        pair = wire.be.settled_pair(wire.a, wire.up)
        return pair.lent_frames + pair.copied_frames == FRAMES
    try:
        wait_for(counted, SETTLE_S, "all frames to be counted")
    except Timeout as e:
        raise Timeout(f"{e}: {wire.be.pair(wire.a, wire.up).data}") from e
    return said


@matrix.rows("Built-in guest")
@deadline(60)
@cases("ring", RINGS)
@cases("feature", FEATURES)
@cases("driver", DRIVERS)
def test_cell(t, ring, feature, driver):
    wire = guest_wire(t, driver)
    arguments = ring_arguments(ring, feature)
    if driver == "null":
        said = one_way(wire, arguments)
        check_end(said, FRAMES, 0)
        t.note(f"{FRAMES} frames")
    else:
        said, far = both_ways(wire, arguments)
        check_end(said, FRAMES, FRAMES)
        check_end(far, FRAMES, FRAMES)
        t.note(f"{FRAMES} frames each way")
    check_features(said, ring, feature)
    check_queues(said, feature)
    wire.be.stop()


@deadline(60)
@cases("headers", ("own", "shared", "split"))
@cases("driver", ("tap", "xdp"))
def test_legacy(t, driver, headers):
    """A guest from before VIRTIO 1.0: a header of 10 bytes, in any layout."""
    wire = guest_wire(t, driver)
    said, far = both_ways(wire, [
        "--features-off", "version_1,mrg_rxbuf", "--header", headers,
        "--rx-header", headers, "--descriptors", "2-5", "--rx-descriptors", 3])
    check_end(said, FRAMES, FRAMES)
    check_end(far, FRAMES, FRAMES)
    check("version_1" not in said["features"], f"features: {said}")
    wire.be.stop()


def test_a_legacy_guest_has_no_packed_ring(t):
    """VIRTIO 1.2 section 6: RING_PACKED goes with VERSION_1."""
    wire = guest_wire(t, "loop", LOOP)
    said = guest.run_guest(t, "--socket", wire.socket, "--send", 1, "--ring",
                           "packed", "--features-off", "version_1",
                           may_fail=True)
    check(said["exit"] == 3 and said["completed"] == 0, f"served: {said}")
    wire.be.process.check_alive()
    said = guest.run_guest(t, "--socket", wire.socket, "--send", 10,
                           "--receive", 10, "--ring", "packed", "--verify")
    check_end(said, 10, 10)
    wire.be.stop()


@cases("ring", RINGS)
@cases("size", (2, 4, 128, 4096))
def test_sizes_of_rings(t, ring, size):
    """The smallest, where each position soon wraps, and the largest."""
    wire = guest_wire(t, "loop", LOOP)
    said = guest.run_guest(
        t, "--socket", wire.socket, "--ring", ring, "--ring-size", size,
        "--send", FRAMES, "--receive", FRAMES, *SIZES, "--verify",
        "--window", min(size, WINDOW), "--memory", 256, "--scribble")
    check_end(said, FRAMES, FRAMES)
    wire.be.stop()


@deadline(60)
@cases("ring", RINGS)
def test_queues_on_and_off(t, ring):
    """Seven pairs of eight are disabled and enabled while frames come and go;
    all of them arrive."""
    wire = guest_wire(t, "loop", LOOP)
    said = guest.run_guest(
        t, "--socket", wire.socket, "--ring", ring, "--queues", 8,
        "--toggle-queues", 10, "--send", 6000, "--receive", 6000, "--rate",
        4000, "--window", WINDOW, "--verify", "--scribble", *SIZES)
    check_end(said, 6000, 6000)
    check(said["toggles"] > 20, f"only {said['toggles']} times")
    for q in said["queues"]:
        check(q["sent"] and q["stop"]["clean"], f"pair {q['pair']}: {q}")
    t.note(f"{said['toggles']} times on or off")
    wire.be.stop()


@deadline(60)
@cases("ring", RINGS)
def test_as_many_queues_as_there_can_be(t, ring):
    wire = guest_wire(t, "loop", LOOP)
    said = guest.run_guest(
        t, "--socket", wire.socket, "--ring", ring, "--queues", 128,
        "--ring-size", 32, "--send", 5000, "--receive", 5000, "--window",
        WINDOW, "--verify", "--scribble", *SIZES)
    check_end(said, 5000, 5000)
    check(all(q["sent"] for q in said["queues"]), f"idle: {said['queues']}")
    wire.be.stop()
