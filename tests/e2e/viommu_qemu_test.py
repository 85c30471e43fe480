# SPDX-License-Identifier: BSD-2-Clause
"""A real guest behind an emulated IOMMU: the rings have addresses of its own.

Addresses in descriptors, and of the rings themselves, are IOVAs; QEMU tells us
on request what they stand for (vhost-user, IOTLB messages), and takes it back
when the guest's kernel unmaps. With iommu.strict=1 that is after each frame,
else in batches: all addresses at once, those of the rings too. Receive rings
wait for theirs where they are.
"""

from lib import iommu
from lib.proc import check
from lib.qemu import Device
from lib.scenario import cases, deadline, long, rounds
from lib.site import Side, need_pinning, start_site, wait_registered
from lib.stream import Stream

FILE_BYTES = 4 << 20
PROGRESS_BYTES = rounds(2 << 20, 16 << 20)
LITTLE_BYTES = 1 << 20
# a device that is slow is opened anew for its loans, and drops what waits at it
DOWN_MAX = 128


def check_translated(side, how):
    kind = side.vm.run(f"cat {iommu.TYPE}").output.strip()
    check(kind == iommu.TYPES[how],
          f"the guest's IOMMU group of the NIC is of the type '{kind}'")


def down_drops(be, side):
    """Its rings may wait for their place, but they run."""
    return be.pair(side.up, side.port).drops().get("egress_down", 0)


def life_behind_iommu(t, driver, how, more=(), progress=PROGRESS_BYTES):
    need_pinning(driver)
    side = Side(t, driver, nic={"options": iommu.NIC_OPTIONS},
                before=[Device(d) for d in iommu.DEVICES], append=how,
                image_options=("--add", t.program("guest-tool")))
    side.ports.extend(more)
    be = start_site(t, [side])
    side.reach()
    check_translated(side, how)
    wait_registered(be, side)
    down = down_drops(be, side)
    stream = Stream(t, side.peer_ns, side.host, side.vm)
    stream.wait_progress(progress)
    stream.finish(side.vm)
    pair = be.settled_pair(side.port, side.up)
    down = down_drops(be, side) - down
    check(down <= DOWN_MAX,
          f"{down} frames for the guest found its port not running")
    check(pair.lent_frames > 0, f"nothing was lent: {pair.copies()}")
    t.note(f"{stream.bytes >> 20} MiB from the guest, "
           f"{stream.sent_bytes >> 20} to it, {pair.lent_frames} frames lent; "
           f"drops on the way to it: {be.pair(side.up, side.port).drops()}")
    # all mappings go, and others come
    side.vm.reload_driver()
    side.reach()
    side.files(FILE_BYTES)
    be.stop()


@deadline(rounds(300, 600))
@cases("strict", (0, 1), quick=(1,))
@cases("driver", ("xdp", "tap"), quick=("xdp",))
def test_iommu(t, driver, strict):
    life_behind_iommu(t, driver, iommu.STRICT if strict else iommu.LAZY)


@long
@deadline(600)
@cases("strict", (0, 1))
def test_iommu_of_three(t, strict):
    """With more ports than two, what finds no receive buffer is dropped.

    Each loss costs a stream some time, so it is asked for less.
    """
    life_behind_iommu(t, "tap", iommu.STRICT if strict else iommu.LAZY,
                      ["third=null:,network=net1"], LITTLE_BYTES)
