# SPDX-License-Identifier: BSD-2-Clause
"""What the machine is, and what was built: without it a figure says nothing."""

import glob
import json
import os
import platform
import re

from lib.proc import run

from . import counters

LINE_TRIP_TIMEOUT_S = 10


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read().strip()
    except OSError:
        return None


def _cpu():
    text = _read("/proc/cpuinfo") or ""
    for name in ("model name", "CPU part", "cpu"):
        match = re.search(rf"^{name}\s*: (.*)$", text, re.M)
        if match:
            return match.group(1)
    return platform.machine()


def _governor():
    found = {_read(p) for p in glob.glob(
        "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")}
    return ", ".join(sorted(filter(None, found))) or "not to be seen here"


def _memory_mib():
    match = re.search(r"^MemTotal: +(\d+) kB", _read("/proc/meminfo") or "",
                      re.M)
    return int(match.group(1)) >> 10 if match else None


def _build_options(build):
    """How our side was compiled: one with a sanitizer says nothing."""
    text = _read(os.path.join(build, "meson-info", "intro-buildoptions.json"))
    options = {o["name"]: o["value"] for o in json.loads(text or "[]")}
    words = [f"buildtype={options.get('buildtype')}"]
    if options.get("b_sanitize", "none") not in ("none", []):
        words.append(f"b_sanitize={options['b_sanitize']}")
    return " ".join(words)


def _virtual():
    return "hypervisor" in (_read("/proc/cpuinfo") or "")


class Stolen:
    """What the host of a virtual machine gave to others, from now on."""

    STEAL = 7  # proc(5), /proc/stat, behind the name of the line

    def __init__(self):
        self.begin = self._times()

    @staticmethod
    def _times():
        line = (_read("/proc/stat") or "cpu").partition("\n")[0]
        return [int(word) for word in line.split()[1:]]

    def text(self):
        spent = [b - a for a, b in zip(self.begin, self._times())]
        if len(spent) <= self.STEAL or not sum(spent):
            return "not to be seen here"
        return f"{100 * spent[self.STEAL] / sum(spent):.1f} % of the time"


def line_ns(program, cpus):
    """What a cache line takes from one processor to the other, now; where there
    is but one processor it goes nowhere."""
    if len(set(cpus)) < 2:
        return None
    said = run([program, *cpus], timeout_s=LINE_TRIP_TIMEOUT_S).stdout
    return json.loads(said)["line_ns"]


def facts(build):
    """{what: value}, in the order in which people want to read it."""
    return {
        "processor": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "virtual machine": "yes" if _virtual() else "no",
        "memory": f"{_memory_mib()} MiB",
        "kernel": platform.release(),
        "governor": _governor(),
        "load before": " ".join(f"{n:.2f}" for n in os.getloadavg()),
        "build": _build_options(build),
        "perf": counters.missing() or "counts",
    }
