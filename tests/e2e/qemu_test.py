# SPDX-License-Identifier: BSD-2-Clause
"""Real guests: Linux under QEMU, over each driver that reaches a network.

The same scenarios run over each device; what the ledger must say about it is
in the table of lib/site.py.
"""

from lib import peer
from lib.proc import check
from lib.scenario import cases, deadline
from lib.site import (DEVICES, Side, need_pinning, start_site,
                      wait_registered)

OWN_MEMORY_MAX_BYTES = 32 << 20
LENT_SHARE_MIN = 0.99
SOME_BYTES = 4 << 20


def check_ledger(be, side):
    """What the device of the table must have done with the guest's frames."""
    reads = be.port(side.up)["device_reads"]
    check(reads == side.device.reads,
          f"{side.up} reads by '{reads}', not '{side.device.reads}'")
    if not side.device.lends:
        pair = check_all_copied(be, side)
        answer = pair.query.get("verdict"), pair.query.get("reason")
        check(answer == ("no", "device_cannot_read"),
              f"the driver of {side.up} answers {pair.query}")
        return
    pair = be.settled_pair(side.port, side.up)
    check(pair.query.get("verdict") in ("yes", "partly"),
          f"the driver of {side.up} answers {pair.query}")
    check(pair.lent_bytes + pair.header_bytes_copied > SOME_BYTES,
          f"only {pair.lent_bytes} bytes were lent; copies by reason: "
          f"{pair.copies()}")
    check(pair.lent_share() >= LENT_SHARE_MIN,
          f"{pair.lent_share():.2%} of the bytes lent; "
          f"copies by reason: {pair.copies()}")
    check(pair.kernel_copied_bytes >= pair.lent_bytes,
          f"the kernel copies what is lent to {side.driver}: "
          f"{pair.lent_bytes} bytes, it says {pair.kernel_copied_bytes}")
    side.t.note(f"{side.driver}: {pair.lent_share():.2%} lent")


def check_all_copied(be, side):
    pair = be.settled_pair(side.port, side.up)
    check(pair.lent_frames == 0, f"{pair.lent_frames} frames were lent")
    check(pair.copied_bytes > SOME_BYTES,
          f"only {pair.copied_bytes} bytes were copied")
    side.t.note(f"{side.driver}: all copied: "
                + ", ".join(sorted(pair.copies())))
    return pair


@deadline(400)
@cases("driver", DEVICES, quick=("xdp", "tap"))
def test_life_of_a_guest(t, driver):
    """DHCP, files, and every way in which a guest goes away and comes back."""
    need_pinning(driver)
    side = Side(t, driver)
    be = start_site(t, [side])
    pid = be.pid
    peer.dhcp_server(t, side.peer_ns, side.peer_if, "10.77.1.50", "10.77.1.59")
    address = side.vm.dhcp()
    check(address.startswith("10.77.1.5"), f"a strange address: {address}")
    peer.ping(side.peer_ns, address)
    side.files()
    check_ledger(be, side)

    side.vm.reload_driver()
    side.reach()
    side.vm.reboot()
    side.reach()
    side.vm.kill()
    side.vm.start()
    side.reach()
    side.files(SOME_BYTES)
    check_ledger(be, side)
    check(be.pid == pid and be.process.alive(), "the daemon was restarted")
    side.vm.power_off()
    be.stop()


@deadline(240)
@cases("driver", DEVICES, quick=("xdp", "tap"))
def test_guest_in_hugepages(t, driver):
    need_pinning(driver)
    side = Side(t, driver, hugetlb=True)
    be = start_site(t, [side])
    side.reach()
    wait_registered(be, side)
    side.files()
    check_ledger(be, side)
    be.stop()


@deadline(240)
@cases("driver", ("xdp", "tap"))
def test_loan_never(t, driver):
    side = Side(t, driver, options=",loan=never")
    be = start_site(t, [side])
    side.reach()
    side.files(2 * SOME_BYTES)
    check_all_copied(be, side)
    be.stop()


@deadline(240)
def test_client_mode(t):
    """QEMU listens, the daemon connects, and connects again."""
    need_pinning("xdp")
    side = Side(t, "xdp", guest_options=",mode=client")
    be = start_site(t, [side], server=True)
    side.reach()
    side.vm.kill()
    side.vm.start()
    side.reach()
    wait_registered(be, side)
    side.files(2 * SOME_BYTES)
    check_ledger(be, side)
    be.stop()


@deadline(240)
@cases("driver", ("tap",))
def test_daemon_comes_back(t, driver):
    """The daemon ends, and another takes its place; the guest stays."""
    side = Side(t, driver)
    be = start_site(t, [side])
    side.reach()
    be.terminate()
    be.start()
    side.vm.ping(side.host)
    be.kill()
    be.start()
    side.vm.ping(side.host)
    side.files(SOME_BYTES)
    be.stop()


@deadline(300)
def test_two_guests(t):
    """One lends and one copies, at once, and neither hears the other."""
    need_pinning("xdp")
    sides = [Side(t, "xdp", 1), Side(t, "packet", 2)]
    be = start_site(t, sides)
    for side in sides:
        side.reach()
        wait_registered(be, side)
    for side in sides:
        side.files(2 * SOME_BYTES)
    for side in sides:
        check_ledger(be, side)
    for source, target in (sides, reversed(sides)):
        check((source.port, target.up) not in be.pairs(),
              f"{source.port} and {target.up} are in different networks, and "
              "yet a pair")
    if not be.sanitized():
        own = be.private_bytes([side.vm.pid for side in sides])
        check(own < OWN_MEMORY_MAX_BYTES,
              f"the daemon takes {own >> 10} KiB of its own")
        t.note(f"daemon {own >> 10} KiB")
    be.stop()
