# SPDX-License-Identifier: BSD-2-Clause
"""Figures in documents: made from results, never typed.

In a Markdown file

    <!-- bench: targets -->
    ...
    <!-- bench -->

what is between these lines is a table of that name, which is written anew from a
results file. Pure: text goes in, text comes out.
"""

import re

from lib.proc import Failure, check

from . import report

BLOCK = re.compile(r"(<!-- bench: (\S+) -->\n).*?(<!-- bench -->)", re.S)
RINGS = "ring-"
SUMMARY = ("fair-shaped", "fair-holding", "fair-nic", "null-64", "null-1518",
           "null-64k", "read-1518", "veth-1500", "pass-1518", "pass-64k",
           "spread", "idle", "memory", "memory-guest", "tcp-from", "tcp-to",
           "wake")
PEERS = ("dpdk", "ovs-dpdk", "qemu tap", "one pair")
NOT_MEASURED, NOTHING = "no figure", "nothing"


def _machine(files, _):
    return [["", ""], *([f"{what}", value] for what, value in
                        report.machine(files))]


def _wanted(results):
    """(title, against, figure, quartiles, wanted, verdict, note) of what has a
    target: ratios, and figures by themselves."""
    head, *ratios = report.ratios(results)
    yield head
    for title, figure, unit, wanted, verdict, note in report.limits(results)[1:]:
        yield [title, "", f"{figure} {unit}", report.NONE, wanted, verdict,
               note]
    for row in ratios:
        if row[4] != report.NONE:
            yield row


def _targets(_, results):
    head, *rows = _wanted(results)
    for row in rows:
        if row[5] == report.RED:
            row[5] = f"**{report.RED}**"
        elif row[5] == report.NONE:
            row[5] = NOT_MEASURED
    return [[*head[:5], "verdict", head[6]], *rows]


def _others(_, results):
    """Ratios nobody has a target for."""
    head, *rows = report.ratios(results)
    return [[*head[:4], head[6]],
            *([*row[:4], row[6]] for row in rows if row[4] == report.NONE)]


def _figure(results, work, who):
    found = results.summary(work, who)
    if not found:
        return report.NONE
    # DPDK has taken its memory before a further guest comes
    if found.median <= 0:
        return NOTHING
    return report.amount_text(found.median, results.works[work]["unit"])


def _ratio_text(ratio):
    if not ratio:
        return report.NONE
    return f"{ratio:.2f}" if ratio >= 0.01 else "under 0.01"


def _summary(_, results):
    """What people ask first: ours, and a peer's in the same run."""
    rows = [["", results.ours, "beside it", "", "ratio"]]
    for name in SUMMARY:
        work = results.works.get(name)
        peer = next((p for p in PEERS if work and p in work["against"]
                     and results.of(name, p)), None)
        if not work:
            continue
        ratio = results.ratio(name, peer).value if peer else None
        rows.append([work["title"], _figure(results, name, results.ours),
                     peer or "", _figure(results, name, peer) if peer else "",
                     _ratio_text(ratio)])
    return rows


def _curve(name):
    def table(_, results):
        """What a frame costs, by its size."""
        points = {n: w for n, w in results.works.items()
                  if w.get("curve") == name}
        sides = [c for c in results.contestants
                 if any(results.of(n, c) for n in points)]
        rows = [["size", *(f"{side}, ns" for side in sides)]]
        for work, facts in points.items():
            found = [results.summary(work, side, "cpu_ns") for side in sides]
            rows.append([f"{facts['size']} B", *(
                f"{s.median:.0f} ({s.low:.0f}..{s.high:.0f})" if s
                else report.NONE for s in found)])
        return rows
    return table


def _ring(_, results):
    """The floor, what our ring code adds, and all the rest."""
    head, *rows = report.measured(results)
    names = {w["title"] for n, w in results.works.items()
             if n.startswith(RINGS)}
    return [head, *(row for row in rows if row[0] in names)]


def _versions(_, results):
    return [["contestant", "what", "version"],
            *([name, c["title"], c.get("version") or ""]
              for name, c in results.contestants.items())]


TABLES = {
    "machine": _machine,
    "summary": _summary,
    "targets": _targets,
    "ratios": _others,
    "figures": lambda _, results: report.measured(results),
    "absent": lambda _, results: report.faults(results),
    "versions": _versions,
    "ring": _ring,
    **{name: _curve(name) for name in ("break-read", "break-loop",
                                       "break-veth")},
}


def renew(text, files, path):
    """The text of a document with its tables made from these results."""
    results = report.Results(files)

    def block(match):
        head, name, end = match.groups()
        if name not in TABLES:
            raise Failure(f"{path}: no table '{name}'; there are "
                          f"{' '.join(TABLES)}")
        rows = TABLES[name](files, results)
        lines = report.markdown(rows) if len(rows) > 1 else ["None."]
        return head + "\n".join(["", *lines, "", end])

    check(BLOCK.search(text), f"{path}: no <!-- bench: NAME --> in it")
    return BLOCK.sub(block, text)
