# SPDX-License-Identifier: BSD-2-Clause
"""The kernel and the initramfs of test guests, from scripts/."""

import functools
import os
import subprocess

from .proc import Skip

BUILD_TIMEOUT_S = 600


def _script(root, *argv):
    """What a script of ours prints, NAME=VALUE by line."""
    script = os.path.join(root, "scripts", argv[0])
    done = subprocess.run([script, *argv[1:]], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=BUILD_TIMEOUT_S)
    if done.returncode:
        raise Skip("no image for the guest: " + done.stderr.strip())
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@functools.lru_cache(maxsize=None)
def paths(root, *options):
    """{"version", "vmlinuz", "initrd"}; the cache is filled if it is empty.

    Options are those of make-guest-image: what the image has besides.
    """
    return _script(root, "make-guest-image", *options)


def lab_qemu(root):
    """A QEMU newer than Debian 12's: the lab's."""
    return _script(root, "fetch-lab")["qemu"]


def switch(root):
    """The folder of Open vSwitch with DPDK, which scripts/bench compares."""
    return _script(root, "fetch-ovs")["root"]


def tool(root, name):
    """The argv that runs a tool of the image on this machine."""
    folder = _script(root, "fetch-guest-tools")["root"]
    libraries = ":".join(os.path.join(folder, f, "x86_64-linux-gnu")
                         for f in ("lib", "usr/lib"))
    return [os.path.join(folder, "lib64", "ld-linux-x86-64.so.2"),
            "--library-path", libraries, os.path.join(folder, name)]
