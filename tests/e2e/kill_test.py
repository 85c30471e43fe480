# SPDX-License-Identifier: BSD-2-Clause
"""The daemon is killed under load, with frames in devices, and started again.

The guest goes on with the same rings and the same memory, as QEMU does with
reconnect=1, and says of each of its buffers that it came back, once. What was
in flight is in a record that the daemon keeps, or the front-end for it.

Frames may be sent twice: the dead daemon may have sent what it did not
complete. The next one says how many it has taken again, and the far end counts
those that came twice, which are no more. With the simulated device the guest is
its own far end.
"""

import os
import shutil

from lib import guest
from lib.proc import check, wait_for
from lib.scenario import alone, cases, deadline, rounds
from lib.wire import Wire, addresses, mac

RINGS = ("split", "packed")
RATE = 8000
TIMEOUT_S = 60
RECONNECT_S = 30
# between two deaths: so many frames, some of which went before the device was asked;
# every other time so many lent ones (or, should there be none, enough frames)
FRAMES, LENT, ENOUGH = 200, 200, 1000
SHORT, LONG = 5, 100
# a daemon with a sanitizer starts several times more slowly: 200 in all six cases
LONG_SANITIZED = 34
# where the front-end keeps the record
KEPT_SHORT, KEPT_LONG, KEPT_SANITIZED = 3, 25, 4
# a device that has some of them at any time
HOLDS = ",delay=8,order=random,echo=on"
# rings that rest now and then; a packed one goes on behind what is used, since a
# death can come before the front-end hears where it stopped
SUSPENDED = ("--suspend", 40, "--resume", "used")


class Kills:
    """A wire, its daemon that dies, and the guest that goes on."""

    def __init__(self, t, driver, *arguments):
        self.t, self.driver = t, driver
        self.wire = Wire(t, driver, options=HOLDS if driver == "loop" else "")
        self.wire.start()
        self.far = self.start_far()
        self.guest = self.wire.start_guest(
            *self.addresses(), "--send", 0, "--rate", RATE, "--reconnect",
            RECONNECT_S, "--scribble", "--timeout", 0, *arguments)
        self.deaths = self.again = 0
        self.wait_sent("first frames")

    def start_far(self):
        """It is there from the first frame to the last."""
        if not self.wire.far_place:
            return None
        return self.wire.start_far(
            "--receive-stream", self.wire.stream, "--verify", "--hold",
            "--allow-duplicates", "--timeout", 0)

    def addresses(self):
        if self.far:
            return addresses(self.wire.stream, self.wire.far_stream)
        stream = self.wire.stream
        return ["--stream", stream, "--mac", mac(stream), "--receive-stream",
                stream, "--verify"]

    def sanitized(self):
        return self.wire.be.sanitized()

    def wait_sent(self, what):
        least = ENOUGH if self.deaths % 2 else FRAMES

        def sent():
            pair = self.wire.be.pairs().get(("a", "up"))
            return pair and (pair.lent_frames > LENT or pair.frames > least)
        wait_for(sent, TIMEOUT_S, what)

    def kill_and_start(self, forget):
        """forget: what the daemon itself has written down is gone."""
        be = self.wire.be
        be.kill()
        be.process.wait(TIMEOUT_S)
        if forget:
            shutil.rmtree(be.state_dir)
        be.start(TIMEOUT_S)
        self.wait_sent("frames after a death")
        self.deaths += 1
        self.again += be.port("a")["taken_again"]

    def end(self):
        """What the guest says, and whoever receives, when all is over."""
        self.guest.signal(15)
        said = got = guest.result(self.guest, TIMEOUT_S)
        check(said["restarts"] == self.deaths, said)
        check(said["stop"]["clean"] and said["stop"]["lost"] == 0 and
              not said["errors"], said)
        if self.far:
            self.far.signal(15)
            got = guest.result(self.far, TIMEOUT_S)
        check(self.driver != "loop" or self.again > 0,
              "never was one in the device")
        self.judge(said, got)
        self.wire.be.stop()
        return said

    def judge(self, said, got):
        twice, again = got["duplicated"], self.again
        check(got["verified"] == got["received"] > 0 and
              not got["corrupted"], f"the far end: {got}")
        # a ring that is suspended may leave some to the record, too
        most = again + said["left_in_flight"]
        check(twice <= most, f"{twice} frames came twice, and {most} "
              f"at most were taken again: {got}")
        self.t.note(f"{self.deaths} deaths, {said['sent']} frames, {again} "
                    f"taken again, {twice} came twice, "
                    f"{said['out_at_restarts']} out, {got['missing']} missing")


@deadline(60)
def test_a_record_that_is_cut_off_is_told(t):
    """By somebody who may: the guest goes on, and people know."""
    wire = Wire(t, "null")
    wire.start()
    wire.start_guest("--stream", wire.stream, "--mac", mac(wire.stream),
                     "--send", 0, "--rate", RATE, "--timeout", 0)

    def sent():
        pair = wire.be.pairs().get(("a", "up"))
        return pair and pair.frames
    wait_for(sent, TIMEOUT_S, "first frames")
    for name in os.listdir(wire.be.state_dir):
        os.truncate(os.path.join(wire.be.state_dir, name), 0)
    wire.be.process.wait_line("not recorded any more", TIMEOUT_S,
                              stream=wire.be.process.err)
    before = sent()
    wait_for(lambda: sent() > before + FRAMES, TIMEOUT_S, "frames after it")
    wire.be.stop()


@deadline(900)
@alone
@cases("ring", RINGS)
@cases("driver", ("loop", "xdp", "tap"))
def test_each_buffer_comes_back_once(t, driver, ring):
    """The daemon keeps the record."""
    kills = Kills(t, driver, "--ring", ring)
    for _ in range(rounds(SHORT, LONG_SANITIZED if kills.sanitized() else
                          LONG)):
        kills.kill_and_start(False)
    kills.end()


@deadline(300)
@alone
@cases("ring", RINGS)
@cases("how", ("loop", "xdp", "loop-suspended"))
def test_the_front_end_keeps_the_record(t, how, ring):
    """INFLIGHT_SHMFD: the daemon's own is not there when it comes back. Rings
    that are suspended meanwhile are asked for their base without a drain."""
    driver, _, suspended = how.partition("-")
    kills = Kills(t, driver, "--ring", ring, "--inflight",
                  *(SUSPENDED if suspended else ()))
    for _ in range(rounds(KEPT_SHORT, KEPT_SANITIZED if kills.sanitized() else
                          KEPT_LONG)):
        kills.kill_and_start(True)
    said = kills.end()
    check("inflight_shmfd" in said["features"], said)
    check(not suspended or ("base_inflight" in said["features"] and
                            said["suspends"] > 0), said)
    if suspended:
        t.note(f"{said['suspends']} suspended, {said['left_in_flight']} left")
