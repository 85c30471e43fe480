# SPDX-License-Identifier: BSD-2-Clause
"""What every NIC must show that is said to read guest memory by itself."""

from lib.proc import check

from . import mutation
from .ktrace import Counter
from .load import Load, guest_port, patient

FRAMES = 10000
SIZES = (60, 1514)
# how guests lay their frames, and whether each of them is in one piece for
# a device that takes one address: 2 MiB pages are, 4 KiB pages need not be
MEMORY = {
    "hugetlb": ("--hugetlb", "--unaligned"),
    "4k": ("--unaligned",),
    "4k-cross-page": ("--unaligned", "--cross-page", "--memory", 64),
}


COUNTED = 2000
COUNTED_SIZES = (300, 1514)
# what the kernel calls to make room for a copy of a frame
ALLOCATE = "sock_alloc_send_pskb"
# in copy mode: one a frame, and a few for what else goes on
NEARLY = 0.95


def start(lab, ifname, options=""):
    be = lab.daemon([guest_port("a"), f"up=xdp:{ifname}{options}"])
    lab.wait_carrier(ifname)
    port = be.port("up")
    check(port["device_reads"] == "dma",
          f"{ifname}: the zero-copy bind was not got: {port}")
    return be


@patient
def every_frame(lab, ifname, memory):
    """10 000 frames of mixed sizes: bit for bit, once, in order; not copied
    but for those that the device could not fetch."""
    be = start(lab, ifname)
    load = Load(lab, be, "a", "up", ifname, FRAMES, SIZES,
                options=MEMORY[memory])
    ledger = load.run()
    paged = ledger.copies.get("pages", 0)
    check(set(ledger.copies) <= {"pages"}, f"{ledger}")
    check(ledger.lent_frames + paged == load.counted(), f"all lent: {ledger}")
    check(ledger.kernel_copied_frames == 0, f"{ledger}")
    if memory == "hugetlb":
        check(not paged, f"2 MiB pages have no ends in frames: {ledger}")
    if memory == "4k-cross-page":
        check(paged, f"some frames cross into another page: {ledger}")
    lab.test.note(f"{ledger.lent_frames} lent, {paged} bounced for pages")
    be.stop()


def start_copying(lab, ifname):
    be = lab.daemon([guest_port("a"), f"up=xdp:{ifname},bind=copy"])
    lab.wait_carrier(ifname)
    check(be.port("up")["device_reads"] == "kernel-copy", "bind=copy")
    return be


def device_reads_guest(lab, ifname, gate):
    """The wire shows what the guest wrote after it had sent the frame."""
    mutation.check_device_reads_guest(lab, lambda: start(lab, ifname), gate,
                                      ifname, ["--hugetlb"])


def copy_is_seen(lab, ifname, gate):
    """The same NIC, with a kernel that copies: the proof can fail."""
    mutation.check_somebody_copies(lab, lambda: start_copying(lab, ifname),
                                   gate, ifname, ["--hugetlb"])


def calls(lab, be, ifname, functions):
    """({function: calls}, ledger) of nearly COUNTED frames."""
    load = Load(lab, be, "a", "up", ifname, COUNTED, COUNTED_SIZES,
                options=["--hugetlb"])
    counter = Counter(lab, functions)
    load.mark()
    counter.zero()
    load.go()
    load.wait()
    counts = counter.counts()
    ledger = load.finish()
    be.stop()
    return counts, ledger


@patient
def kernel_allocates_nothing(lab, ifname, transmit):
    """No socket buffer is made, and `transmit`, the driver's way to send them,
    is not gone; in copy mode there is one for each frame."""
    functions = (ALLOCATE, transmit)
    counts, _ = calls(lab, start(lab, ifname), ifname, functions)
    check(not any(counts.values()), f"zero-copy: {counts}")
    lab.begin()
    copied, ledger = calls(lab, start_copying(lab, ifname), ifname, functions)
    for name in functions:
        check(copied[name] >= NEARLY * ledger.frames,
              f"copy mode: {ledger.frames} frames, {copied}")
    lab.test.note(f"zero-copy {counts}, copy mode {copied} of "
                  f"{ledger.frames} frames")
