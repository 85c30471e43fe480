# SPDX-License-Identifier: BSD-2-Clause
"""virtio_net in copy mode that does not copy: on a tap with a virtio-net header
the NIC has scatter-gather, and the kernel passes guest pages on as fragments."""

from lib.proc import check
from lib.scenario import cases

from lablib import foresight, hosts, mutation
from lablib.gate import TimerGate
from lablib.load import Load, guest_port, patient

COUNT = 5000
SIZES = (60, 1514)
BOUNCED_MAX_SHARE = 0.02
LAYOUTS = {
    "one-piece": ("--hugetlb", "--unaligned"),
    "pieces": ("--descriptors", "1-17", "--unaligned", "--header", "mixed"),
    "across-pages": ("--descriptors", "1-8", "--unaligned", "--cross-page",
                     "--memory", 64),
}

lab = hosts.taps


def start(lab, ifname):
    be = lab.daemon([guest_port("a"), f"up=xdp:{ifname},bind=copy"])
    port = be.port("up")
    check(port["device_reads"] == "fragments", f"{ifname}: {port}")
    return be


@cases("layout", LAYOUTS, quick=("pieces", "across-pages"))
@patient
def test_every_frame(lab, layout):
    be = start(lab, "nic")
    load = Load(lab, be, "a", "up", "nic", COUNT, SIZES,
                options=LAYOUTS[layout])
    ledger = load.run()
    # 17 fragments are taken: a frame in so many pieces, and one of them across
    # a page, is one too much
    bounced = ledger.copies.pop("pages", 0)
    check(bounced <= BOUNCED_MAX_SHARE * ledger.frames, f"{ledger}")
    check(not ledger.copies, f"{ledger}")
    check(ledger.kernel_copied_frames == 0, f"{ledger}")
    check(ledger.lent_frames == load.counted() - bounced, f"{ledger}")
    lab.test.note(f"{ledger.lent_frames} lent, {bounced} in too many pieces")
    be.stop()


def test_device_reads_guest(lab):
    mutation.check_device_reads_guest(lab, lambda: start(lab, "late"),
                                      TimerGate(lab, "late"), "late")


def test_what_is_foretold_comes_true(lab):
    foresight.comes_true(lab, "nic", 1500, "no")
