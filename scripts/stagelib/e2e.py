# SPDX-License-Identifier: BSD-2-Clause
"""End-to-end tests: which of them a stage runs, on which build."""

import glob
import os

from checklib import tree

from .counts import Counts, last_count

# those that are hostile, on each device: under a sanitizer all of them, without
# one only with what lends and with the driver that has no device
SANITIZED_ONLY = ("hostile_test::all_misdeeds[tap]",
                  "hostile_test::all_misdeeds[packet]",
                  "hostile_test::all_misdeeds[guest]")
# the files of tests/e2e that need a virtual machine
QEMU_FILES = "*qemu*"


def e2e_files():
    folder = os.path.join(tree.ROOT, "tests", "e2e")
    names = {os.path.basename(p)[:-3] for p in glob.glob(folder + "/*.py")}
    qemu = {os.path.basename(p)[:-3]
            for p in glob.glob(os.path.join(folder, QEMU_FILES))}
    # the harness boots a guest of its own to test itself
    qemu.add("lib_selftest")
    names -= {"run", "__init__"}
    return sorted(names - qemu), sorted(names & qemu)


def run_e2e(run, build, names, env=None, without=()):
    if not names:
        return Counts()
    words = [w for name in names for w in ("-k", name)]
    words += [w for name in without for w in ("--without", name)]
    return last_count(*run.command(
        ["tests/e2e/run.py", "--jobs", str(os.cpu_count()), *words], show=True,
        env={"GW_BUILD": run.folder(build), **(env or {})}))


def stage_e2e(run):
    return run_e2e(run, "gcc", [n + "::" for n in e2e_files()[0]],
               without=SANITIZED_ONLY if run.tier == "quick" else ())


def stage_qemu(run):
    return run_e2e(run, "gcc", [n + "::" for n in e2e_files()[1]])
