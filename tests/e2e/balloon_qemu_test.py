# SPDX-License-Identifier: BSD-2-Clause
"""Real guests that give memory back, and take it again, under a device.

A device that has pinned guest memory (xdp) reads the pages that it pinned, even
when the guest has given them back and has other ones in their place. So the
daemon must notice before it lends: what arrives is what the guest has in its
memory when it sends, and no frame ever arrives with bytes of an old page,
which the checksum would tell.

The guest's program fills fresh memory with words that say seed and place, and
sends it from where it is (MSG_ZEROCOPY).
"""

import hashlib
import os
import time

from lib import peer
from lib.proc import Failure, Timeout, check, wait_for
from lib.scenario import alone, deadline
from lib.site import (GUEST_MIB, Side, need_pinning, start_site,
                      wait_registered)
from lib.words import stream_words

STREAM_MIB = 64
STREAM_TIMEOUT_S = 90
GIVE_BACK_TIMEOUT_S = 60
LEND_TIMEOUT_S = 120
REPORT_TIMEOUT_S = 15
REPORT_TRIES = 5
MIB = 1 << 20
KEPT_MIB = 112
# free pages of 2 MiB are reported; some are kept by the guest for a while
REPORTED_MIB = 4
DISCARDED = "memory_discarded"


class Ballooned:
    """A guest on an xdp port that gives memory back by one means or another."""

    def __init__(self, t, modules, arguments, **more):
        need_pinning("xdp")
        self.t = t
        options = ["--add", t.program("guest-tool")]
        for module in modules:
            options += ["--module", module]
        self.side = Side(t, "xdp", arguments=arguments,
                         image_options=tuple(options), **more)
        self.be = start_site(t, [self.side])
        self.side.reach()
        wait_registered(self.be, self.side)
        self.pending = {reason: n for reason, n in self.pair().copies().items()
                        if reason.endswith("_pending")}

    @property
    def vm(self):
        return self.side.vm

    def stream(self, seed, size_mib=STREAM_MIB):
        """Fresh memory of the guest arrives as it is there."""
        sink = peer.FileSink(self.t, self.side.peer_ns, self.side.host)
        said = self.vm.run(f"guest-tool stream {self.side.host} {sink.port} "
                           f"{size_mib} {seed}", STREAM_TIMEOUT_S).output
        check("copied=0" in said, f"the guest's kernel copied: {said}")
        size = size_mib * MIB
        wanted = hashlib.sha256(stream_words(seed, size)).hexdigest()
        check(sink.result() == wanted and sink.bytes == size,
              f"stream {seed} arrives changed: {sink.bytes} bytes")
        check(not self.bad_checksums(),
              f"{self.bad_checksums()} frames arrived with a wrong checksum")

    def bad_checksums(self):
        with self.side.peer_ns.entered(), \
                open("/proc/thread-self/net/snmp", encoding="ascii") as f:
            names, values = [line.split() for line in f
                             if line.startswith("Tcp:")]
        return int(dict(zip(names, values))["InCsumErrors"])

    def resident_mib(self):
        """Of guest memory, what its file has."""
        total = 0
        for fd in os.listdir(f"/proc/{self.vm.pid}/fd"):
            path = f"/proc/{self.vm.pid}/fd/{fd}"
            if "memfd:" in os.readlink(path):
                total += os.stat(path).st_blocks * 512
        return total / MIB

    def pair(self):
        return self.be.settled_pair(self.side.port, self.side.up)

    def check_lends_again(self, seed):
        """Mapped anew, memory is lent as before.

        That is when copies say that it would pay, and when the last time was long
        enough ago, measured in what mapping takes: how many streams later
        depends on the machine.
        """
        lent = []
        until = time.monotonic() + LEND_TIMEOUT_S
        while not lent or lent[-1] <= STREAM_MIB * MIB // 2:
            check(time.monotonic() < until,
                  f"lent, of {STREAM_MIB * MIB} bytes: {lent}; copies: "
                  f"{self.pair().copies()}\n{self.be.process.err.text()}")
            before = self.pair().lent_bytes
            self.stream(seed + len(lent))
            lent.append(self.pair().lent_bytes - before)
        self.check_never_stopped()

    def check_never_stopped(self):
        """Memory was registered again while the rest of it was lent."""
        pending = {reason: n for reason, n in self.pair().copies().items()
                   if reason.endswith("_pending")}
        check(pending == self.pending,
              f"copied at first: {self.pending}, by now: {pending}\n"
              f"{self.be.process.err.text()}")

    def check_noticed(self):
        copies = self.pair().copies()
        log = self.be.process.err.text()
        check(DISCARDED in copies or "gave back" in log,
              f"nobody noticed; copies: {copies}\n{log}")
        self.t.note(f"{copies.get(DISCARDED, 0)} frames copied, "
                    f"mapped anew {log.count('is mapped anew')} times")


def set_balloon(vm, size_mib):
    vm.monitor("balloon", value=size_mib * MIB)
    wait_for(lambda: vm.monitor("query-balloon")["actual"] == size_mib * MIB,
             GIVE_BACK_TIMEOUT_S, f"the balloon to leave {size_mib} MiB")


@alone
@deadline(400)
def test_balloon(t):
    """Pages go to the host and come back, and are sent from at once."""
    site = Ballooned(t, ["virtio_balloon"], ["-device", "virtio-balloon-pci"])
    site.stream(1)
    for seed in (2, 3):
        set_balloon(site.vm, KEPT_MIB)
        set_balloon(site.vm, GUEST_MIB)
        site.stream(seed, 2 * STREAM_MIB)
    site.check_noticed()
    site.check_lends_again(4)
    site.be.stop()


def stream_and_report(site, seed):
    """Mapped for the device, all of memory is there; after this it is not.

    What is mapped anew just after the guest has reported it is there again, and
    the guest has nothing to report until it has used it once more.
    """
    for more in range(REPORT_TRIES):
        site.stream(seed + more)
        try:
            wait_for(lambda: site.resident_mib() < GUEST_MIB - REPORTED_MIB,
                     REPORT_TIMEOUT_S, "the guest to report free pages")
            return
        except Timeout:
            pass
    raise Failure(f"{REPORT_TRIES} times the guest reported no free pages")


@alone
@deadline(400)
def test_free_page_reporting(t):
    """The guest tells of free memory unasked, and takes it again unasked."""
    site = Ballooned(t, ["virtio_balloon"],
                     ["-device", "virtio-balloon-pci,free-page-reporting=on"])
    for seed in (10, 20, 30, 40):
        stream_and_report(site, seed)
    site.check_noticed()
    site.check_lends_again(50)
    site.be.stop()


@alone
@deadline(400)
def test_memory_unplugged(t):
    """virtio-mem: memory of a region of its own comes, goes, and comes back."""
    size = 128 * MIB
    site = Ballooned(
        t, ["virtio_mem"],
        ["-object", "memory-backend-memfd,id=more,size=128M,share=on",
         "-device", "virtio-mem-pci,id=vm0,memdev=more,requested-size=128M"],
        memory_option=f"{GUEST_MIB}M,maxmem=1G",
        append="memhp_default_state=online_movable")

    def plug(wanted):
        site.vm.monitor("qom-set", path="vm0", property="requested-size",
                        value=wanted)
        wait_for(lambda: site.vm.monitor("qom-get", path="vm0",
                                         property="size") == wanted,
                 GIVE_BACK_TIMEOUT_S, f"the guest to have {wanted} bytes more")

    plug(size)
    site.stream(1, 2 * STREAM_MIB)
    for seed in (2, 3):
        plug(0)
        plug(size)
        site.stream(seed, 2 * STREAM_MIB)
    site.check_noticed()
    site.check_lends_again(4)
    site.be.stop()
