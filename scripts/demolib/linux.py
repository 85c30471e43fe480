# SPDX-License-Identifier: BSD-2-Clause
"""Traffic between Linux guests in QEMU and the far ends of their networks.

One file each way at the same time, over TCP; both ends compute SHA-256.
"""

import threading

from lib import peer
from lib.proc import Failure
from lib.qemu import QemuGuest, VhostUserNic

from .report import Traffic

FILE_BYTES = 16 << 20
TRANSFER_TIMEOUT_S = 60
MEMORY_MIB = 256
WHAT = "Linux, QEMU"
IF_LITTLE_IS_PINNED = (
    f"unless the {MEMORY_MIB} MiB of guest A may be, all of its frames are "
    "copied. Run the demo as root to see them lent.")
# in the guest: one file in, one out, at once; two digests come back
SCRIPT = """
head -c 1048576 /dev/urandom >/tmp/mib
for i in $(seq {mib}); do cat /tmp/mib; done >/tmp/out
(nc {host} {source} </dev/null | sha256sum >/tmp/in.sum) &
nc {host} {sink} </tmp/out
sha256sum </tmp/out
wait
cat /tmp/in.sum
"""


class Wire:
    """One virtual machine, and the host at the far end of its network."""

    def __init__(self, side, number):
        self.side = side
        self.host = f"10.77.{number + 1}.1"
        self.address = f"10.77.{number + 1}.2"
        self.mac = f"52:54:00:77:00:{number + 1:02x}"
        self.vm = self.source = self.sink = self.thread = None
        self.output = None
        self.error = None

    def power_on(self, test, socket):
        self.vm = QemuGuest(test, [VhostUserNic(socket, self.mac)],
                            name=self.side.guest.replace(" ", "-"),
                            memory_mib=MEMORY_MIB)
        self.vm.power_on()

    def connect(self, far_ns):
        self.vm.wait_ready()
        self.vm.set_address(self.address + "/24")
        self.vm.ping(self.host)
        peer.ping(far_ns, self.address)

    def start(self, test, far_ns):
        self.source = peer.FileSource(test, far_ns, self.host, FILE_BYTES)
        self.sink = peer.FileSink(test, far_ns, self.host)
        self.thread = threading.Thread(target=self._transfer, daemon=True)
        self.thread.start()

    def _transfer(self):
        script = SCRIPT.format(host=self.host, source=self.source.port,
                               sink=self.sink.port, mib=FILE_BYTES >> 20)
        try:
            self.output = self.vm.run(script, TRANSFER_TIMEOUT_S).output
        except Failure as e:
            self.error = e

    def done(self):
        return not self.thread.is_alive()

    def guest_pid(self):
        return self.vm.pid

    def give_up(self):
        """TCP does not lose anything; the deadline of the transfer is enough."""

    def finish(self):
        if self.error:
            raise self.error
        words = self.output.split()
        sums = [w for w in words if len(w) == 64]
        if len(sums) != 2:
            raise Failure(f"{self.side.guest}: unexpected answer: {self.output}")
        wrong_out = sums[0] != self.sink.result()
        wrong_in = sums[1] != self.source.result()
        self.side.guest_traffic = _traffic(wrong_in, self.source.bytes)
        self.side.far_traffic = _traffic(wrong_out, self.sink.bytes)


def _traffic(wrong, octets):
    """A file is bit-exact or it is not."""
    return Traffic("files (SHA-256)", 1, FILE_BYTES, 0 if wrong else 1,
                   octets, 1 if wrong else 0)
