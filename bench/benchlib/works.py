# SPDX-License-Identifier: BSD-2-Clause
"""What is measured, and who takes part: two tables, and nothing else knows more.

A further row is a line of WORKS, a further contestant one of CONTESTANTS; a
further kind of back-end is for backends.py or peers.py, of what is behind it
for sinks.py, of load for loads.py; of measurement: a class like trial.Load.

    name     for --work, files and JSON
    title    for people
    trial    how it is measured
    against  {contestant: ratio that is wanted; None: no target}. These, and we,
             take part
    quick    is it in the short run too? (Without who takes long to start.)
    figure   the field of a sample that counts, and is compared
    unit     of it
    most     are wanted ratios, and the limit, what it may be at most?
    limit    what we want of the figure itself
    rounds   not more of them, where one takes long and says much
    curve    the plot that it is a point of, by size

  and of loads

    sink     what is behind the back-end: a word that sinks.py knows
    size     of the frames, Ethernet header included
    ring     arguments of the load generator: the kind of ring
    shape    how a frame lies in the guest's memory
    packet   what is in it, if not only a pattern. The check of bytes goes
             without: how a back-end writes a checksum that is not complete is
             its own affair
"""

import collections

from . import (backends, fair, loads, ovs, peers, rest, rings, slow_nic,
               stream, trial, virtio_user)

Work = collections.namedtuple(
    "Work", "name title trial against sink size ring shape packet quick "
    "figure unit most limit rounds curve",
    defaults=(None, 0, (), (), (), False, "rate", "frames/s", False, None,
              None, None))
Contestant = collections.namedtuple(
    "Contestant", "name title back_end words own_load slow",
    defaults=(False, False))

SPLIT = ("--ring", "split", "--ring-size", 1024)
# 64 MiB of frames would be more than any cache has
SPLIT_SHORT = ("--ring", "split", "--ring-size", 256)
PACKED = ("--ring", "packed", "--in-order", "--ring-size", 1024)

# one descriptor, header and frame together, as Linux sends what is linear
LINEAR = ("--descriptors", 1, "--indirect", "never")
SEGMENTS_6 = ("--descriptors", 6, "--indirect", "always")
# headers, and fragments behind them, as Linux sends TCP
FRAGMENTS = ("--descriptors", 4, "--indirect", "always", "--header", "own")
RAW = ()
SUPER = ("--packet", "tcp4", "--mss", 1448, "--offloads", "all")
SUPER_BYTES = 65536

# who is compared with the others
OURS = "guestwire"
NEVER, DPDK, ONE = "loan=never", "dpdk", "one guest"
BARE, FED = "af_xdp", "af_xdp fed"
PAIR, RINGS, HEADERS = "one pair", "rings only", "headers only"
APART = "two apart"
HEADERS_ONE = "headers of one"
OVS, QEMU = "ovs-dpdk", "qemu tap"
MANY_GUESTS = 64
FEW = 3
CURVE_SIZES = (64, 128, 256, 512, 1024)
# what the load generator reaches at most: no contestant
CEILED = "ceiling"

SENDING = trial.Load(loads.guest)
SECOND = trial.Load(virtio_user.Virtio_user)
PASSING = trial.Load(loads.passing, "received_per_second")
HERD = {"trial": trial.Load(loads.herd, fronts={
            who: MANY_GUESTS for who in (OURS, HEADERS, CEILED)}),
        "ring": SPLIT_SHORT, "figure": "cpu_ns", "unit": "ns", "most": True}

# one pair has been on both processors, as two are
SETUPS = {OURS: ("1:2:2",), PAIR: ("1:1:1@0", "1:1:1@1"),
          APART: ("1:1:1+1:1:1",)}
SPLIT_FLOOR = rings.Floor({OURS: ("--own",), RINGS: (), PAIR: None})
PACKED_FLOOR = rings.Floor({OURS: ("--own", "--packed"),
                            RINGS: ("--packed",)})

LOAD = Work(None, None, SENDING, {}, "null", 0, SPLIT, LINEAR, RAW)
SUPERS = {"size": SUPER_BYTES, "ring": SPLIT_SHORT, "shape": FRAGMENTS,
          "packet": SUPER}


def load(name, title, sink, against, **more):
    return LOAD._replace(name=name, title=title, sink=sink, against=against,
                         **more)


def other(name, title, trial_, unit, limit=None, most=False, against=None,
          **more):
    """No load, but an amount."""
    return Work(name, title, trial_, against or {}, unit=unit, limit=limit,
                most=most, figure="amount", **more)


def curve(sink, what):
    """From what size on lending pays, on one sink."""
    return tuple(
        load(f"break-{sink}-{size}", f"lent or copied, {what}, {size} B", sink,
             {NEVER: None}, size=size, curve=f"break-{sink}",
             rounds=FEW)
        for size in CURVE_SIZES)


WORKS = (
    load("null-64", "guest to null, 64 B", "null",
         {NEVER: None, HEADERS: None, DPDK: 1.2, OVS: None}, size=64),
    load("null-256", "guest to null, 256 B", "null",
         {NEVER: None, HEADERS: None, DPDK: 1.3}, size=256),
    load("null-1518", "guest to null, 1518 B", "null",
         {NEVER: 1.5, HEADERS: None, DPDK: 2, OVS: None}, size=1518,
         quick=True),
    load("null-9000", "guest to null, 9000 B in 6 segments", "null",
         {NEVER: 3, HEADERS: None, DPDK: 4, OVS: None}, size=9000,
         shape=SEGMENTS_6),
    load("null-64k", "guest to null, 64 KiB super-frame", "null",
         {NEVER: 10, HEADERS: None, DPDK: 20}, **SUPERS, quick=True),

    load("packed-64", "guest to null, packed in-order, 64 B", "null",
         {NEVER: None, DPDK: 1.0}, size=64, ring=PACKED),
    load("packed-1518", "guest to null, packed in-order, 1518 B", "null",
         {NEVER: None, DPDK: 1.5}, size=1518, ring=PACKED),
    load("packed-9000", "guest to null, packed in-order, 9000 B in 6 segments",
         "null", {NEVER: None, DPDK: 4}, size=9000, ring=PACKED,
         shape=SEGMENTS_6),

    load("read-1518", "guest to a sink that reads, 1518 B", "read",
         {NEVER: None, DPDK: 1.3}, size=1518),
    load("read-9000", "guest to a sink that reads, 9000 B in 6 segments",
         "read", {NEVER: None, DPDK: 1.6}, size=9000, shape=SEGMENTS_6),
    load("read-64k", "guest to a sink that reads, 64 KiB super-frame", "read",
         {NEVER: None, DPDK: 1.8}, **SUPERS),

    load("veth-64", "guest to xdp on veth, 64 B", "veth",
         {NEVER: None, DPDK: 1.0, BARE: 0.9, FED: None}, size=64),
    load("veth-1500", "guest to xdp on veth, 1500 B", "veth",
         {NEVER: None, DPDK: 1.05, BARE: 0.93, FED: None, OVS: None},
         size=1500, quick=True),
    load("veth-9000", "guest to xdp on veth, 9000 B", "veth",
         {NEVER: None, DPDK: None, BARE: 0.95, FED: None}, size=9000,
         shape=FRAGMENTS),

    load("pass-64", "guest to guest, 64 B", "guests",
         {DPDK: 1.0, OVS: None}, size=64, trial=PASSING),
    load("pass-1518", "guest to guest, 1518 B", "guests",
         {DPDK: 1.6, OVS: None}, size=1518, trial=PASSING, quick=True),
    load("pass-64k", "guest to guest, 64 KiB super-frame", "guests",
         {DPDK: 1.8, OVS: None}, **SUPERS, trial=PASSING),

    load("herd-64", f"{MANY_GUESTS} guests to null, 64 B, for each frame",
         "null", {ONE: 1.3, HEADERS: None, HEADERS_ONE: None}, **HERD, size=64),
    load("herd-1518", f"{MANY_GUESTS} guests to null, 1518 B, for each frame",
         "null", {ONE: 1.3, HEADERS: None, HEADERS_ONE: None}, **HERD,
         size=1518),

    load("virtio-user-64", "virtio-user to null, 64 B", "null",
         {DPDK: None}, size=64, trial=SECOND, rounds=FEW),
    load("virtio-user-1518", "virtio-user to null, 1518 B", "null",
         {DPDK: None}, size=1518, trial=SECOND, rounds=FEW),
    load("virtio-user-packed-1518", "virtio-user to null, packed in-order, "
         "1518 B", "null", {DPDK: None}, size=1518, ring=PACKED,
         trial=SECOND, rounds=FEW),

    other("spread", "two queue pairs on two workers, 64 B, for each second of "
          "a worker", rings.Spread(SETUPS, "own_rate"), "frames/s",
          against={PAIR: 1.8, APART: None}, quick=True),
    other("spread-clock", "two queue pairs on two workers, 64 B, by the clock",
          rings.Spread(SETUPS, "clock_rate"), "frames/s",
          against={PAIR: None, APART: None}),
    other("ring-split", "our code of a split ring alone, for each frame",
          SPLIT_FLOOR, "ns", most=True, against={RINGS: None, PAIR: None},
          quick=True),
    other("ring-packed", "our code of a packed ring alone, for each frame",
          PACKED_FLOOR, "ns", most=True, against={RINGS: None}),

    other("fair-shaped", "rate that others keep beside a shaped interface",
          fair.Fair("shaped"), "%", 95, against={OVS: None}, quick=True),
    other("fair-holding", "rate that others keep beside a device that holds",
          fair.Fair("holding"), "%", 95),
    other("fair-nic", "rate that others keep beside a slow NIC (emulated)",
          slow_nic.Slow_nic(), "%", 95, rounds=FEW),
    other("idle", f"{rest.GUESTS} guests that do nothing", rest.Idle(),
          "% of a core", 0.5, most=True, against={DPDK: None}, rounds=FEW),
    other("memory", "memory of its own, with one guest", rest.Memory(),
          "MiB", 13, most=True, against={DPDK: None}, rounds=FEW),
    other("memory-guest", "memory for each further guest", rest.Further(),
          "MiB", 1, most=True, against={DPDK: None}, rounds=FEW),
    other("tcp-from", "QEMU guest sends TCP to a tap, for each KiB",
          stream.Tcp(stream.FROM_GUEST), "ns", most=True, against={QEMU: 0.7},
          rounds=FEW),
    other("tcp-to", "QEMU guest receives TCP from a tap, for each KiB",
          stream.Tcp(stream.TO_GUEST), "ns", most=True, against={QEMU: 0.7},
          rounds=FEW),
    other("tcp-from-loop", "QEMU guest sends TCP to a tap, QEMU's part of it, "
          "for each KiB", stream.Loop(stream.FROM_GUEST), "ns", most=True,
          against={QEMU: None}, rounds=FEW),
    other("tcp-to-loop", "QEMU guest receives TCP from a tap, QEMU's part of "
          "it, for each KiB", stream.Loop(stream.TO_GUEST), "ns", most=True,
          against={QEMU: None}, rounds=FEW),
    other("wake", "QEMU guest answers a ping after 50 ms of nothing, p99",
          stream.Wake(), "us", most=True, against={QEMU: 1.5}, rounds=FEW),

    *curve("read", "a sink that reads"),
    *curve("loop", "a simulated device that holds frames"),
    *curve("veth", "xdp on veth"),
)

CONTESTANTS = (
    Contestant(OURS, "Guestwire", backends.Guestwire, ""),
    Contestant(NEVER, "Guestwire that copies every frame",
               backends.Guestwire, ",loan=never"),
    Contestant(ONE, "Guestwire with one guest", backends.Guestwire, ""),
    Contestant(PAIR, "Guestwire with one queue pair on one worker, to null",
               None, ""),
    Contestant(APART, "two of one queue pair on one worker, at the same time, "
               "that share nothing", None, ""),
    Contestant(RINGS, "a ring consumer that does nothing, in the thread of who "
               "fills the ring", None, ""),
    Contestant(DPDK, "DPDK testpmd, net_vhost", peers.Testpmd, ""),
    Contestant(OVS, "Open vSwitch with DPDK, one rule", ovs.Ovs, "",
               slow=True),
    Contestant(QEMU, "QEMU's own tap back-end", stream.Qemu_tap, ""),
    Contestant(HEADERS, "a ring consumer that reads descriptors and headers, "
               "and does nothing else", backends.Ring_sink, "--read"),
    Contestant(HEADERS_ONE, "the same with one guest", backends.Ring_sink,
               "--read"),
    Contestant(BARE, "a bare AF_XDP sender, without a guest",
               peers.Xsk_send, "", own_load=True),
    Contestant(FED, "the same, with frames laid out as a guest's, that another "
               "processor makes available", peers.Xsk_send, "--fed",
               own_load=True),
)
CEILING = Contestant(CEILED, "a ring consumer that does nothing",
                     backends.Ring_sink, "")
