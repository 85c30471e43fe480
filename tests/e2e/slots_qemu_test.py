# SPDX-License-Identifier: BSD-2-Clause
"""Memory that is plugged into a real guest, and out of it, under traffic.

More regions than a memory table has room for (8): QEMU then tells of each by
itself (CONFIGURE_MEM_SLOTS). The guest's kernel takes some of the DIMMs for
receive buffers; from the others a program sends. What is pulled out, programs
have used.
"""

import hashlib

from lib import memlock, peer
from lib.proc import check, wait_for
from lib.scenario import cases, deadline, rounds
from lib.site import DEVICES, GUEST_MIB, Side, start_site, wait_registered
from lib.stream import Stream
from lib.words import stream_words

DIMM_MIB = 128
# as many as the machine has sockets
SLOTS = 16
MEMORY = f"{GUEST_MIB}M,slots={SLOTS},maxmem=8G"
ROUNDS = rounds(1, 3)
TIMEOUT_S = 90
PAGES = 2048
PAGE_BYTES = 4096
# frame numbers of six digits: from 4 GiB on, where the DIMMs are
SEND = """\
guest-tool tcp {host} {port} {pages} >/tmp/pages || exit 1
grep -c 'gfn=0x......' /tmp/pages
grep -c gfn= /tmp/pages
sed -n 's/.*copied=//p' /tmp/pages
"""
# of the guest's kernel: one for each DIMM
BLOCK = "/sys/devices/system/memory/memory{}"
ONLINE = "until [ -e {0}/state ]; do sleep 0.02; done; echo {1} >{0}/state"
# a page that a device reads cannot be moved; it will be given back
OFFLINE = "until echo offline >{0}/state; do sleep 0.1; done 2>/dev/null"


class Dimms:
    """Those of a guest: plug, and pull."""

    def __init__(self, vm):
        self.vm = vm

    def plug(self, number, kind):
        """kind: what the guest's kernel may use it for."""
        name = f"dimm{number}"
        self.vm.monitor("object-add", **{
            "qom-type": "memory-backend-memfd", "id": f"m-{name}",
            "size": DIMM_MIB << 20, "share": True})
        self.vm.monitor("device_add", driver="pc-dimm", id=name,
                        memdev=f"m-{name}")
        self.vm.run(ONLINE.format(self.block(name), kind), TIMEOUT_S)

    def pull(self, number):
        """Until the guest's kernel has moved away all that was there."""
        name = f"dimm{number}"
        self.vm.run(OFFLINE.format(self.block(name)), TIMEOUT_S)
        self.vm.monitor("device_del", id=name)
        wait_for(lambda: name not in self.present(), TIMEOUT_S,
                 f"the guest to let go of {name}")
        self.vm.monitor("object-del", id=f"m-{name}")

    def present(self):
        """{name: address}"""
        devices = self.vm.monitor("query-memory-devices")
        return {d["data"]["id"]: d["data"]["addr"] for d in devices}

    def block(self, name):
        return BLOCK.format(self.present()[name] // (DIMM_MIB << 20))


def send_pages(side):
    """A program sends from pages of DIMMs."""
    sink = peer.FileSink(side.t, side.peer_ns, side.host)
    output = side.vm.run(SEND.format(host=side.host, port=sink.port,
                                     pages=PAGES),
                         TIMEOUT_S).output
    high, total, copied = (int(n) for n in output.split())
    check(total == PAGES and high > PAGES // 2,
          f"{high} of {total} pages are those of DIMMs")
    check(copied == 0, f"the guest's kernel copied {copied} times")
    words = stream_words(1, PAGES * PAGE_BYTES)
    check(sink.result() == hashlib.sha256(words).hexdigest(),
          "pages of DIMMs arrive changed")


def plug_and_pull(t, driver):
    if DEVICES[driver].pins:
        memlock.need(GUEST_MIB + SLOTS * DIMM_MIB)
    side = Side(t, driver, memory_option=MEMORY,
                append="memhp_default_state=offline",
                image_options=("--add", t.program("guest-tool")))
    be = start_site(t, [side])
    side.reach()
    wait_registered(be, side)
    stream = Stream(t, side.peer_ns, side.host, side.vm)
    dimms = Dimms(side.vm)
    # every other one for the kernel, and so for receive buffers
    for i in range(SLOTS):
        dimms.plug(i, "online_movable" if i % 2 else "online_kernel")
    stream.wait_progress()
    send_pages(side)
    for _ in range(ROUNDS):
        for i in range(1, SLOTS, 2):
            dimms.pull(i)
        stream.wait_progress()
        for i in range(1, SLOTS, 2):
            dimms.plug(i, "online_movable")
        stream.wait_progress()
        # gigabytes, while the guest and others want the processors too
        wait_registered(be, side, TIMEOUT_S)
        send_pages(side)
    stream.finish(side.vm)
    pair = be.settled_pair(side.port, side.up)
    check(pair.lent_frames > 0, f"nothing was lent: {pair.copies()}")
    t.note(f"{len(dimms.present())} DIMMs, {stream.bytes >> 20} MiB from the "
           f"guest, {stream.sent_bytes >> 20} to it, {pair.lent_frames} frames "
           f"lent; copies: {pair.copies()}")
    be.stop()


@deadline(rounds(400, 1200))
@cases("driver", ("xdp", "tap"), quick=("tap",))
def test_dimms(t, driver):
    plug_and_pull(t, driver)
