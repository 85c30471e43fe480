# SPDX-License-Identifier: BSD-2-Clause
"""Builds: one folder for each compiler and set of options."""

import os

from .counts import FAILED, PASSED


def configure_and_build(run, name, compiler, options=()):
    folder = run.folder(name)
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        status, _ = run.command(["meson", "setup", folder, "-Dwerror=true",
                                 *options], env={"CC": compiler})
        if status:
            return FAILED
    status, _ = run.command(["ninja", "-C", folder])
    return FAILED if status else PASSED


def stage_gcc(run):
    return configure_and_build(run, "gcc", "gcc")


def stage_clang(run):
    return configure_and_build(run, "clang", "clang")
