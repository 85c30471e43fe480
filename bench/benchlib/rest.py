# SPDX-License-Identifier: BSD-2-Clause
"""What guests cost that do nothing: time of a processor, and memory.

    Idle        share of one core that the back-end takes with so many guests that
                have sent once and say nothing since, in per cent
    Memory      of its own, in MiB, with one guest: what is mapped in a guest, too,
                is not counted; hugepages are
    Further     the same for each guest beyond the first
"""

import time

from lib import guest
from lib.daemon import own_bytes

from . import counters
from .backends import pin
from .trial import Together, amount_of

GUESTS = 16
FRAMES = 1000
SIZE = 1518
IDLE_S = 5
# until those who look a while longer before they sleep do sleep
SETTLE_S = 2
SENT_TIMEOUT_S = 20
MIB = 1 << 20


def attach(bench, t, back_end, first, count):
    """Guests that send a bit, and stay; at the sockets from `first` on."""
    guests = []
    for n in range(first, first + count):
        process = guest.start_guest(
            t, "--socket", back_end.sockets[n], "--size", SIZE, "--send",
            FRAMES, "--ring-size", 256, "--hold", "--timeout", 0,
            "--stats-interval", 0.2, name=f"guest{n}")
        pin(process.pid, bench.guest_cpu)
        guests.append(process)
    for process in guests:
        process.wait_line(f"completed {FRAMES},", SENT_TIMEOUT_S,
                          stream=process.err)
    return guests


class Resting(Together):
    """All in one back-end, in this order: one guest, further guests, rest."""

    STARTS_S, AMOUNT_S = 4.0, 2.5

    def amounts(self, bench, contestant, works):
        with bench.site(contestant, "null", SIZE, GUESTS) as (t, back_end, _):
            guests = attach(bench, t, back_end, 0, 1)
            first = own_bytes(back_end.pid, [g.pid for g in guests])
            guests += attach(bench, t, back_end, 1, GUESTS - 1)
            last = own_bytes(back_end.pid, [g.pid for g in guests])
            known = {Memory: amount_of(first / MIB),
                     Further: amount_of((last - first) / (GUESTS - 1) / MIB)}
            if any(isinstance(w.trial, Idle) for w in works):
                known[Idle] = rest(t, back_end)
            return {w.name: (known[type(w.trial)], None) for w in works}


class Idle(Resting):
    pass


class Memory(Resting):
    pass


class Further(Resting):
    pass


def rest(t, back_end):
    watch = counters.Watch(back_end.pid, back_end.pid)
    t.on_exit(watch.close)
    time.sleep(SETTLE_S)
    watch.begin_anew()
    time.sleep(IDLE_S)
    watch.look()
    return amount_of(100 * watch.cpu_ns() / 1e9 / watch.seconds(),
                     watch.waited())
