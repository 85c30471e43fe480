# SPDX-License-Identifier: BSD-2-Clause
"""What is measured, and who takes part: two tables, and nothing else knows more.

A further row is a line of WORKS, a further contestant one of CONTESTANTS; a
further kind of back-end, or of what is behind it, is for backends.py.

    name     for --work, files and JSON
    title    for people
    sink     what is behind the back-end: a word that backends.py knows
    size     of the frames, Ethernet header included
    ring     arguments of the load generator: the kind of ring
    shape    how a frame lies in the guest's memory
    packet   what is in it, if not only a pattern. The check of bytes goes
             without: how a back-end writes a checksum that is not complete is
             its own affair
    against  {contestant: ratio that is wanted, at least; None: no target}
    quick    is it in the short run too?
"""

import collections

from . import backends

Work = collections.namedtuple(
    "Work", "name title sink size ring shape packet against quick",
    defaults=(False,))
Contestant = collections.namedtuple("Contestant", "name title back_end words")

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

WORKS = (
    Work("null-64", "guest to null, 64 B", "null", 64, SPLIT, LINEAR, RAW,
         {"loan=never": None, "dpdk": 1.2}, True),
    Work("null-256", "guest to null, 256 B", "null", 256, SPLIT, LINEAR, RAW,
         {"loan=never": None, "dpdk": 1.3}),
    Work("null-1518", "guest to null, 1518 B", "null", 1518, SPLIT,
         LINEAR, RAW, {"loan=never": 1.5, "dpdk": 2}, True),
    Work("null-9000", "guest to null, 9000 B in 6 segments", "null", 9000,
         SPLIT, SEGMENTS_6, RAW, {"loan=never": 3, "dpdk": 4}, True),
    Work("null-64k", "guest to null, 64 KiB super-frame", "null", SUPER_BYTES,
         SPLIT_SHORT, FRAGMENTS, SUPER, {"loan=never": 10, "dpdk": 20},
         True),
    Work("packed-64", "guest to null, packed in-order, 64 B", "null", 64,
         PACKED, LINEAR, RAW, {"dpdk": 1.0}),
    Work("packed-1518", "guest to null, packed in-order, 1518 B", "null",
         1518, PACKED, LINEAR, RAW, {"dpdk": 1.5}, True),
    Work("packed-9000", "guest to null, packed in-order, 9000 B in 6 segments",
         "null", 9000, PACKED, SEGMENTS_6, RAW, {"dpdk": 4}),
)

# who is compared with the others
OURS = "guestwire"
CONTESTANTS = (
    Contestant(OURS, "Guestwire", backends.Guestwire, ""),
    Contestant("loan=never", "Guestwire that copies every frame",
               backends.Guestwire, ",loan=never"),
    Contestant("dpdk", "DPDK testpmd, net_vhost", backends.Testpmd, ""),
)
# what the load generator reaches at most: no contestant
CEILING = Contestant("ceiling", "a ring consumer that does nothing",
                     backends.RingSink, "")
