# SPDX-License-Identifier: BSD-2-Clause
"""DPDK's virtio-user as a guest: testpmd, which sends back what it receives.

    pmd = Testpmd(t, socket, {"packed_vq": 1})
    pmd.say("start")
    ...
    said = pmd.finish()         # what it wrote, after an orderly end

It takes no hugepages: without them DPDK's memory is one memfd, which is what a
back-end needs. Its lcore polls, on any processor that we may use. Commands are
read when it is ready for them, and what it says comes at its end: the ledger
of the daemon is what a test waits for.
"""

import os
import re

from .proc import Failure, check

TOOL, PACKAGE = "dpdk-testpmd", "dpdk-dev"
MEMORY_MIB = 128
RING_SIZE = 1024
MBUFS = 8192
END_TIMEOUT_S = 30
FEATURES = re.compile(r"features after negotiate = ([0-9a-f]+)")
QUEUE = re.compile(r"TX Port= 0/Queue= *(\d+) .*?\n +RX-packets: (\d+) +"
                   r"TX-packets: (\d+)", re.S)
TOTAL = re.compile(r"TX-packets: \d+ +TX-dropped: (\d+) +TX-total: (\d+)")

# RTE_ETH_TX_OFFLOAD_MULTI_SEGS
MULTI_SEGMENTS = ("--tx-offloads=0x8000", "--enable-scatter")

# bits of VIRTIO 1.2 section 6 and 5.1.3 that tell the cells apart
BITS = {"mrg_rxbuf": 15, "net_mq": 22, "indirect_desc": 28, "event_idx": 29,
        "version_1": 32, "ring_packed": 34, "in_order": 35}


def names(features):
    """The names in a word of feature bits."""
    return {name for name, bit in BITS.items() if features >> bit & 1}


class Testpmd:
    def __init__(self, test, path, device, queues=1, forward="macswap",
                 options=()):
        """device: words of the virtio-user device; options: of testpmd."""
        test.need_tool(TOOL, PACKAGE)
        cpus = "(" + ",".join(map(str, os.sched_getaffinity(0))) + ")"
        words = {"path": path, "queues": queues, "queue_size": RING_SIZE,
                 "cq": int(queues > 1), **device}
        vdev = ",".join(f"{k}={v}" for k, v in words.items())
        self.process = test.spawn(
            [TOOL, "--lcores", f"0@{cpus},1@{cpus}", "--no-pci", "--no-huge",
             "-m", MEMORY_MIB, "--no-shconf", "--no-telemetry",
             "--iova-mode=va", "--log-level=pmd.net.virtio.init:debug",
             "--vdev", f"net_virtio_user0,{vdev}", "--", "-i",
             f"--forward-mode={forward}", "--port-topology=loop",
             f"--total-num-mbufs={MBUFS}", f"--rxq={queues}",
             f"--txq={queues}", f"--rxd={RING_SIZE}", f"--txd={RING_SIZE}",
             *options], "testpmd")

    def say(self, *commands):
        self.process.check_alive()
        stdin = self.process.process.stdin
        stdin.write("".join(c + "\n" for c in commands).encode())
        stdin.flush()

    def finish(self):
        """Stop forwarding, end, and return all that it said."""
        self.say("stop", "quit")
        status = self.process.wait(END_TIMEOUT_S)
        text = self.process.out.text()
        check(status == 0, f"testpmd exits with {status}:\n{text}\n"
              f"{self.process.err.tail()}")
        return text

    def features(self):
        """Names of the features that were negotiated, of those in BITS."""
        match = FEATURES.search(self.process.err.text() + "\n" +
                                self.process.out.text())
        if not match:
            raise Failure(f"testpmd names no features:\n"
                          f"{self.process.err.tail()}")
        return names(int(match.group(1), 16))


def queues_used(text):
    """{queue: frames sent} of what testpmd says at the end of forwarding."""
    return {int(q): int(tx) for q, _, tx in QUEUE.findall(text)}


def sent(text):
    """(frames sent, frames dropped) in all."""
    dropped, total = TOTAL.findall(text)[-1]
    return int(total) - int(dropped), int(dropped)
