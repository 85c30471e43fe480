# SPDX-License-Identifier: BSD-2-Clause
"""Packets of the built-in guest: what it is told to send, and what that makes.

    packets = Packets("tcp4", 100, 60000, step=7919, count=100)
    packets.arguments()     # for guestwire-guest
    packets.pieces          # frames of the wire that they become

A frame with more payload than `mss` is a super-frame; each piece of it has a
sequence number of its own, so that a receiver counts pieces, cut or not.
"""

ETHERNET_BYTES, TAG_BYTES = 14, 4
# IP header, and one extra header
IP_BYTES = {"4": (20, 4), "6": (40, 8)}
TRANSPORT_BYTES = {"tcp": 32, "udp": 8}
KINDS = ("tcp4", "tcp6", "udp4", "udp6")
# the CWR flag is set in frames whose first sequence number has this bit
CWR_BIT = 4


class Packets:
    """`count` of them, of low, low + step, low + 2 * step ... bytes."""

    def __init__(self, kind, low, high, step=1, count=100, mss=1400, tags=0,
                 extra=0):
        self.kind, self.count, self.mss = kind, count, mss
        ip, more = IP_BYTES[kind[3]]
        self.header = ETHERNET_BYTES + tags * TAG_BYTES + ip + extra * more \
            + TRANSPORT_BYTES[kind[:3]]
        self.sizes = [low + n * step % (high - low + 1) for n in range(count)]
        self._arguments = [
            "--packet", kind, "--send", count, "--size", f"{low}-{high}",
            "--size-step", step, "--mss", mss, "--vlan-tags", tags,
            "--extra-headers", extra]

    def arguments(self):
        return list(self._arguments)

    def _pieces_of(self, size):
        return max(-(-(size - self.header) // self.mss), 1)

    @property
    def bytes(self):
        return sum(self.sizes)

    @property
    def pieces(self):
        return sum(self._pieces_of(size) for size in self.sizes)

    @property
    def supers(self):
        return sum(self._pieces_of(size) > 1 for size in self.sizes)

    @property
    def pieces_of_supers(self):
        return sum(self._pieces_of(size) for size in self.sizes
                   if self._pieces_of(size) > 1)

    @property
    def wire_bytes(self):
        """When all are cut."""
        return self.bytes + (self.pieces - self.count) * self.header

    def supers_with_cwr(self):
        """How many super-frames of TCP have the CWR flag."""
        first = found = 0
        for size in self.sizes:
            found += self._pieces_of(size) > 1 and bool(first & CWR_BIT)
            first += self._pieces_of(size)
        return found if self.kind.startswith("tcp") else 0
