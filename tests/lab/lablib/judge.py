# SPDX-License-Identifier: BSD-2-Clause
"""What came out on the wire: is it what the guest made?"""

from lib.proc import check, wait_for

from . import pattern

WIRE_TIMEOUT_S = 90


def frames_of(pcap, streams):
    """The frames of these streams, in the order of the wire. A frame of ours
    that is damaged fails here: its stream may be what is wrong with it."""
    found = []
    for data in pcap.frames():
        if not pattern.is_ours(data):
            continue
        frame = pattern.Frame(data)
        check(frame.intact, f"damaged on the wire: {data[:64].hex()}... "
              f"({len(data)} bytes)")
        if frame.stream in streams:
            found.append(frame)
    return found


def wait_streams(pcap, streams, count, timeout_s=WIRE_TIMEOUT_S):
    """Until so many frames that say they are of these streams have come."""
    wait_for(lambda: sum(pattern.stream_of(d) in streams
                         for d in pcap.frames()) >= count,
             timeout_s, f"{count} frames of {streams} on the wire")


def check_stream(pcap, stream, sizes, count):
    """`count` frames of one guest, each bit for bit, once, and in order.

    sizes: the range that the guest sweeps, from its first frame on.
    """
    frames = frames_of(pcap, {stream})
    check(len(frames) == count,
          f"stream {stream}: {len(frames)} frames on the wire, not {count}; "
          f"missing {missing(frames, count)}")
    low, high = sizes
    for i, frame in enumerate(frames):
        check(frame.source_ok(), f"stream {stream}: frame {i} has a source "
              "address that is not the guest's")
        check(frame.sequence == i,
              f"stream {stream}: frame {frame.sequence} is {i}th on the wire")
        size = low + i % (high - low + 1)
        check(frame.size == size,
              f"stream {stream}: frame {i} has {frame.size} bytes, not {size}")


def missing(frames, count):
    """Of the frames 0 to count - 1, the first that are not there."""
    return sorted(set(range(count)) - {f.sequence for f in frames})[:10]
