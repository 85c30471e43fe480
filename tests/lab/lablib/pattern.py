# SPDX-License-Identifier: BSD-2-Clause
"""The built-in guest's frames, as apps/guestwire-guest/pattern.h describes
them: made here once more, byte by byte, to be compared with the wire.

Only frames that are long enough to say all about themselves (38 bytes).
"""

import struct

MASK = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15
MAGIC = 0x47575054
ETHERTYPE = 0x88B5
ETH_BYTES = 14
FULL_MIN_BYTES = 38
PADDED_BYTES = 60
SOURCE = struct.Struct(">BBI")
SOURCE_PREFIX = (0x52, 0x57)
BROADCAST = b"\xff" * 6
HEADER = struct.Struct(">IIQII")


def _mix(a, b):
    z = (a * 0xD1342543DE82EF95 + b + STEP) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def _fill(seed, size):
    count = (size + 7) // 8
    words = []
    x = seed
    for _ in range(count):
        x = (x + STEP) & MASK
        words.append(x ^ x >> 29)
    return struct.pack(f"<{count}Q", *words)[:size]


def payload(stream, sequence, size):
    """All of a frame of `size` bytes that follows the Ethernet header."""
    check = _mix(stream, sequence ^ size << 32) & 0xFFFFFFFF
    head = HEADER.pack(MAGIC, stream, sequence, size, check)
    return head + _fill(_mix(stream, sequence), size - FULL_MIN_BYTES)


def frame(stream, sequence, size):
    """A broadcast frame, as a guest would send it."""
    return (BROADCAST + SOURCE.pack(*SOURCE_PREFIX, stream) +
            ETHERTYPE.to_bytes(2, "big") + payload(stream, sequence, size))


def is_ours(data):
    return (len(data) >= FULL_MIN_BYTES and
            data[12:14] == ETHERTYPE.to_bytes(2, "big"))


def stream_of(data):
    """As the frame says, without a look at the rest; None if it is not ours."""
    return HEADER.unpack_from(data, ETH_BYTES)[1] if is_ours(data) else None


class Frame:
    """What a frame on the wire says of itself, and whether that is true."""

    def __init__(self, data):
        self.source = data[6:12]
        _, self.stream, self.sequence, self.size, _ = HEADER.unpack_from(
            data, ETH_BYTES)
        self.intact = self.size >= FULL_MIN_BYTES and \
            data[ETH_BYTES:] == self._made(len(data))

    def _made(self, size):
        if self.size > size:
            return None
        padding = max(PADDED_BYTES - self.size, 0) if size > self.size else 0
        return payload(self.stream, self.sequence, self.size) + bytes(padding)

    def source_ok(self):
        """The address that a guest has which was given none."""
        return self.source == SOURCE.pack(*SOURCE_PREFIX, self.stream)
