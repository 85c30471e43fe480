# SPDX-License-Identifier: BSD-2-Clause
"""What a front-end may ask of a back-end beside rings, while frames run: the
dirty log of a migration, memory in slots, memory that comes and goes."""

from lib import guest
from lib.proc import check
from lib.scenario import cases, deadline
from lib.wire import WINDOW, Wire, check_end, mac

RINGS = ("split", "packed")
SIZES = ("--size", "60-1514", "--size-step", 7)
FRAMES = 3000
PLUG_MS = 40
RATE = 3000
STREAM, FAR_STREAM = 1, 2

# how receive buffers and rings lie, for the log
LAYOUTS = {
    "one-buffer": (),
    "mergeable": ("--rx-buffer", 300),
    "pieces": ("--features-off", "mrg_rxbuf", "--rx-descriptors", "1-5",
               "--rx-header", "mixed", "--unaligned", "--cross-page"),
    "no-event": ("--features-off", "event_idx"),
    "in-order": ("--in-order",),
    "queues": ("--queues", 4),
}


def loop_wire(t, guest_options=",in_order=on"):
    wire = Wire(t, "loop", options=",echo=on", guest_options=guest_options)
    wire.start()
    return wire


def echo(t, wire, *arguments, frames=FRAMES):
    said = guest.run_guest(
        t, "--socket", wire.socket, "--send", frames, "--receive", frames,
        *SIZES, "--window", WINDOW, "--verify", "--scribble", *arguments)
    check_end(said, frames, frames)
    return said


@cases("ring", RINGS)
@cases("layout", LAYOUTS)
def test_dirty_log(t, ring, layout):
    """Each page that the device wrote is marked, and no page that it only
    read."""
    wire = loop_wire(t)
    said = echo(t, wire, "--log", "--ring", ring, *LAYOUTS[layout])
    log = said["log"]
    check(log["pages_written"] > 10 and log["pages_missing"] == 0 and
          log["pages_superfluous"] == 0, f"the log: {log}")
    t.note(f"{log['pages_written']} pages")
    wire.be.stop()


@cases("regions", (1, 16, 508))
def test_memory_slots(t, regions):
    """Added one by one, more than a table has."""
    wire = loop_wire(t)
    said = echo(t, wire, "--slots", "--regions", regions, "--memory",
                2 * regions + 16, "--descriptors", "1-7")
    check("configure_mem_slots" in said["features"], f"features: {said}")
    wire.be.stop()


@cases("config", ("on", "off"))
def test_a_configuration_space_of_ours(t, config):
    """Nobody answers on a control queue then: there is one pair only."""
    wire = loop_wire(t, f",config={config}")
    echo(t, wire)
    said = guest.run_guest(t, "--socket", wire.socket, "--queues", 2,
                           "--send", 1, may_fail=True)
    check(said["errors"] == ([] if config == "off" else
                             ["the back-end does not offer net_mq"]),
          f"two pairs: {said}")
    wire.be.stop()


@cases("ring", RINGS)
def test_inflight_file(t, ring):
    """Asked for, and given back, by a guest that then does what all do."""
    wire = loop_wire(t)
    said = echo(t, wire, "--inflight", "--ring", ring)
    check("inflight_shmfd" in said["features"], f"features: {said}")
    wire.be.stop()


# rings that stop, begin anew, or have their addresses taken away, while they run
STOPS = {
    "suspend-inflight": ("--suspend", 25, "--inflight"),
    "reset": ("--reset", 35),
    "iommu": ("--iommu", "--invalidate", 10),
    "iommu-all": ("--iommu", "--invalidate", 10, "--suspend", 45, "--reset",
                  70, "--inflight"),
}
COUNTED = {"--suspend": "suspends", "--reset": "resets",
           "--invalidate": "invalidations"}
STOPS_MIN, STOPS_TIMEOUT_S = 4, 75
RECEIVED_MIN = 50
# one that keeps frames for a while; and one whose far end sees them
HOLDS = ",delay=5,order=random"


@deadline(90)
@cases("ring", RINGS)
@cases("driver", ("loop", "tap"))
@cases("how", STOPS)
def test_rings_that_stop(t, how, driver, ring):
    """Each buffer comes back once, and each frame arrives once. (What comes in
    while the rings rest may be lost, as on a wire.)"""
    wire = Wire(t, driver, options=HOLDS if driver == "loop" else "")
    wire.start()
    far = wire.far_place and wire.start_far(
        "--receive-stream", STREAM, "--verify", "--receive", FRAMES)
    said = guest.result(wire.start_guest(
        "--stream", STREAM, "--mac", mac(STREAM), "--dst", mac(FAR_STREAM),
        "--send", FRAMES, *SIZES, "--rate", RATE, "--scribble", "--ring", ring,
        "--descriptors", "1-5", "--timeout", STOPS_TIMEOUT_S, *STOPS[how]),
        STOPS_TIMEOUT_S)
    check(said["exit"] == 0 and said["stop"]["clean"] and
          said["completed"] == FRAMES and not said["stop"]["lost"] and
          not said["missed_calls"], f"the guest: {said}")
    for option, count in COUNTED.items():
        check(option not in STOPS[how] or said[count] >= STOPS_MIN,
              f"{count}: {said}")
    # a device gives all back, so nothing is left to a record
    check(not said["left_in_flight"], f"left in flight: {said}")
    if far:
        got = guest.result(far)
        check(got["verified"] == FRAMES and not got["missing"] and
              not got["duplicated"], f"the far end: {got}")
    t.note(f"{said['suspends']} suspended, {said['resets']} resets with "
           f"{said['taken_back']} frames taken back, {said['misses']} misses, "
           f"{said['invalidations']} invalidations")
    wire.be.stop()


@deadline(90)
@cases("ring", RINGS)
@cases("layout", ("one-buffer", "pieces", "queues"))
def test_behind_an_iommu(t, ring, layout):
    """Both ways, all sizes, and the log is of guest addresses. (A frame for
    a buffer whose address is missed may be lost, as on a wire.)"""
    wire = loop_wire(t)
    said = guest.run_guest(
        t, "--socket", wire.socket, "--send", FRAMES, *SIZES, "--rate", RATE,
        "--verify", "--scribble", "--iommu", "--log", "--ring", ring,
        "--timeout", STOPS_TIMEOUT_S, *LAYOUTS[layout],
        timeout_s=STOPS_TIMEOUT_S)
    log = said["log"]
    check(said["exit"] == 0 and said["stop"]["clean"] and
          said["completed"] == FRAMES and said["misses"] > 4 and
          "access_platform" in said["features"], f"the guest: {said}")
    check(said["verified"] == said["received"] > RECEIVED_MIN,
          f"received: {said}")
    check(log["pages_missing"] == 0 and log["pages_superfluous"] == 0,
          f"the log: {log}")
    t.note(f"{said['misses']} misses, {said['received']} received, "
           f"{log['pages_written']} pages")
    wire.be.stop()


@deadline(60)
@cases("how", ("table", "slots"))
@cases("driver", ("tap", "xdp"))
def test_memory_comes_and_goes(t, driver, how):
    """Frames are sent from memory that is plugged and unplugged, all arrive.
    (What comes in while the rings rest for it may be lost, as on a wire.)"""
    wire = Wire(t, driver)
    wire.start()
    far = wire.start_far("--receive-stream", STREAM, "--verify", "--receive",
                         FRAMES)
    said = guest.result(wire.start_guest(
        "--stream", STREAM, "--mac", mac(STREAM), "--dst", mac(FAR_STREAM),
        "--send", FRAMES, *SIZES, "--rate", RATE, "--scribble", "--plug",
        PLUG_MS, *(["--slots"] if how == "slots" else [])))
    check(said["exit"] == 0 and said["stop"]["clean"] and
          said["completed"] == FRAMES, f"the guest: {said}")
    check(said["plugs"] >= 4, f"memory changed {said['plugs']} times only")
    got = guest.result(far)
    check(got["verified"] == FRAMES and not got["missing"] and
          not got["duplicated"], f"the far end: {got}")
    t.note(f"{said['plugs']} changes of memory")
    wire.be.stop()
