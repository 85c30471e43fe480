# SPDX-License-Identifier: BSD-2-Clause
"""Traffic between built-in guests and the far ends of their networks."""

import json
import signal

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
IF_LITTLE_IS_PINNED = "the guests are small."


class Wire:
    """One built-in guest, and its counterpart at the far end.

    The far end is two processes: one that receives and is there before the
    guest sends, and one that sends and comes after the guest can receive.
    """

    def __init__(self, side, number):
        self.side = side
        self.stream = number * 2 + 1
        self.far_stream = self.stream + 1
        self.guest = self.far_in = self.far_out = None

    @staticmethod
    def _mac(stream):
        return f"52:57:00:00:00:{stream:02x}"

    def _sending(self, own, other):
        return ["--send", FRAMES, "--size", SIZES,
                "--rate", FRAMES_PER_SECOND, "--stream", own,
                "--mac", self._mac(own), "--dst", self._mac(other)]

    @staticmethod
    def _receiving(other):
        return ["--receive", FRAMES, "--verify", "--receive-stream", other,
                "--timeout", TIMEOUT_S]

    def _start_far(self, test, far_ns, name, *arguments):
        return guest.start_guest(test, "--interface", self.side.far,
                                 *arguments, name=self.side.far + name,
                                 ns=far_ns)

    def start(self, test, socket, far_ns, small):
        memory = SMALL_MEMORY_MIB if small else MEMORY_MIB
        self.far_in = self._start_far(test, far_ns, "-in",
                                      *self._receiving(self.stream))
        # --scribble: a buffer that came back is overwritten at once. If the
        # device still read it, the far end would see damage.
        self.guest = guest.start_guest(
            test, "--socket", socket, "--memory", memory, "--scribble",
            "--unaligned", *self._sending(self.stream, self.far_stream),
            *self._receiving(self.far_stream),
            name=self.side.guest.replace(" ", "-"))

    def answer(self, test, far_ns):
        """The other way, once the device knows what to do with the guest."""
        self.far_out = self._start_far(
            test, far_ns, "-out", *self._sending(self.far_stream, self.stream))

    def done(self):
        return not any(p.alive() for p in
                       (self.guest, self.far_in, self.far_out))

    def guest_pid(self):
        return self.guest.pid

    def give_up(self):
        """What has not arrived by now will not: ask for the account."""
        for process in (self.far_out, self.guest, self.far_in):
            process.signal(signal.SIGINT)

    def finish(self):
        guest_said = _account(self.guest)
        self.side.guest_traffic = _traffic(guest_said, guest_said)
        self.side.far_traffic = _traffic(_account(self.far_out),
                                         _account(self.far_in))


def _account(process):
    """What an end of the wire says about itself; damage is no exception."""
    process.wait(TIMEOUT_S)
    lines = process.out.text().strip().splitlines()
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError) as e:
        raise Failure(f"{process.name} gave no account of itself:\n"
                      f"{process.err.tail()}") from e


def _traffic(sender, receiver):
    return Traffic("frames", sender["sent"], sender["sent_bytes"],
                   receiver["verified"], receiver["received_bytes"],
                   receiver["corrupted"] + receiver["duplicated"] +
                   receiver["foreign"])
