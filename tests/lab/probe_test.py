# SPDX-License-Identifier: BSD-2-Clause
"""guestwire probe on NICs: what it says, asked and tried, comes true."""

from lib.scenario import cases

from lablib import foresight, hosts

# interface, MTU, and what the probe is to say of zero-copy
NICS = {
    "igb": ("igb", 1500, "yes"),
    "virtio": ("virtio", 1500, "yes"),
    "e1000e": ("e1000e", 1500, "no"),
    "lo": ("lo", 1500, "no"),
    "igb-9000": ("igb", 9000, "no"),
}

lab = hosts.sockets


@cases("device", NICS)
def test_what_is_foretold_comes_true(lab, device):
    foresight.comes_true(lab, *NICS[device])
