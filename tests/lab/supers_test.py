# SPDX-License-Identifier: BSD-2-Clause
"""Super-frames that are cut while their payload stays in guest memory: on the
virtio NIC of fragments_test.py each frame of the wire is a private header and
pages of the guest."""

import re

from lib.packets import Packets
from lib.proc import check, wait_for
from lib.scenario import cases

from lablib import hosts, tcp
from lablib.gate import TimerGate
from lablib.host import CONTROL
from lablib.load import SLOW, Ledger, Load, Slow, guest_port, patient
from lablib.mutation import NEW, OLD, REWRITE, REWRITE_TIMEOUT_S

COUNT = 60
MSS = 1400
# the last piece of each has 101 or 801 bytes of payload: it says which it is
SIZES, STEP = (167, 59666), 7700
# buffers of 64 KiB
MEMORY = ("--ring-size", 128, "--memory", 48, "--hugetlb")
LAYOUTS = {
    "one-piece": ("--unaligned",),
    "pieces": ("--descriptors", "1-17", "--header", "mixed", "--unaligned"),
}
# each is up to 43 frames of the wire
RATE = 40
LEAD = 5
WIRE_TIMEOUT_S = 90
HEADER_MAX_SHARE = 0.06
BOUNCED_MAX_SHARE = 0.02
# of the proof by mutation: all their pieces are in the ring of the NIC at once
WAITING, WAITING_PIECES, LEAST = 20, 8, 5

lab = hosts.taps


class SuperLoad(Load):
    """A guest's super-frames, and what came of them on the wire."""

    def __init__(self, lab, be, wire, packets, options, lead=LEAD):
        self.packets = packets
        super().__init__(lab, be, "a", "up", wire, packets.count,
                         (packets.sizes[0], packets.sizes[0]), OLD,
                         [*MEMORY, *packets.arguments(), "--offloads", "host",
                          "--rate", RATE, *options], lead=lead)

    def run_it(self):
        self.go()
        pieces = tcp.Pieces(self.packets, OLD)
        wait_for(lambda: len(pieces.of_this_guest(self.pcap)) >=
                 self.packets.pieces, WIRE_TIMEOUT_S, "all pieces on the wire")
        self.end()


def start(lab, ifname, options=""):
    be = lab.daemon([guest_port("a"), f"up=xdp:{ifname},bind=copy{options}"])
    check(be.port("up")["device_reads"] == "fragments", be.port("up"))
    return be


def check_frames(found, whole, partial):
    """Each byte for byte, once, in order; `partial`: the same frames, whose
    checksums the device has left to the tap. How many were left so."""
    check(len(found) == len(whole),
          f"{len(found)} frames on the wire, not {len(whole)}")
    for i, frame in enumerate(found):
        check(frame in (whole[i], partial[i]), f"frame {i} of the wire is\n"
              f"{frame[:80].hex()} ({len(frame)} bytes), not\n"
              f"{whole[i][:80].hex()} ({len(whole[i])} bytes)")
    return sum(frame == other for frame, other in zip(found, partial))


def check_ledger(load, after):
    """From when the device could be lent to: all."""
    ledger = Ledger(load.before, after)
    if set(SLOW) & set(ledger.copies):
        raise Slow(f"too slow for the daemon: {ledger.copies}")
    check(after.frames == load.packets.pieces and not ledger.drops and
          not ledger.loans_out, f"each piece is a frame: {after.data}")
    check(after.supers_cut == load.packets.supers, f"cut: {after.data}")
    bounced = ledger.copies.pop("pages", 0)
    check(bounced <= BOUNCED_MAX_SHARE * ledger.frames and
          not ledger.copies, f"{ledger}")
    check(ledger.kernel_copied_frames == ledger.kernel_copied_bytes == 0,
          f"{ledger}")
    headers = after.header_bytes_copied - load.before.header_bytes_copied
    check(headers == ledger.lent_frames * tcp.HEADER_BYTES,
          f"{headers} bytes of headers: {ledger}")
    share = headers / ledger.lent_bytes
    check(share < HEADER_MAX_SHARE, f"{share:.1%} of headers: {ledger}")
    load.lab.test.note(f"{ledger.lent_frames} of {ledger.frames} lent, "
                       f"{share:.1%} of headers, {bounced} in too many pieces")


@cases("checksum", ("software", "device"))
@cases("layout", LAYOUTS, quick=("pieces",))
@patient
def test_every_frame(lab, checksum, layout):
    packets = Packets("tcp4", *SIZES, step=STEP, count=COUNT, mss=MSS)
    be = start(lab, "nic", f",checksum={checksum}")
    load = SuperLoad(lab, be, "nic", packets, LAYOUTS[layout])
    load.run_it()
    after = be.settled_pair("a", "up")
    pieces = tcp.Pieces(packets, OLD)
    left = check_frames(pieces.of_this_guest(load.pcap), pieces.frames,
                        tcp.Pieces(packets, OLD, partial=True).frames)
    check(left == packets.pieces - after.checksums_made and
          (checksum == "device") == bool(left),
          f"{left} checksums were left to the tap: {after.data}")
    check_ledger(load, after)
    be.stop()


@patient
def test_device_reads_payload(lab):
    """The guest rewrites frames that were cut already: on the wire are the
    header as it was, with the sum of the old payload, and the new payload."""
    size = tcp.HEADER_BYTES + WAITING_PIECES * MSS
    packets = Packets("tcp4", size, size, count=WAITING, mss=MSS)
    be = start(lab, "late", ",checksum=software")
    gate = TimerGate(lab, "late")
    load = SuperLoad(lab, be, "late", packets,
                     ("--unaligned", "--rewrite", NEW), gate.LEAD)
    gate.shut()
    said = lab.run(REWRITE.format(gate=gate, guest=load.guest.name,
                                  control=CONTROL, count=WAITING,
                                  pid=load.guest.pid),
                   REWRITE_TIMEOUT_S).output
    load.end()
    count = int(re.search(r"^rewritten (\d+)$", said, re.M).group(1))
    if count < LEAST:
        raise Slow(f"only {count} super-frames waited to be rewritten")
    old, new = tcp.Pieces(packets, OLD), tcp.Pieces(packets, NEW)
    rewritten = [o[:tcp.HEADER_BYTES] + n
                 for o, n in zip(old.frames, new.payloads)]
    found = check_frames(old.of_this_guest(load.pcap), old.frames, rewritten)
    lab.test.note(f"{count} super-frames rewritten, {found} pieces came out so")
    check(found == count * WAITING_PIECES, f"{count} super-frames were "
          f"rewritten, and {found} pieces of them")
    be.stop()
