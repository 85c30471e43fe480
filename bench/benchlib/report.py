# SPDX-License-Identifier: BSD-2-Clause
"""Results as tables: aligned for a terminal, and as Markdown.

Results are what harness.py writes as JSON: {"run", "machine", "versions",
"contestants", "works", "samples", ...}. Several may be shown side by side; what
the arithmetic (figures.py) makes of samples of two runs is no ratio.
"""

from . import figures
from .figures import Sample

MET, RED = "met", "NOT MET"
NONE = "-"


def rate_text(rate):
    """Three digits that say something."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if rate >= unit:
            value = rate / unit
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {name}"
    return f"{rate:.0f}"


class Results:
    """One results file, or several."""

    def __init__(self, files):
        self.files = files
        self.works = {w["name"]: w for f in files for w in f["works"]}
        self.contestants = {c["name"]: c for f in files
                            for c in f["contestants"]}
        self.ours, self.ceiling = files[0]["ours"], files[0]["ceiling"]
        self.samples = [Sample(**s) for f in files for s in f["samples"]]

    def of(self, work, who):
        return [s for s in self.samples if (s.work, s.who) == (work, who)]

    def summary(self, work, who, field="rate"):
        """None if the side does not count."""
        side = self.of(work, who)
        if figures.fault(side):
            return None
        return figures.summarize(getattr(s, field) for s in side)

    def ratio(self, work, other):
        return figures.ratio(
            self.of(work, self.ours), self.of(work, other),
            figures.good(self.of(work, self.ceiling)), (self.ours, other))


def rates(results):
    """Medians, and quartiles in brackets."""
    names = [results.ceiling, *results.contestants]
    rows = [["frames/s", *names]]
    for name, work in results.works.items():
        row = [work["title"]]
        for who in names:
            found = results.summary(name, who)
            row.append(f"{rate_text(found.median)} ({rate_text(found.low)}.."
                       f"{rate_text(found.high)})" if found else NONE)
        rows.append(row)
    return rows


def verdict(ratio, wanted):
    if ratio.value is None or wanted is None:
        return NONE
    return MET if ratio.value >= wanted else RED


def ratios(results):
    rows = [["work", "against", "ratio", "quartiles", "at least", "", "note"]]
    for name, work in results.works.items():
        for other, wanted in work["against"].items():
            if other not in results.contestants:
                continue
            ratio = results.ratio(name, other)
            counts = ratio.value is not None
            rows.append([
                work["title"], other,
                f"{ratio.value:.2f}" if counts else NONE,
                f"{ratio.low:.2f}..{ratio.high:.2f}" if counts else NONE,
                NONE if wanted is None else f"{wanted:g}",
                verdict(ratio, wanted),
                "; ".join(ratio.notes) if counts else ratio.refusal])
    return rows


COSTS = (("cpu_ns", "ns"), ("cycles", "cycles"),
         ("instructions", "instructions"))


def costs(results):
    """Of the back-end for one frame; medians, of what could be counted."""
    rows = [["back-end, per frame", *(f"{who}, {unit}"
                                      for who in results.contestants
                                      for _, unit in COSTS)]]
    for name, work in results.works.items():
        row = [work["title"]]
        for who in results.contestants:
            for field, _ in COSTS:
                found = results.summary(name, who, field)
                row.append(f"{found.median:.0f}" if found else NONE)
        rows.append(row)
    keep = [0] + [i for i in range(1, len(rows[0]))
                  if any(row[i] != NONE for row in rows[1:])]
    return [[row[i] for i in keep] for row in rows]


def faults(results):
    """Who took no part in what, and why."""
    rows = [["work", "who", "why it does not count"]]
    for name, work in results.works.items():
        for who in (results.ceiling, *results.contestants):
            why = figures.fault(results.of(name, who))
            if why:
                rows.append([work["title"], who, why])
    return rows


def aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths))
            .rstrip() for row in rows]


def markdown(rows):
    def line(row):
        return "| " + " | ".join(row) + " |"
    return [line(rows[0]), "|" + "---|" * len(rows[0]), *map(line, rows[1:])]


def legend(results):
    text = [f"{results.ceiling}: the load generator against a ring consumer "
            "that does nothing."]
    text += [f"{name}: {c['title']}" +
             (f" ({c['version']})" if c.get("version") else "") + "."
             for name, c in results.contestants.items()]
    text.append("Medians, quartiles beside them. A ratio is that of the "
                f"medians of one run; none is given within "
                f"{100 * figures.HEADROOM_MIN:.0f} % of the ceiling, where "
                "frames were lost, or bytes.")
    return text


def machine(files):
    rows = [["run", *(f["run"] for f in files)],
            ["begun", *(f["begun"] for f in files)],
            ["processors", *(f"load {f['cpus'][0]}, back-end {f['cpus'][1]}"
                             for f in files)],
            ["rounds", *(f"{f['rounds']} of {f['seconds']:g} s" for f in files)]]
    for what in files[0]["machine"]:
        rows.append([what, *(str(f["machine"].get(what, NONE))
                             for f in files)])
    return rows


def show(files, form):
    """All tables, with one of the two functions above."""
    results = Results(files)
    parts = [form(machine(files)), form(rates(results)),
             form(ratios(results)), form(costs(results))]
    if len(faults(results)) > 1:
        parts.append(form(faults(results)))
    parts.append(legend(results))
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"
