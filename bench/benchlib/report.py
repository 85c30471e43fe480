# SPDX-License-Identifier: BSD-2-Clause
"""Results as tables: aligned for a terminal, and as Markdown.

Results are what harness.py writes as JSON: {"run", "machine", "versions",
"contestants", "works", "samples", ...}. Several may be shown side by side; what
the arithmetic (figures.py) makes of samples of two runs is no ratio.
"""

from . import figures
from .figures import RATE, Sample

MET, RED = "met", "NOT MET"
NONE = "-"
LONGER = {"ns": "us", "us": "ms", "ms": "s"}


def digits(value):
    """Three of them say something."""
    size = abs(value)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2}f}"


def number_text(number):
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if number >= unit:
            return digits(number / unit) + name
    return f"{number:.0f}" if number == int(number) else digits(number)


def amount_text(number, unit):
    """With its unit; of time the one that has the fewest digits."""
    while unit in LONGER and number >= 1e3:
        number, unit = number / 1e3, LONGER[unit]
    return f"{number_text(number)} {unit}"


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

    def summary(self, work, who, field=None):
        """Of what counts in that work; None if the side does not count."""
        side = self.of(work, who)
        if figures.fault(side):
            return None
        field = field or self.works[work]["figure"]
        return figures.summarize(getattr(s, field) for s in side)

    def excepted(self):
        return [name for name, c in self.contestants.items()
                if c.get("own_load") or not c.get("carries", True)]

    def ceiling_of(self, work):
        """None where there is no load."""
        return figures.good(self.of(work, self.ceiling)) \
            if self.works[work]["load"] else None

    def ratio(self, work, other):
        return figures.ratio(
            self.of(work, self.ours), self.of(work, other),
            self.ceiling_of(work), (self.ours, other),
            self.works[work]["figure"], self.excepted())

    def share_of_ceiling(self, work, who):
        """How much of what the generator can the side has asked of it."""
        ceiling, side = self.ceiling_of(work), self.of(work, who)
        if not ceiling or who in (self.ceiling, *self.excepted()) \
                or not side or figures.fault(side):
            return None
        return 1 - figures.headroom(side, ceiling)

    def sides(self, work):
        """Who was measured in a work, the ceiling first where it is one of what
        counts there."""
        names = [self.ceiling] if self.works[work]["figure"] == RATE else []
        return [who for who in (*names, *self.contestants)
                if self.of(work, who)]


COSTS = (("cpu_ns", "ns"), ("cycles", "cycles"),
         ("instructions", "instructions"))


def measured(results):
    """A line for each side of each work: medians, quartiles in brackets."""
    rows = [["work", "who", "median", "quartiles", "unit", "of the ceiling",
             *(f"{name} a frame" for _, name in COSTS)]]
    for name, work in results.works.items():
        for who in results.sides(name):
            found = results.summary(name, who)
            if not found:
                continue
            share = results.share_of_ceiling(name, who)
            row = [work["title"], who, number_text(found.median),
                   f"{number_text(found.low)}..{number_text(found.high)}",
                   work["unit"], NONE if share is None else f"{share:.0%}"]
            for field, _ in COSTS:
                cost = results.summary(name, who, field)
                row.append(f"{cost.median:.0f}" if cost else NONE)
            rows.append(row)
    return without_empty(rows)


def without_empty(rows):
    keep = [i for i in range(len(rows[0]))
            if any(row[i] != NONE for row in rows[1:])]
    return [[row[i] for i in keep] for row in rows]


def verdict(value, wanted, most):
    if value is None or wanted is None:
        return NONE
    return MET if (value <= wanted if most else value >= wanted) else RED


def wanted_text(wanted, most):
    return NONE if wanted is None else \
        f"{'at most' if most else 'at least'} {wanted:g}"


def ratios(results):
    rows = [["work", "against", "ratio", "quartiles", "wanted", "", "note"]]
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
                wanted_text(wanted, work["most"]),
                verdict(ratio.value, wanted, work["most"]),
                "; ".join(ratio.notes) if counts else ratio.refusal])
    return rows


def limits(results):
    """Figures of ours that have a limit by themselves."""
    rows = [["work", results.ours, "unit", "wanted", "", "note"]]
    for name, work in results.works.items():
        if work["limit"] is None:
            continue
        found = results.summary(name, results.ours)
        value = found.median if found else None
        calm, note = figures.calm(results.of(name, results.ours))
        rows.append([work["title"], number_text(value) if found else NONE,
                     work["unit"], wanted_text(work["limit"], work["most"]),
                     verdict(value if calm else None, work["limit"],
                             work["most"]), note])
    return rows


def faults(results):
    """Who took no part in what, and why."""
    rows = [["work", "who", "why it does not count"]]
    for name, work in results.works.items():
        for who in results.sides(name):
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
            "that does nothing. What a frame costs is the back-end's."]
    text += [f"{name}: {c['title']}" +
             (f" ({c['version']})" if c.get("version") else "") + "."
             for name, c in results.contestants.items()]
    text.append("Medians, quartiles beside them. A ratio is that of the "
                f"medians of one run; none is given within "
                f"{100 * figures.HEADROOM_MIN:.0f} % of the ceiling, where "
                "frames were lost, or bytes.")
    return text


def line_text(file):
    """What the machine was like all the while."""
    seen = [ns for s in file["samples"] for ns in s.get("line_ns") or () if ns]
    if not seen:
        return NONE
    return f"{min(seen):.0f} to {max(seen):.0f} ns, " \
           f"{figures.median(seen):.0f} in the median"


def machine(files):
    rows = [["run", *(f["run"] for f in files)],
            ["begun", *(f["begun"] for f in files)],
            ["processors", *(f"load {f['cpus'][0]}, back-end {f['cpus'][1]}"
                             for f in files)],
            ["rounds", *(f"{f['rounds']} of {f['seconds']:g} s" for f in files)]]
    rows.append(["a cache line from one to the other",
                 *map(line_text, files)])
    for what in files[0]["machine"]:
        rows.append([what, *(str(f["machine"].get(what, NONE))
                             for f in files)])
    return rows


def show(files, form):
    """All tables, with one of the two functions above."""
    results = Results(files)
    tables = [machine(files), measured(results), ratios(results),
              limits(results), faults(results)]
    parts = [form(rows) for rows in tables if len(rows) > 1]
    parts.append(legend(results))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"
