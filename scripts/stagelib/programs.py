# SPDX-License-Identifier: BSD-2-Clause
"""Stages that are one program of ours each."""

import os

from checklib import tree

from .counts import FAILED, PASSED, SKIPPED, Counts, last_count

NOBODY = "65534"
# what is done in unit tests to a depth of 14, and one more takes 1.4 times longer
ORDERS_DEPTH = 20


def stage_source(run):
    return last_count(*run.command(
        ["scripts/check", "--build", run.folder("gcc"),
         "--build-checks", run.folder("")], show=True))


def stage_lab(run):
    return last_count(*run.command(["tests/lab/run.py"], show=True,
                                   env={"GW_BUILD": run.folder("gcc")}))


def stage_orders(run):
    """The unit tests have the same, less deep."""
    status, _ = run.command(
        [run.folder("gcc/tests/interleave/interleave_test"), "-d",
         str(ORDERS_DEPTH)], show=True)
    return FAILED if status else PASSED


def stage_install(run):
    return last_count(*run.command(
        ["scripts/check-install", run.folder("gcc")], show=True))


def as_nobody():
    """The demo also runs for ordinary users; root can become one."""
    return ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups",
            "--no-new-privs"]


def stage_demo(run):
    counts = Counts()
    demo = [os.path.join(tree.ROOT, "scripts", "demo"), "--build",
            run.folder("gcc")]
    users = [("as " + ("root" if os.geteuid() == 0 else "this user"), [])]
    if os.geteuid() == 0:
        users.append(("as an ordinary user", as_nobody()))
    for who, prefix in users:
        status, _ = run.command(prefix + ["test", "-r", demo[0]])
        if status:
            print(f"  skip {who}: it may not read {tree.ROOT}")
            counts += SKIPPED
            continue
        status, _ = run.command(prefix + demo)
        print(f"  {'FAIL' if status else 'ok  '} {who}", flush=True)
        counts += FAILED if status else PASSED
    return counts
