# SPDX-License-Identifier: BSD-2-Clause
"""The kernel and the initramfs of test guests, from scripts/."""

import functools
import os
import subprocess

from .proc import Skip

BUILD_TIMEOUT_S = 600


@functools.lru_cache(maxsize=None)
def paths(root):
    """{"version", "vmlinuz", "initrd"}; the cache is filled if it is empty."""
    script = os.path.join(root, "scripts", "make-guest-image")
    done = subprocess.run([script], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=BUILD_TIMEOUT_S)
    if done.returncode:
        raise Skip("no image for the guest: " + done.stderr.strip())
    return dict(line.split("=", 1) for line in done.stdout.splitlines())
