# SPDX-License-Identifier: BSD-2-Clause
"""A real guest with eight queue pairs, whose count it changes under traffic."""

import re

from lib import image
from lib.proc import check
from lib.scenario import cases, deadline, long, rounds
from lib.site import Side, need_pinning, start_site, wait_registered
from lib.stream import Stream

QUEUES = 8
# for each pair, and two more
VECTORS = 2 * QUEUES + 2
CPUS = 2
STREAMS = 3
# what ethtool sets, one after the other
COUNTS = rounds((1, QUEUES), (3, QUEUES, 1, 5, QUEUES))
FILE_BYTES = 4 << 20


def queue_counts(vm, way):
    """Packets of each queue, as the guest counts them."""
    text = vm.run("ethtool -S eth0").output
    return [int(n) for n in re.findall(rf"{way}(?:_queue)?_?\d+_packets: (\d+)",
                                       text)]


def check_spread(vm):
    for way in ("rx", "tx"):
        counts = queue_counts(vm, way)
        used = [n for n in counts if n]
        check(len(counts) == QUEUES, f"{len(counts)} queues: {counts}")
        check(len(used) > 1, f"one {way} queue has all: {counts}")
    return len(used)


def set_count(vm, count):
    vm.run(f"ethtool -L eth0 combined {count}")


def traffic_on_queues(t, driver, options, qemu=None):
    need_pinning(driver)
    made = dict(image.paths(t.root, "--tools", "--add",
                            t.program("guest-tool")))
    if qemu:
        made["qemu"] = qemu
    side = Side(t, driver, nic={"queues": QUEUES, "options": options},
                arguments=("-smp", CPUS), made=made)
    be = start_site(t, [side])
    vm = side.vm
    side.reach()
    wait_registered(be, side)
    set_count(vm, QUEUES)
    streams = [Stream(t, side.peer_ns, side.host, vm, seed)
               for seed in range(1, STREAMS + 1)]
    for count in COUNTS:
        set_count(vm, count)
        for stream in streams:
            stream.wait_progress()
    used = check_spread(vm)
    for stream in streams:
        stream.stopping.set()
    for stream in streams:
        stream.finish(vm)
    # the other queues are no worse for the pause
    side.files(FILE_BYTES)
    t.note(f"{STREAMS} streams, {sum(s.bytes for s in streams) >> 20} MiB from "
           f"the guest, {sum(s.sent_bytes for s in streams) >> 20} to it; "
           f"{used} of {QUEUES} transmit queues used")
    be.stop()


@deadline(rounds(400, 900))
@cases("packed", ("off", "on"), quick=("on",))
@cases("driver", ("xdp", "tap"), quick=("tap",))
def test_queues(t, driver, packed):
    traffic_on_queues(t, driver, f"mq=on,packed={packed}")


@long
@deadline(900)
@cases("packed", ("off", "on"))
@cases("driver", ("xdp", "tap"))
def test_vectors(t, driver, packed):
    """An interrupt for each queue, which takes a QEMU newer than 7.2."""
    options = f"mq=on,vectors={VECTORS},packed={packed}"
    traffic_on_queues(t, driver, options, image.lab_qemu(t.root))
