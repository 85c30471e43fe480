# SPDX-License-Identifier: BSD-2-Clause
"""What the built-in guest's TCP super-frames become on the wire: made here once
more, as apps/guestwire-guest/guest_packet.h describes them, and cut.

    wire = Pieces(Packets("tcp4", 200, 60000, mss=1400), stream=1)
    wire.frames             # each with its headers and checksums
"""

import struct

from . import pattern

BROADCAST = b"\xff" * 6
ETHERTYPE_IPV4 = b"\x08\x00"
ETH_BYTES, IP_BYTES, TCP_BYTES = 14, 20, 32
HEADER_BYTES = ETH_BYTES + IP_BYTES + TCP_BYTES
IP = struct.Struct(">BBHHHBBH4s4s")
TCP = struct.Struct(">HHIIBBHHH4sII")
IP_CHECK, TCP_CHECK = 10, 16
VERSION_AND_LENGTH, TOS, DONT_FRAGMENT = 0x45, 0x02, 0x4000
TTL, PROTOCOL = 61, 6
PORT = 18263
OPTIONS = bytes((1, 1, 8, 10))
FIN, PSH, ACK, ECE, CWR = 0x01, 0x08, 0x10, 0x40, 0x80
# which flags a frame has goes by bits of its first sequence number
FLAG_BITS = {1: PSH, 2: FIN, 4: CWR, 8: ECE}
LAST_ONLY, FIRST_ONLY = FIN | PSH, CWR


def total(data, start=0):
    """The Internet checksum's sum (RFC 1071), not yet inverted."""
    data += bytes(len(data) % 2)
    result = start + sum(struct.unpack(f">{len(data) // 2}H", data))
    while result >> 16:
        result = (result & 0xFFFF) + (result >> 16)
    return result


def _put(data, at, number):
    return data[:at] + struct.pack(">H", number) + data[at + 2:]


def payload(stream, sequence, size):
    return pattern.payload(stream, sequence, size + ETH_BYTES)


class Pieces:
    """Of all super-frames of one guest, in their order.

    partial: the checksum was left to the device, which has left it to the
    tap: it is the pseudo header's sum.
    """

    def __init__(self, packets, stream, partial=False):
        self.mss, self.stream, self.partial = packets.mss, stream, partial
        self.source = pattern.SOURCE.pack(*pattern.SOURCE_PREFIX, stream)
        self.frames = []
        self.payloads = []
        for size in packets.sizes:
            self._cut(size - HEADER_BYTES)

    def _cut(self, size):
        first = len(self.frames)
        flags = ACK | sum(f for bit, f in FLAG_BITS.items() if first & bit)
        for at in range(0, size, self.mss):
            part = min(self.mss, size - at)
            now = flags
            if at:
                now &= ~FIRST_ONLY
            if at + part < size:
                now &= ~LAST_ONLY
            body = payload(self.stream, len(self.frames), part)
            self.payloads.append(body)
            self.frames.append(self._frame(first, size, flags, at, now, body))

    def _frame(self, first, size, sent_flags, at, flags, body):
        number = len(self.frames)
        ends = b"\x0a" + self.source[3:], b"\x0a" + BROADCAST[3:]
        ip = IP.pack(VERSION_AND_LENGTH, TOS,
                     IP_BYTES + TCP_BYTES + len(body), number & 0xFFFF,
                     DONT_FRAGMENT, TTL, PROTOCOL, 0, *ends)
        start = (first * 0x9E3779B1 & 0xFFFFFFFF) | 0xFFF00000
        tcp = TCP.pack(PORT, PORT, (start + at) & 0xFFFFFFFF,
                       first & 0xFFFFFFFF, TCP_BYTES // 4 << 4, flags, self.mss,
                       0, sent_flags, OPTIONS, size, self.stream)
        sum_ = total(b"".join(ends), PROTOCOL + TCP_BYTES + len(body))
        if not self.partial:
            sum_ = total(tcp + body, sum_) ^ 0xFFFF
        return (BROADCAST + self.source + ETHERTYPE_IPV4 +
                _put(ip, IP_CHECK, total(ip) ^ 0xFFFF) +
                _put(tcp, TCP_CHECK, sum_) + body)

    def of_this_guest(self, pcap):
        """Its packets that came out."""
        return [f for f in pcap.frames()
                if f[6:14] == self.source + ETHERTYPE_IPV4]
