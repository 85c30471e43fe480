# SPDX-License-Identifier: BSD-2-Clause
"""A load that is not ours (loads.py has what a load is)."""

import os
import time

from lib import hugepages, testpmd
from lib.proc import check, wait_for

from . import peers
from .backends import START_TIMEOUT_S
from .loads import END_TIMEOUT_S, ring_size

BUFFER_BYTES, PIECE_BYTES = 2048, 1500
LOOKS = 8

def pieces(size):
    """How testpmd is to lay it, which has buffers of 2 KiB."""
    whole, rest = divmod(size, PIECE_BYTES)
    if size < BUFFER_BYTES:
        return str(size)
    return ",".join([str(PIECE_BYTES)] * whole + [str(rest)] * bool(rest))


class Virtio_user:
    """DPDK's virtio-user, which sends what testpmd makes: a second opinion.

    It has rings, memory and code that are nobody's here. What it reports is what
    it put into the ring, and after its end all of that has to have arrived.
    """

    MEMORY_MIB, START_S = 512, 2.5
    PACKED = ",packed_vq=1,in_order=1,mrg_rxbuf=1"

    def __init__(self, bench, t, back_end, work):
        t.need_tool(peers.Testpmd.TOOL, peers.Testpmd.PACKAGE)
        hugepages.reserve(t, self.MEMORY_MIB)
        self.bench, self.size = bench, work.size
        prefix = f"gwload{os.getpid()}"
        self.telemetry = peers.Telemetry(t, prefix)
        words = f"queues=1,queue_size={ring_size(work)}" + \
            (self.PACKED if "packed" in work.ring else "")
        cpu = bench.guest_cpu
        self.process = t.spawn(
            [peers.Testpmd.TOOL, "--lcores", f"0@{cpu},1@{cpu}",
             "--file-prefix", prefix, "--no-pci", "--in-memory", "-m",
             self.MEMORY_MIB, "--single-file-segments", "--iova-mode=va",
             "--vdev", f"net_virtio_user0,path={back_end.sockets[0]},{words}",
             "--", "-i", f"--txd={ring_size(work)}", f"--rxd={ring_size(work)}",
             f"--txpkts={pieces(work.size)}", "--forward-mode=txonly"],
            "load")
        wait_for(self._is_up, START_TIMEOUT_S, "testpmd to answer")
        self.began = self.ended = self.begin = None
        self.lately = []

    def _is_up(self):
        self.process.check_alive()
        return self.telemetry.connected()

    @property
    def pid(self):
        return self.process.pid

    def _say(self, *commands):
        stdin = self.process.process.stdin
        stdin.write("".join(c + "\n" for c in commands).encode())
        stdin.flush()

    def _sent(self):
        return self.telemetry.stats(0)["opackets"]

    def go(self):
        self._say("start")
        self.begin = time.monotonic()

    def alive(self):
        now = time.monotonic()
        if self.began is None and now > self.begin + self.bench.warm_up_s:
            self.began = (now, self._sent())
        if self.began is None or now < self.began[0] + self.bench.seconds:
            return True
        self.ended = (now, self._sent())
        self._say("stop")
        wait_for(self._is_still, END_TIMEOUT_S, "virtio-user to stop")
        return False

    def _is_still(self):
        """And what is in the ring has had time to leave it."""
        self.lately = [*self.lately[1 - LOOKS:], self._sent()]
        return len(self.lately) == LOOKS and len(set(self.lately)) == 1

    def said(self):
        self._say("quit")
        status = self.process.wait(END_TIMEOUT_S)
        text = self.process.out.text()
        check(status == 0, f"testpmd exits with {status}:\n{text}\n"
              f"{self.process.err.tail()}")
        frames, _ = testpmd.sent(text)
        seconds = self.ended[0] - self.began[0]
        rate = (self.ended[1] - self.began[1]) / seconds
        return {"sent": frames, "sent_bytes": frames * self.size,
                "steady": {"completed_per_second": rate}}
