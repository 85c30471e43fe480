# SPDX-License-Identifier: BSD-2-Clause
"""Unit and conformance tests: meson runs them, we count what they say."""

import fnmatch
import json
import os
import re

from checklib import telling

from .counts import FAILED, PASSED, SKIPPED, Counts

CMOCKA = re.compile(r"^\[ *(PASSED|FAILED|SKIPPED) *\] (\d+) test\(s\)", re.M)
# what meson.build says, this many times: sanitizers and busy machines are slow
TIMEOUTS = "4"
# those that take long wait for most of it: for devices that do not answer
UNIT_JOBS = os.cpu_count() + 1


def unit_results(folder):
    path = os.path.join(folder, "meson-logs", "testlog.json")
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def unit_name(result):
    return result["name"].rpartition(" / ")[2]


def unit_failures(results):
    return [telling.program(unit_name(r), r["result"], r.get("stdout", "") +
                            r.get("stderr", "")) for r in results
            if r["result"] not in ("OK", "EXPECTEDFAIL", "SKIP")]


def count_unit(results):
    """Test cases where a program says how many it had, else programs."""
    counts = Counts()
    for result in results:
        cases = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
        for word, n in CMOCKA.findall(result.get("stdout", "") +
                                      result.get("stderr", "")):
            cases[word] += int(n)
        good = result["result"] in ("OK", "EXPECTEDFAIL")
        if good and cases["PASSED"]:
            counts += Counts(cases["PASSED"], 0, cases["SKIPPED"])
        elif good:
            counts += PASSED
        elif result["result"] == "SKIP":
            counts += SKIPPED
        else:
            counts += Counts(cases["PASSED"], max(cases["FAILED"], 1),
                             cases["SKIPPED"])
    return counts


def unit_test_names(run, folder, patterns):
    """Tests are listed as "project:suite / name"."""
    _, output = run.command(["meson", "test", "-C", folder, "--list"])
    names = [line.rpartition(" / ")[2].strip() for line in output.splitlines()
             if " / " in line]
    return [n for n in names
            if any(fnmatch.fnmatchcase(n, p) for p in patterns)]


def unit_tests(run, name, env=None, patterns=()):
    """All of them, or those whose name is like one of the patterns."""
    folder = run.folder(name)
    tests = unit_test_names(run, folder, patterns)
    if patterns and not tests:
        return FAILED
    status, _ = run.command(["meson", "test", "-C", folder, "--no-rebuild",
                             "--num-processes", str(UNIT_JOBS),
                             "--print-errorlogs", "--timeout-multiplier",
                             TIMEOUTS, *tests], env=env)
    results = unit_results(folder)
    run.slow.update({unit_name(r): r["duration"] for r in results})
    run.fail(unit_failures(results))
    counts = count_unit(results)
    return counts + FAILED if status and not counts.failed else counts


def stage_unit(run):
    return unit_tests(run, "gcc")
