# SPDX-License-Identifier: BSD-2-Clause
"""An MTU that zero-copy does not take: copy mode that says so, or an error."""

from lib.proc import check

from lablib import hosts, zerocopy
from lablib.host import CONTROL
from lablib.load import Load, guest_port, patient

COUNT = 500
USUAL = 1500
TAKEN = 3000
TOO_LONG = 9000
LONG = (3500, 3900)
ETH_BYTES = 14
WHY = ("zero-copy refused: MTU 9000 is too long", "3822 or less can do")
ENDED_TIMEOUT_S = 30

lab = hosts.sockets


def set_mtu(lab, mtu):
    lab.run(f"ip link set igb mtu {mtu}")
    lab.wait_carrier("igb")


@patient
def test_copy_mode_says_why(lab):
    set_mtu(lab, TOO_LONG)
    be = lab.daemon([guest_port("a"), "up=xdp:igb"])
    lab.wait_carrier("igb")
    port = be.port("up")
    check(port["device_reads"] == "kernel-copy", f"{port}")
    for said in (port["status"], be.log()):
        for word in WHY:
            check(word in said, f"no '{word}' in: {said}")
    ledger = Load(lab, be, "a", "up", "igb", COUNT, LONG, 1,
                  ["--hugetlb"]).run()
    check((ledger.lent_frames, ledger.kernel_copied_frames) ==
          (ledger.frames, ledger.frames), f"the kernel copies: {ledger}")
    be.stop()
    set_mtu(lab, USUAL)


@patient
def test_zerocopy_beyond_the_usual(lab):
    """No driver need take it; this one does."""
    set_mtu(lab, TAKEN)
    be = zerocopy.start(lab, "igb")
    ledger = Load(lab, be, "a", "up", "igb", COUNT, (TAKEN - 300, TAKEN + ETH_BYTES), 1,
                  ["--hugetlb"]).run()
    check(ledger.lent_frames == ledger.frames and
          not ledger.kernel_copied_frames, f"nobody copies: {ledger}")
    be.stop()
    set_mtu(lab, USUAL)


def test_insisting_fails(lab):
    set_mtu(lab, TOO_LONG)
    daemon = lab.spawn(["guestwired", "--control", CONTROL, "--port",
                        "up=xdp:igb,bind=zerocopy"], "insists")
    status = daemon.wait(ENDED_TIMEOUT_S)
    said = daemon.err.text()
    for word in (*WHY, "bind=auto"):
        check(status and word in said, f"exits with {status}, no '{word}': {said}")
    set_mtu(lab, USUAL)
