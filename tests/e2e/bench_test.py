# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark runs, and its books add up; how fast anything was is no test.

Our side only: a peer wants packages, hugepages and time.
"""

import json
import os
import sys

from lib.proc import check, run
from lib.scenario import deadline

ROUNDS = 1
WORKS = ("null-1518", "packed-9000", "read-64k", "veth-1500", "pass-1518",
         "spread", "ring-packed", "break-loop-256")
SIDES = ("guestwire", "loan=never", "af_xdp", "one pair", "rings only")
PAGE = "<!-- bench: figures -->\n<!-- bench -->\n"
FILES = ("results.json", "table.txt", "table.md", "rates.svg", "ratios.svg")
RUN_TIMEOUT_S = 150


def bench(t, *arguments):
    return run([sys.executable, os.path.join(t.root, "scripts", "bench"),
                "--build", t.build, *arguments], timeout_s=RUN_TIMEOUT_S)


def rows_of(results):
    """Of works in which we have a rate: a load that was not let run has none."""
    titles = {w["name"]: w["title"] for w in results["works"]
              if w["figure"] == "rate"}
    return [f"| {titles[s['work']]} | guestwire |"
            for s in results["samples"]
            if s["who"] == "guestwire" and s["rate"] and s["work"] in titles]


def into_a_page(t, results, rows):
    page = t.path("page.md")
    with open(page, "w", encoding="utf-8") as f:
        f.write(PAGE)
    bench(t, "--report", results, "--into", page, "--plots", t.folder)
    with open(page, encoding="utf-8") as f:
        text = f.read()
    check(rows and all(row in text for row in rows), f"{rows} in {text}")
    check(os.path.getsize(t.path("break-loop.svg")), "no curve")


@deadline(180)
def test_our_side_runs(t):
    if len(os.sched_getaffinity(0)) < 2:
        t.skip("one processor: there is none for the load")
    out = t.path("results")
    chosen = [w for name in WORKS for w in ("--work", name)]
    sides = [w for name in SIDES for w in ("--who", name)]
    done = bench(t, *chosen, *sides, "--rounds", ROUNDS, "--seconds", 0.2,
                 "--out", out)
    for name in FILES:
        check(os.path.getsize(os.path.join(out, name)), f"{name} is empty")
    with open(os.path.join(out, "results.json"), encoding="utf-8") as f:
        results = json.load(f)
    faults = [s for s in results["samples"] if s["fault"]]
    check(not faults, f"{faults}\n{done.stdout}")
    check([w["name"] for w in results["works"]] == list(WORKS),
          f"works: {results['works']}")
    check({s["run"] for s in results["samples"]} == {results["run"]},
          "a sample is of another run")
    again = bench(t, "--report", os.path.join(out, "results.json"))
    check(again.stdout in done.stdout, f"another table: {again.stdout}")
    into_a_page(t, os.path.join(out, "results.json"), rows_of(results))
    t.note(f"{len(results['samples'])} measurements")
