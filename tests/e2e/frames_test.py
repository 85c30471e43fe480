# SPDX-License-Identifier: BSD-2-Clause
"""Every frame comes out as it went in, once, whatever way it lay in memory.

The built-in guest over each driver, both directions at once. It overwrites
each buffer as soon as it is given back (--scribble): a device that still read
it then would send what the far end does not accept.
"""

import signal

from lib import guest, hugepages
from lib.proc import check, wait_for
from lib.scenario import cases
from lib.wire import WINDOW, Sweep, Wire, check_end

EVERY_SIZE = Sweep(14, 1514)
JUMBO = Sweep(8600, 9014)
JUMBO_MTU = 9000
TIMEOUT_S = 20
# large frames across pages, and pages of 2 MiB, take more than the default
BIG_MIB = 64
HUGE_MIB = 16
MIXED = ["--descriptors", "1-17", "--header", "mixed", "--unaligned",
         "--rx-descriptors", "1-17", "--rx-header", "mixed"]

LAYOUTS = {
    "one-descriptor": [],
    "direct": ["--descriptors", "1-17", "--indirect", "never",
               "--header", "own", "--unaligned"],
    "indirect": ["--descriptors", "1-17", "--indirect", "always",
                 "--header", "split", "--unaligned"],
    "mixed": MIXED,
    "across-pages": [*MIXED, "--cross-page", "--memory", BIG_MIB],
    "regions": [*MIXED, "--regions", 3, "--order", "enable-last",
                "--ack", "all"],
    "adjacent-regions": [*MIXED, "--regions", 8, "--adjacent"],
    "small-receive-buffers": ["--rx-buffer", 200, "--unaligned"],
    "not-mergeable": [*MIXED, "--features-off", "mrg_rxbuf"],
    "plain-ring": ["--features-off", "indirect_desc,event_idx",
                   "--descriptors", "1-17", "--unaligned"],
}


@cases("driver", ("xdp", "tap", "packet", "guest"))
@cases("layout", LAYOUTS)
def test_every_size(t, driver, layout):
    wire = Wire(t, driver)
    wire.start()
    wire.exchange(EVERY_SIZE, *LAYOUTS[layout])
    wire.check_ledger(EVERY_SIZE)
    wire.be.stop()


@cases("driver", ("xdp", "tap", "packet", "guest"))
def test_jumbo_frames(t, driver):
    wire = Wire(t, driver, mtu=JUMBO_MTU)
    wire.start()
    wire.exchange(JUMBO, *MIXED, "--cross-page", "--memory", BIG_MIB)
    # in pages of the largest size there is one segment less in a frame
    wire.check_ledger(JUMBO, also=("segments",))
    wire.be.stop()


@cases("driver", ("xdp", "packet", "guest"))
def test_guest_in_hugepages(t, driver):
    hugepages.reserve(t, HUGE_MIB)
    wire = Wire(t, driver)
    wire.start()
    wire.exchange(EVERY_SIZE, *MIXED, "--hugetlb", "--memory", HUGE_MIB,
                  "--regions", 2)
    wire.check_ledger(EVERY_SIZE)
    wire.be.stop()


# option of the port, and: the copybreak then, the reason to copy all
OPTIONS = {
    "copybreak=256": (256, None),
    "copybreak=1000": (1000, None),
    "loan=never": (0, "loan_never"),
}


@cases("driver", ("xdp", "tap"))
@cases("option", OPTIONS)
def test_options_of_loans(t, driver, option):
    wire = Wire(t, driver, options="," + option)
    wire.start()
    wire.exchange(EVERY_SIZE, *MIXED)
    copybreak, why = OPTIONS[option]
    wire.check_ledger(EVERY_SIZE, copybreak, why=why)
    wire.be.stop()


def alone(wire, sweep, *arguments):
    """The guest without a far end, and what it says."""
    return guest.result(wire.start_guest(*sweep.arguments(), "--scribble",
                                         *arguments))


@cases("order", ("fifo", "reverse", "random"))
@cases("layout", ("direct", "indirect", "mixed", "not-mergeable"))
def test_loop(t, order, layout):
    """Lent frames come back by way of a device that reorders and is slow."""
    wire = Wire(t, "loop", options=f",echo=on,delay=2,order={order}")
    wire.start()
    n, total = EVERY_SIZE.count(), EVERY_SIZE.bytes()
    said = alone(wire, EVERY_SIZE, "--receive", n, "--verify", "--window",
                 WINDOW, *LAYOUTS[layout])
    check_end(said, n, n, total, total)
    check(order != "fifo" or not said["out_of_order"], f"in order: {said}")
    wire.check_ledger(EVERY_SIZE)
    wire.be.stop()


@cases("size", (64, 1514, 9000))
def test_null(t, size):
    wire = Wire(t, "null")
    wire.start()
    sweep = Sweep(size, size, rounds=10000)
    said = alone(wire, sweep, *MIXED, "--memory", BIG_MIB, "--rate", 50000)
    check_end(said, sweep.count(), 0, sweep.bytes(), 0)
    wire.check_ledger(sweep)
    wire.be.stop()


@cases("driver", ("xdp", "tap", "packet"))
def test_as_fast_as_it_goes(t, driver):
    """Nothing waits for the far end: what is lost, its socket has lost. It may
    still have frames when the guest has ended: it is heard when it has read
    them, for they are in no count before."""
    wire = Wire(t, driver)
    wire.start()
    sweep = Sweep(1000, 1514, rounds=40)
    far = wire.start_far("--stream", wire.far_stream, "--verify", "--hold")
    a = alone(wire, sweep, *MIXED)
    check_end(a, sweep.count(), 0, sweep.bytes(), 0)
    pair = wire.be.settled_pair("a", "up")
    check(pair.frames == sweep.count() and not pair.drops(), pair.data)
    wait_for(wire.far_ns.packets_are_read, TIMEOUT_S,
             "the far end to read what its socket has")
    far.signal(signal.SIGTERM)
    said = guest.result(far)
    lost = sweep.count() - said["received"]
    check(said["verified"] == said["received"] and not said["corrupted"] and
          not said["duplicated"], f"{said}")
    check(lost == said["kernel_drops"],
          f"{lost} frames are lost, the socket says {said}")
    t.note(f"{a['sent_per_second']:.0f} frames a second, {lost} lost there")
    wire.be.stop()
