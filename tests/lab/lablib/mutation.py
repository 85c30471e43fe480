# SPDX-License-Identifier: BSD-2-Clause
"""Whose bytes go out? The guest sends A, and writes B over it before the device
has fetched it. A device that reads guest memory sends B; whoever copied in
between sends A.
"""

import re

from lib.proc import check

from . import judge
from .host import CONTROL
from .load import Load, Slow, patient

OLD, NEW = 1, 2
# fewer than a NIC's ring has room for: all are handed to it before it is let go,
# and a kernel that copies has copied all of them
FRAMES = 150
# not short: those are copied because that is cheaper
SIZES = (1300, 1514)
LEAST = 20

# the guest submits, and the daemon has handed on all of it; then it rewrites
REWRITE = """
cd /tmp/run
{gate.shut_script}
echo go >{guest}.in
until guestwire --control {control} show --json |
	grep -qE '"rx_frames": *{count}[,}}]'; do :; done
kill -USR1 {pid}
until grep '^rewritten ' {guest}.err; do usleep 2000; done
{gate.open_script}
"""
REWRITE_TIMEOUT_S = 60


def attempt(lab, be, gate, wire, options):
    load = Load(lab, be, "a", "up", wire, FRAMES, SIZES, OLD,
                [*options, "--rewrite", NEW], lead=gate.LEAD)
    gate.shut()
    said = lab.run(REWRITE.format(gate=gate, guest=load.guest.name,
                                  control=CONTROL, count=FRAMES,
                                  pid=load.guest.pid),
                   REWRITE_TIMEOUT_S).output
    load.end()
    count = int(re.search(r"^rewritten (\d+)$", said, re.M).group(1))
    if count < LEAST:
        raise Slow(f"only {count} frames waited to be rewritten")
    return count, new_frames(load.pcap)


def new_frames(pcap):
    """The guest has all its buffers back: what came out is all there is."""
    frames = judge.frames_of(pcap, {OLD, NEW})
    sequence = [f.sequence for f in frames]
    # a device so slow may have lost one when the guest's memory was mapped
    check(sequence == sorted(set(sequence)) and sequence[-1] == FRAMES - 1,
          f"each frame once, and in order: {sequence}")
    return [f.sequence for f in frames if f.stream == NEW]


def run(lab, start, gate, wire, options):
    """(frames rewritten, those that came out as they were then)."""
    be = start()
    count, new = attempt(lab, be, gate, wire, options)
    be.stop()
    lab.test.note(f"{count} frames rewritten, {len(new)} came out so")
    return count, new


@patient
def check_device_reads_guest(lab, start, gate, wire, options=()):
    count, new = run(lab, start, gate, wire, options)
    check(len(new) == count, f"{count} frames were rewritten, {len(new)} came "
          f"out as they were then: {new}")


@patient
def check_somebody_copies(lab, start, gate, wire, options=()):
    _, new = run(lab, start, gate, wire, options)
    check(not new, f"fetched after they were copied? {new}")
