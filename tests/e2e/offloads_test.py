# SPDX-License-Identifier: BSD-2-Clause
"""What a guest leaves undone in its headers is done by somebody, and once.

The built-in guest sends super-frames and partial checksums. The far end sees
them as they are, or completed and cut, going by what was negotiated and what
the device takes; in either case every byte of every piece is right, and so
are lengths, sequence numbers, flags and checksums.
"""

import signal
import socket
import struct

from lib import guest
from lib.daemon import Daemon
from lib.packets import KINDS, Packets
from lib.proc import Deadline, check
from lib.scenario import cases
from lib.wire import PENDING, Wire, check_end, mac

MIXED = ["--descriptors", "1-17", "--header", "mixed", "--unaligned",
         "--scribble"]
RATE = 2000
TIMEOUT_S = 20
FRAME_MAX_BYTES = 1514
PORT = 18263
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
MTU_LONG = 1600
# buffers of 64 KiB, in the memory that a guest has here
SMALL_RING = ["--ring-size", 128]
# room for each piece of a mixture
DEEP_RING = ["--ring-size", 1024, "--rx-buffer", 2048]
# header bytes that are copied, of the payload that is lent, in full frames of
# 1514 bytes; TCP has timestamps, and IPv6 is 40 bytes
HEADER_SHARE_MAX = {"tcp4": 0.05, "tcp6": 0.065, "udp4": 0.04, "udp6": 0.05}
# so slowly that most is sent when the memory has been registered
SLOW_RATE, SLOW_COUNT = 300, 120
ENOUGH_LENT = 0.2


def mixture(kind, count=60, **shape):
    """Single frames and super-frames of all sizes."""
    return Packets(kind, 200, 60000, step=7919, count=count, **shape)


def send(wire, packets, far=(), near=("--offloads", "host"), rate=RATE):
    """From the guest to the far end, all of them. What the two ends say."""
    far = wire.start_far("--packet", packets.kind, "--receive",
                         packets.pieces, "--verify", "--receive-stream",
                         wire.stream, "--stream", wire.far_stream, "--mac",
                         mac(wire.far_stream), *SMALL_RING, *far)
    a = wire.start_guest(*packets.arguments(), "--stream", wire.stream,
                         "--mac", mac(wire.stream), "--dst",
                         mac(wire.far_stream), "--rate", rate, *SMALL_RING,
                         *near)
    a, far = guest.result(a, TIMEOUT_S), guest.result(far, TIMEOUT_S)
    check_end(a, packets.count, 0, packets.bytes, 0)
    check_end(far, 0, packets.pieces)
    check(far["out_of_order"] == 0, f"out of order: {far}")
    check(a["sent_pieces"] == packets.pieces, f"pieces: {a}")
    return a, far["packets"]


def start(t, driver, mtu=None, options="", guest_options=""):
    wire = Wire(t, driver, mtu=mtu, options=options,
                guest_options=guest_options)
    wire.start()
    return wire


def check_came(came, received, supers, partial):
    """How the far end got them: frames, of these super-frames, checksums."""
    want = {"received": received, "super_frames": supers,
            "partial_checksums": partial,
            "complete_checksums": received - partial, "bad": 0}
    check(came == want, f"the far end has {came}, not {want}")


def check_cut(wire, packets, supers=None, checksums=None):
    """That so many super-frames were cut in software, all of them if not said,
    and checksums made for so many frames."""
    supers = packets.supers if supers is None else supers
    checksums = packets.pieces if checksums is None else checksums
    pair = wire.be.settled_pair(wire.a, wire.up)
    check(not pair.drops() and not pair.loans_out and not pair.bounce_out,
          f"left or dropped: {pair.data}")
    check((pair.supers_cut, pair.checksums_made) == (supers, checksums),
          f"{supers} cut and {checksums} summed: {pair.data}")
    return pair


# what the receiver negotiates: which super-frames come whole to it, and
# whether checksums may be left to it
RECEIVERS = {
    "nothing": ([], (), False),
    "checksums": (["--offloads", "guest_csum"], (), True),
    "all": (["--offloads", "guest"], KINDS, True),
    "all-not-mergeable": (["--offloads", "guest", "--features-off",
                           "mrg_rxbuf"], KINDS, True),
    "tso4": (["--offloads", "guest_csum,guest_tso4"], ("tcp4",), True),
    "tso6": (["--offloads", "guest_csum,guest_tso6"], ("tcp6",), True),
    "uso": (["--offloads", "guest_csum,guest_uso4,guest_uso6"],
            ("udp4", "udp6"), True),
    "half-uso": (["--offloads", "guest_csum,guest_uso4"], (), True),
}


@cases("kind", KINDS)
@cases("receiver", RECEIVERS)
def test_guest_to_guest(t, kind, receiver):
    """Whole to one that takes them, else cut; without ECN that is apart."""
    arguments, whole, partial = RECEIVERS[receiver]
    wire = start(t, "guest")
    packets = mixture(kind)
    _, came = send(wire, packets, arguments,
                   ["--offloads", "csum,host_tso4,host_tso6,host_uso",
                    *MIXED])
    if kind in whole:
        check_came(came, packets.count, packets.supers, packets.count)
        check_cut(wire, packets, 0, 0)
    else:
        check_came(came, packets.pieces, 0, packets.pieces if partial else 0)
        check_cut(wire, packets, checksums=0 if partial else None)
    wire.be.stop()


@cases("kind", ("tcp4", "tcp6"))
@cases("takes", (True, False))
def test_super_frames_with_ecn(t, kind, takes):
    """CWR is in the first piece only, and who does not take it gets it cut."""
    wire = start(t, "guest")
    packets = mixture(kind)
    offloads = "guest_csum,guest_tso4,guest_tso6" + takes * ",guest_ecn"
    _, came = send(wire, packets, ["--offloads", offloads])
    cut = 0 if takes else packets.supers_with_cwr()
    check(0 < packets.supers_with_cwr() < packets.supers, "there are both")
    check(came["super_frames"] == packets.supers - cut, f"{came}")
    check_cut(wire, packets, cut, 0)
    wire.be.stop()


SHAPES = {
    "tags": {"tags": 2},
    "extra": {"extra": 3},
    "all-of-it": {"tags": 2, "extra": 8},
    "small-pieces": {"mss": 88},
    "odd-pieces": {"mss": 1235},
    "large-pieces": {"mss": 8948},
}


@cases("kind", KINDS)
@cases("shape", SHAPES)
def test_shapes(t, kind, shape):
    """Headers of all lengths, pieces of all sizes; cut, and whole."""
    wire = start(t, "guest")
    packets = mixture(kind, count=30, **SHAPES[shape])
    _, came = send(wire, packets, near=["--offloads", "host", *MIXED])
    check_came(came, packets.pieces, 0, 0)
    check_cut(wire, packets)
    _, came = send(wire, packets, ["--offloads", "guest"],
                   ["--offloads", "host", *MIXED])
    check_came(came, packets.count, packets.supers, packets.count)
    wire.be.stop()


@cases("kind", KINDS)
def test_to_all_at_once(t, kind):
    """A super-frame for everybody: whole to one, cut to the others, and home
    when the last has it. Each has room for all that comes: none waits for
    another, and one that gets no processor for a while would lose frames."""
    names = ("a", "whole", "sums", "cut")
    sockets = {n: t.path(n + ".sock") for n in names}
    be = Daemon(t, [f"{n}=guest:{sockets[n]}" for n in names] +
                ["dev=loop:,delay=3,order=random"], ns=t.netns("daemon"))
    be.start()
    packets = mixture(kind, count=40)
    takes = {"whole": ["--offloads", "guest"],
             "sums": ["--offloads", "guest_csum"], "cut": []}
    check(packets.pieces <= DEEP_RING[1],
          f"a ring has no room for {packets.pieces} pieces")
    hear = {n: guest.start_guest(
        t, "--socket", sockets[n], "--packet", kind, "--verify", "--receive",
        packets.pieces, "--timeout", TIMEOUT_S, *DEEP_RING, *takes[n], name=n)
        for n in takes}
    a = guest.run_guest(t, "--socket", sockets["a"], *packets.arguments(),
                        "--offloads", "host", "--rate", RATE // 10,
                        *SMALL_RING, *MIXED)
    check_end(a, packets.count, 0)
    said = {n: guest.result(p, TIMEOUT_S) for n, p in hear.items()}
    for n in said:
        check_end(said[n], 0, packets.pieces)
    check_came(said["whole"]["packets"], packets.count, packets.supers,
               packets.count)
    check_came(said["sums"]["packets"], packets.pieces, 0, packets.pieces)
    check_came(said["cut"]["packets"], packets.pieces, 0, 0)
    be.stop()


def test_a_ring_too_short_for_super_frames(t):
    """All its buffers together do not hold some of them: these are dropped,
    and do not stop what comes behind."""
    wire = start(t, "guest")
    packets = mixture("tcp4")
    fits = 16 * 2048 - 12
    large = sum(size > fits for size in packets.sizes)
    far = wire.start_far("--packet", "tcp4", "--verify", "--offloads", "guest",
                         "--ring-size", 16, "--rx-buffer", 2048, "--hold")
    a = wire.start_guest(*packets.arguments(), "--offloads", "host", "--dst",
                         mac(2), "--rate", RATE, *SMALL_RING)
    check_end(guest.result(a, TIMEOUT_S), packets.count, 0)
    pair = wire.be.wait_show(
        lambda _: sum(wire.be.pair(wire.a, wire.up).drops().values()) >= large
        and wire.be.settled_pair(wire.a, wire.up), TIMEOUT_S, "all dropped")
    check(pair.drops() == {"rx_buffer_too_small": large}, f"{pair.data}")
    far.signal(signal.SIGTERM)
    came = guest.result(far)["packets"]
    check(came["received"] == packets.count - large and not came["bad"],
          f"{large} of {packets.count} are too large: {came}")
    wire.be.stop()


@cases("driver", ("xdp", "tap", "packet"))
@cases("kind", KINDS)
def test_to_a_device(t, driver, kind):
    """The wire has whole frames, whoever cut them."""
    wire = start(t, driver)
    packets = mixture(kind, SLOW_COUNT, mss=FRAME_MAX_BYTES -
                      Packets(kind, 200, 200).header)
    _, came = send(wire, packets, near=["--offloads", "host", *MIXED],
                   rate=SLOW_RATE)
    pair = wire.be.settled_pair(wire.a, wire.up)
    check(not pair.drops() and not came["bad"], f"{pair.data}, {came}")
    check(set(pair.copies()) <= {*PENDING, "loans_out", wire.device.reason}, f"{pair.data}")
    # on a busy machine more is copied before the memory is registered
    if pair.headers_made and pair.lent_bytes > ENOUGH_LENT * packets.bytes:
        share = pair.header_bytes_copied / pair.lent_bytes
        check(share < HEADER_SHARE_MAX[kind], f"{share:.1%} of headers")
        t.note(f"{pair.supers_cut} cut, {share:.1%} of headers, "
               f"{pair.lent_bytes / packets.bytes:.1%} lent")
    wire.be.stop()


@cases("driver", ("xdp", "tap", "packet"))
@cases("kind", KINDS)
def test_tags_and_extension_headers_to_a_device(t, driver, kind):
    wire = start(t, driver, mtu=MTU_LONG)
    send(wire, mixture(kind, count=30, tags=1, extra=4), near=[
        "--offloads", "host", *MIXED])
    wire.be.stop()


@cases("driver", ("xdp", "tap", "packet"))
def test_one_copy_of_each_header(t, driver):
    """Nothing negotiated by the sender: as it was, nothing is touched."""
    wire = start(t, driver)
    packets = Packets("tcp4", 120, 1400, step=17, count=200)
    _, came = send(wire, packets, near=["--scribble"])
    check(came["bad"] == 0 and came["super_frames"] == 0, f"{came}")
    check_cut(wire, packets, 0, 0)
    wire.be.stop()


# to the kernel's own stack

def kernel_count(ns, protocol, name):
    """A counter of /proc/net/snmp, of a namespace."""
    with ns.entered(), open("/proc/thread-self/net/snmp",
                            encoding="ascii") as f:
        lines = [line.split() for line in f
                 if line.startswith(protocol + ":")]
    return int(dict(zip(*lines))[name])


@cases("driver", ("xdp", "tap", "packet"))
def test_datagrams_to_the_kernel(t, driver):
    """It drops what has a wrong checksum or length, and counts it."""
    wire = start(t, driver)
    ns, ifname = wire.far_ns, wire.far_place[1]
    ns.ip("link", "set", ifname, "address", mac(wire.far_stream))
    ns.ip("address", "add", f"10.0.0.{wire.far_stream}/8", "dev", ifname)
    sock = ns.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
    sock.bind(("", PORT))
    packets = mixture("udp4")
    a = wire.start_guest(*packets.arguments(), "--stream", wire.stream,
                         "--mac", mac(wire.stream), "--dst",
                         mac(wire.far_stream), "--rate", RATE, "--offloads",
                         "host", *SMALL_RING, *MIXED)
    check_end(guest.result(a, TIMEOUT_S), packets.count, 0)
    sequences, deadline = [], Deadline(TIMEOUT_S)
    while len(sequences) < packets.pieces and not deadline.passed():
        sock.settimeout(TIMEOUT_S)
        payload = sock.recv(65536)
        if len(payload) >= 24:
            sequences.append(struct.unpack_from(">Q", payload, 8)[0])
        else:
            sequences.append(None)
    wrong = [kernel_count(ns, "Udp", n) for n in ("InCsumErrors", "InErrors")]
    check(wrong == [0, 0], f"the kernel counts {wrong} bad datagrams")
    for i, sequence in enumerate(sequences):
        check(sequence in (i, None), f"datagram {i} says it is {sequence}")
    wire.be.stop()


# the other way

@cases("driver", ("tap", "packet"))
@cases("takes", (True, False))
@cases("kind", ("tcp4", "udp6"))
def test_from_a_device(t, driver, takes, kind):
    """The far end leaves checksums and segmentation to its device; the guest
    gets whole frames, or what it takes."""
    wire = start(t, driver)
    packets = mixture(kind, count=30)
    a = wire.start_guest("--packet", kind, "--receive", packets.pieces,
                         "--verify", "--receive-stream", wire.far_stream,
                         *SMALL_RING,
                         *(["--offloads", "guest"] if takes else []))
    far = wire.start_far(*packets.arguments(), "--checksum", "partial",
                         "--stream", wire.far_stream, "--mac",
                         mac(wire.far_stream), "--dst", mac(wire.stream),
                         "--rate", RATE // 10)
    far.process.stdin.close()
    far, a = guest.result(far, TIMEOUT_S), guest.result(a, TIMEOUT_S)
    check_end(a, 0, packets.pieces)
    check_end(far, packets.count, 0)
    check(takes or a["packets"]["super_frames"] == 0, f"{a['packets']}")
    check(takes or a["packets"]["partial_checksums"] == 0, f"{a['packets']}")
    t.note(f"{a['packets']}")
    wire.be.stop()


# negotiation

HOST = ("csum", "host_tso4", "host_tso6", "host_ecn", "host_uso")
GUEST = ("guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "guest_uso4",
         "guest_uso6")
OFFERS = {
    # device, guest's option: HOST ones offered, GUEST ones offered
    ("loop", ""): (True, True),
    ("loop", "on"): (True, True),
    ("loop", "off"): (False, False),
    ("one-segment", ""): (False, True),
    ("one-segment", "auto"): (False, True),
    ("one-segment", "on"): (True, True),
    ("one-segment", "off"): (False, False),
}


def negotiated(wire):
    return wire_features(guest.result(wire.start_guest(
        "--offloads", "all", "--timeout", 5)))


def wire_features(said):
    return [name for name in said["features"] if name in HOST + GUEST]


@cases("case", OFFERS)
@cases("mode", ("server", "client"))
def test_what_is_offered(t, case, mode):
    """Going by the option, and by the devices, which start after the guest's
    port here. A guest that comes again is offered the same."""
    device, option = case
    host, to_guest = OFFERS[case]
    options = f",mode={mode}" + (f",offloads={option}" if option else "")
    wire = Wire(t, "loop", guest_options=options, options=(
        ",one_segment=on,segs=1" if device == "one-segment" else ""))
    if mode == "server":
        wire.start()
        found = [negotiated(wire), negotiated(wire)]
    else:
        waiting = t.spawn(guest.command(
            t, "--socket", wire.socket, "--listen", "--offloads", "all",
            "--connect-timeout", TIMEOUT_S), "listener")
        wire.start()
        found = [wire_features(guest.result(waiting))]
    want = list(HOST * host + GUEST * to_guest)
    check(all(f == want for f in found), f"negotiated {found}, not {want}")
    wire.be.stop()


REFUSED = {
    "host_tso4": "VIRTIO_NET_F_HOST_TSO4 without CSUM",
    "csum,host_ecn": "VIRTIO_NET_F_HOST_ECN without HOST_TSO4 or HOST_TSO6",
    "csum,guest_tso6": "VIRTIO_NET_F_GUEST_TSO6 without GUEST_CSUM",
}


@cases("features", REFUSED)
def test_features_that_need_another(t, features):
    """They are refused, and the daemon's log says which."""
    wire = start(t, "null")
    said = guest.run_guest(t, "--socket", wire.socket, "--offloads", features,
                           may_fail=True)
    check(said["exit"] == 3, f"accepted: {said}")
    wire.be.process.wait_line(REFUSED[features], TIMEOUT_S,
                              stream=wire.be.process.err)
    send_one = guest.run_guest(t, "--socket", wire.socket, "--send", 1)
    check_end(send_one, 1, 0)
    wire.be.stop()


@cases("option", ("offloads=on", "offloads=auto"))
def test_a_device_of_one_segment(t, option):
    """Offloads that were offered all the same: each frame is copied, and goes
    out right."""
    wire = start(t, "loop", options=",one_segment=on,segs=1,echo=on",
                 guest_options="," + option)
    packets = Packets("tcp4", 120, 20000 if option.endswith("on") else 1000,
                      step=977, count=40)
    said = guest.result(wire.start_guest(
        *packets.arguments(), "--offloads", "all", "--verify", "--receive",
        packets.pieces, "--receive-stream", 1, "--rate", RATE, *SMALL_RING))
    check_end(said, packets.count, packets.pieces)
    pair = wire.be.settled_pair(wire.a, wire.up)
    if option.endswith("on"):
        check(pair.lent_frames == 0 and pair.supers_cut == packets.supers,
              f"{pair.data}")
    else:
        check(pair.checksums_made == 0, f"nothing to complete: {pair.data}")
    wire.be.stop()
