# SPDX-License-Identifier: BSD-2-Clause
"""What the lab boots: a kernel, a QEMU, and an initramfs with our programs."""

import os
import subprocess

FETCH_TIMEOUT_S = 600
MODULES = ("igb", "e1000e", "veth")
PROGRAMS = ("guestwired", "guestwire", "guestwire-guest", "herd")


class Missing(Exception):
    """What could not be fetched, and is not in the cache."""


def _output(argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=FETCH_TIMEOUT_S, check=False)
    if done.returncode:
        raise Missing(done.stderr.strip())
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def fetch(root):
    """Fill the cache, or raise Missing."""
    return _output([os.path.join(root, "scripts", "fetch-lab")])


def make(test):
    """{"version", "vmlinuz", "initrd", "qemu"} of an image for this test."""
    argv = [os.path.join(test.root, "scripts", "make-guest-image"), "--lab",
            "--output", test.path("lab.cpio")]
    for module in MODULES:
        argv += ["--module", module]
    for program in PROGRAMS:
        argv += ["--program", test.program(program)]
    return _output(argv)
