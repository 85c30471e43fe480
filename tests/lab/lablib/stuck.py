# SPDX-License-Identifier: BSD-2-Clause
"""Frames of a guest that wait in igb, whose transmitter is switched off."""

from lib.proc import check

from .gate import IgbGate
from .load import Load

COUNT = 150
SIZES = (300, 1514)
SUBMIT_TIMEOUT_S = 60


def stuck(lab, be):
    """A guest whose frames wait in the NIC."""
    load = Load(lab, be, "a", "up", None, COUNT, SIZES, options=["--hugetlb"],
                lead=4)
    gate = IgbGate(lab, "igb")
    lab.run(gate.shut_script)
    load.go()
    be.wait_show(lambda _: be.port("a")["rx_frames"] == COUNT,
                 SUBMIT_TIMEOUT_S, "the guest's frames in the daemon")
    check(be.pair("a", "up").loans_out, "no loans are out")
    return load
