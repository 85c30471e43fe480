# SPDX-License-Identifier: BSD-2-Clause
"""The table of stages, in their order. A stage is a function that takes the Run
and returns Counts.
"""

import collections

from . import builds, e2e, fuzzers, programs, sanitizers, units

TIERS = ("quick", "full")

Stage = collections.namedtuple("Stage", "function deadline_s needs what")
STAGES = {
    "gcc": Stage(builds.stage_gcc, 600, (), "build with gcc, -Werror"),
    "clang": Stage(builds.stage_clang, 600, (), "build with clang, -Werror"),
    "asan": Stage(sanitizers.stage_sanitized_build, 900, (),
                  "build with ASan and UBSan"),
    "tsan": Stage(sanitizers.stage_threads_build, 900, (),
                  "build with ThreadSanitizer"),
    "source": Stage(programs.stage_source, 1200, (), "scripts/check"),
    "unit": Stage(units.stage_unit, 300, ("gcc",),
                  "unit and conformance tests"),
    "install": Stage(programs.stage_install, 120, ("gcc",),
                     "meson install, and a program against the library"),
    "e2e": Stage(e2e.stage_e2e, 900, ("gcc",),
                 "end-to-end tests with the built-in guest"),
    "demo": Stage(programs.stage_demo, 180, ("gcc",), "make demo"),
    "asan-unit": Stage(sanitizers.stage_sanitized_unit, 600, ("asan",),
                       "unit tests under sanitizers"),
    "asan-e2e": Stage(sanitizers.stage_sanitized_e2e, 1500, ("asan",),
                      "end-to-end tests under sanitizers"),
    "threads": Stage(sanitizers.stage_threads, 600, ("tsan",),
                     "what has threads, under ThreadSanitizer"),
    "fuzz": Stage(fuzzers.stage_fuzz, 900, ("asan",),
                  "short runs of the fuzzers"),
    "orders": Stage(programs.stage_orders, 600, ("gcc",),
                    "all orders of events, deeper (full tier only)"),
    "lab": Stage(programs.stage_lab, 900, ("gcc",),
                 "NICs that send from guest memory, under QEMU"),
    "qemu": Stage(e2e.stage_qemu, 1800, ("gcc",),
                  "end-to-end tests with real guests"),
}
FULL_ONLY = {"orders"}
# what only computes, in the order in which it is wanted
BESIDE = ("clang", "asan", "tsan", "source")
# and those that it would take the processors from: a guest under emulation
# has them all
QUIET = ("lab", "qemu")


def choose(names, tier):
    """The stages that were asked for, and before them what they need."""
    wanted = set(names or STAGES)
    if not names and tier == "quick":
        wanted -= FULL_ONLY
    for name in list(wanted):
        wanted.update(STAGES[name].needs)
    return [name for name in STAGES if name in wanted]
