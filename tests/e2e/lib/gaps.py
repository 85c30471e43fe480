# SPDX-License-Identifier: BSD-2-Clause
"""For how long does nothing come out of a wire?

    gaps = Gaps(t, far_ns, "far")
    ...
    check(gaps.longest_s < 1)
"""

import socket
import struct
import threading

ETHERTYPE = 0x88b5
# the kernel says when a frame came; we may be late (asm-generic/socket.h)
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@ll")


class Gaps:
    """When frames came to an interface: the longest time without one.

    source: only frames of this MAC address count.
    """

    def __init__(self, t, ns, interface, source=None):
        self.source = source and bytes.fromhex(source.replace(":", ""))
        with ns.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                        socket.htons(ETHERTYPE))
            self.socket.bind((interface, ETHERTYPE))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.settimeout(0.2)
        self.longest_s, self.frames, self.ended = 0.0, 0, False
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        t.on_exit(self.end)

    def _watch(self):
        last = None
        while not self.ended:
            try:
                head, said, _, _ = self.socket.recvmsg(
                    64, socket.CMSG_SPACE(TIMESPEC.size))
            except TimeoutError:
                continue
            if self.source and head[6:12] != self.source:
                continue
            seconds, ns = TIMESPEC.unpack(said[0][2])
            now = seconds + ns / 1e9
            if last:
                self.longest_s = max(self.longest_s, now - last)
            last = now
            self.frames += 1

    def reset(self):
        self.longest_s = 0.0

    def end(self):
        if not self.ended:
            self.ended = True
            self.thread.join()
            self.socket.close()
