# SPDX-License-Identifier: BSD-2-Clause
"""A guest's frames, from its memory to the wire, and what the ledger says.

The guest begins slowly: the driver is asked about its memory when the first frames
come, and maps it. The load goes when a frame was lent, or when the answer
is no, and the ledger is counted from there: what a device does with
frames, without the first moment.
"""

import functools
import signal

from lib.proc import Failure, Timeout, check

from . import judge
from .host import result

ATTEMPTS = 3
LEAD_PER_SECOND = 100
LOANS = 1024
# while memory is mapped the port rests, and all that comes then is kept as copies
BOUNCE = 512
ASKED_TIMEOUT_S = 60
GUEST_TIMEOUT_S = 150
# all buffers of the guest are in its first 2 MiB: no frame crosses huge pages
RING_SIZE = 256
# a quarter of the ring is never lent: the guest leaves the device time
RATE = 4000
# reasons to copy that say something of this machine, and nothing of the device
SLOW = ("device_stalled", "loans_out")
MEMORY_MIB = 16
# a no that becomes something else
PENDING = ("query_pending", "mapping_pending")
# of show's pair: what is added up
COUNTS = ("frames", "bytes", "lent_frames", "lent_bytes", "copied_frames",
          "copied_bytes", "kernel_copied_frames", "kernel_copied_bytes")


class Slow(Failure):
    """The machine was busy with other things, and the daemon went by that."""


def patient(function):
    """A test that is run again where the machine was too slow for it, and says
    so in its line."""
    @functools.wraps(function)
    def again(lab, *arguments, **options):
        for attempt in range(2, ATTEMPTS + 1):
            try:
                return function(lab, *arguments, **options)
            except Slow as e:
                lab.begin()
                lab.test.notes[:] = [f"(attempt {attempt} of {ATTEMPTS}: {e})"]
        return function(lab, *arguments, **options)
    return again


class Ledger:
    """What was counted between two looks at a pair."""

    def __init__(self, before, after):
        for name in COUNTS:
            setattr(self, name, getattr(after, name) - getattr(before, name))
        old = before.copies()
        self.copies = {r: n - old.get(r, 0) for r, n in after.copies().items()
                       if n > old.get(r, 0)}
        self.drops = after.drops()
        self.loans_out = after.loans_out
        self.query = after.query

    def __str__(self):
        return str(vars(self))


class Load:
    """`count` frames of a guest port `source` to the port `egress`."""

    # wire: the NIC whose wire is looked at; None: the caller looks himself
    def __init__(self, lab, be, source, egress, wire, count, sizes, stream=1,
                 options=(), lead=LEAD_PER_SECOND):
        self.lab, self.be = lab, be
        self.source, self.egress = source, egress
        self.pcap = lab.pcap(wire) if wire else None
        self.count, self.sizes, self.stream = count, sizes, stream
        low, high = sizes
        # of an earlier guest at the same port
        earlier = be.pairs().get((source, egress))
        self.guest = lab.guest(
            "--socket", f"/tmp/{source}.sock", "--ring-size", RING_SIZE,
            "--memory", MEMORY_MIB, "--stream", stream, "--send", count,
            "--size", f"{low}-{high}", "--rate", RATE, "--lead", lead, "--start-fd", 0,
            "--timeout", GUEST_TIMEOUT_S, "--hold", *options, name=f"guest-{source}")
        self.before = self._wait_answered(earlier)
        self.earlier_frames = earlier.frames if earlier else 0
        self.ledger = None
        self.said = None

    def _wait_answered(self, earlier):
        lent = earlier.lent_frames if earlier else 0

        def answered(_):
            pair = self.be.pairs().get((self.source, self.egress))
            return pair and (pair.lent_frames > lent or
                             self._said_no(pair.query))
        self.be.wait_show(answered, ASKED_TIMEOUT_S,
                          f"an answer of {self.egress} for {self.source}")
        return self.be.settled_pair(self.source, self.egress)

    @staticmethod
    def _said_no(query):
        return query["verdict"] == "no" and query["reason"] not in PENDING

    def mark(self):
        """The ledger counts from here."""
        self.before = self.be.settled_pair(self.source, self.egress)

    def go(self):
        self.guest.write("go")

    def wait(self):
        """Until all is on the wire. Nothing was asked of anybody meanwhile."""
        try:
            judge.wait_streams(self.pcap, {self.stream}, self.count)
        except Timeout as e:
            there = judge.frames_of(self.pcap, {self.stream})
            pair = self.be.pair(self.source, self.egress)
            raise Failure(f"{e}; missing {judge.missing(there, self.count)}; "
                          f"{pair.data}") from e

    def end(self):
        """The guest ends in good order: it got all of its buffers back."""
        self.guest.signal(signal.SIGTERM)
        said = self.said = result(self.guest)
        check(said["sent"] == said["completed"] == self.count and
              said["stop"]["clean"] and not said["errors"], f"guest: {said}")

    def finish(self):
        """Of the guest, too; and what the wire and the ledger say is right."""
        self.end()
        self.ledger = Ledger(self.before,
                             self.be.settled_pair(self.source, self.egress))
        if self.pcap:
            judge.check_stream(self.pcap, self.stream, self.sizes, self.count)
        if set(SLOW) & set(self.ledger.copies):
            raise Slow(f"too slow for the daemon: {self.ledger.copies}")
        check(self.ledger.frames == self.counted() and
              not self.ledger.drops and not self.ledger.loans_out,
              f"the ledger: {self.ledger}")
        return self.ledger

    def run(self):
        self.go()
        self.wait()
        return self.finish()

    def counted(self):
        """Frames that the ledger has."""
        return self.count - self.ahead()

    def ahead(self):
        """Frames of this guest that went before the ledger is counted."""
        return self.before.frames - self.earlier_frames


def guest_port(name, options=""):
    return (f"{name}=guest:/tmp/{name}.sock,loans={LOANS},bounce={BOUNCE}"
            f"{options}")
