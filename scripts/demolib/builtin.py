# SPDX-License-Identifier: BSD-2-Clause
"""Traffic between built-in guests and the far ends of their networks."""

import json

from lib import guest
from lib.proc import Failure

from .report import Traffic

FRAMES = 40_000
FRAMES_PER_SECOND = 8_000
SIZES = "64-1514"
# everything is sent after FRAMES / FRAMES_PER_SECOND; the rest is for slow machines
TIMEOUT_S = 30
MEMORY_MIB = 16
# what an ordinary user may pin is 8 MiB, guest and bounce memory together
SMALL_MEMORY_MIB = 2
WHAT = "built-in"


class Wire:
    """One built-in guest, and its counterpart at the far end."""

    def __init__(self, side, number):
        self.side = side
        self.stream = number * 2 + 1
        self.far_stream = self.stream + 1
        self.guest = self.far = None

    @staticmethod
    def _mac(stream):
        return f"52:57:00:00:00:{stream:02x}"

    def _arguments(self, own, other):
        return ["--send", FRAMES, "--receive", FRAMES, "--verify",
                "--size", SIZES, "--rate", FRAMES_PER_SECOND,
                "--stream", own, "--receive-stream", other,
                "--mac", self._mac(own), "--dst", self._mac(other),
                "--timeout", TIMEOUT_S]

    def start(self, test, socket, far_ns, small):
        """The far end first, so that nothing is sent to nobody."""
        memory = SMALL_MEMORY_MIB if small else MEMORY_MIB
        self.far = guest.start_guest(
            test, "--interface", self.side.far,
            *self._arguments(self.far_stream, self.stream),
            name=self.side.far, ns=far_ns)
        # --scribble: a buffer that came back is overwritten at once. If the
        # device still read it, the far end would see damage.
        self.guest = guest.start_guest(
            test, "--socket", socket, "--memory", memory, "--scribble",
            "--unaligned", *self._arguments(self.stream, self.far_stream),
            name=self.side.guest.replace(" ", "-"))

    def done(self):
        return not (self.guest.alive() or self.far.alive())

    def finish(self):
        self.side.guest_traffic = _traffic(self.guest)
        self.side.far_traffic = _traffic(self.far)


def _traffic(process):
    """What an end of the wire says about itself; damage is no exception."""
    process.wait(TIMEOUT_S)
    lines = process.out.text().strip().splitlines()
    try:
        said = json.loads(lines[-1])
    except (IndexError, ValueError) as e:
        raise Failure(f"{process.name} gave no account of itself:\n"
                      f"{process.err.tail()}") from e
    if not said["sent"] and not said["received"]:
        raise Failure(f"{process.name} neither sent nor received anything:\n"
                      f"{process.err.tail()}")
    return Traffic("frames", said["sent"], said["sent_bytes"],
                   said["verified"], said["received_bytes"],
                   said["corrupted"] + said["duplicated"] + said["foreign"])
