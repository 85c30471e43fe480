# SPDX-License-Identifier: BSD-2-Clause
"""Results as SVG: bars with quartiles for each work, the ratios, and curves.

A work has a scale of its own, up to the generator's ceiling, which is a line:
64 bytes and 64 KiB have nothing to do with each other. A curve has what a frame
costs the back-end, by size, for works that say that they are points of it.
"""

from xml.sax.saxutils import escape

from . import report
from .figures import RATE

WIDTH, LEFT, RIGHT = 860, 150, 150
CURVE_HEIGHT, TICKS = 260, 4
BAR, GAP, HEAD = 16, 6, 26
NOTE_COLUMNS = 90
COLOURS = ("#1b6ca8", "#8fb8d9", "#e0a030", "#7a9e7e", "#c8553d", "#b58db6",
           "#998650", "#505050")
CSS = "text{font:12px sans-serif}.t{font-weight:bold}.n{fill:#777}"


class Drawing:
    def __init__(self, title):
        self.parts = []
        self.y = HEAD
        self.text(10, self.y, title, "t")
        self.y += HEAD

    def text(self, x, y, text, kind=""):
        self.parts.append(f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}">'
                          f'{escape(text)}</text>')

    def box(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                          f'height="{height:.1f}" fill="{colour}"/>')

    def line(self, x1, y1, x2, y2, colour="#333", dash=""):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" '
                          f'y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-dasharray="{dash}"/>')

    def bar(self, name, colour, share, low, high, text):
        """share, low and high: of the width that there is."""
        room, middle = WIDTH - LEFT - RIGHT, self.y + BAR / 2
        self.text(10, self.y + BAR - 4, name)
        self.box(LEFT, self.y, share * room, BAR, colour)
        self.line(LEFT + low * room, middle, LEFT + high * room, middle)
        self.text(LEFT + max(share, high) * room + 6, self.y + BAR - 4, text)
        self.y += BAR + GAP

    def note(self, name, text):
        if len(text) > NOTE_COLUMNS:
            text = text[:NOTE_COLUMNS] + " ..."
        self.text(10, self.y + BAR - 4, name)
        self.text(LEFT, self.y + BAR - 4, text, "n")
        self.y += BAR + GAP

    def svg(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
                f'height="{self.y:.0f}"><style>{CSS}</style>'
                '<rect width="100%" height="100%" fill="#fff"/>'
                + "\n".join(self.parts) + "</svg>\n")


def curves(results):
    """Names of those there are."""
    return list(dict.fromkeys(w["curve"] for w in results.works.values()
                              if w.get("curve")))


def curve(results, name):
    works = {n: w for n, w in results.works.items() if w.get("curve") == name}
    drawing = Drawing(f"{name}: nanoseconds of the back-end for a frame, by "
                      "its size in bytes")
    lines = {who: [results.summary(n, who, "cpu_ns") for n in works]
             for who in results.contestants}
    lines = {who: line for who, line in lines.items() if any(line)}
    top, room = drawing.y, WIDTH - LEFT - RIGHT
    scale = max([s.high for line in lines.values() for s in line if s],
                default=1) or 1
    xs = [LEFT + room * i / max(len(works) - 1, 1)
          for i in range(len(works))]

    def y_of(value):
        return top + CURVE_HEIGHT * (1 - value / scale)

    for i in range(TICKS + 1):
        value = scale * i / TICKS
        drawing.line(LEFT, y_of(value), LEFT + room, y_of(value), "#ddd")
        drawing.text(LEFT - 60, y_of(value) + 4, report.number_text(value))
    for x, work in zip(xs, works.values()):
        drawing.text(x - 10, top + CURVE_HEIGHT + BAR, str(work["size"]))
    for row, (who, line) in enumerate(lines.items()):
        colour = colour_of(results, who)
        points = [(x, s) for x, s in zip(xs, line) if s]
        for (x1, a), (x2, b) in zip(points, points[1:]):
            drawing.line(x1, y_of(a.median), x2, y_of(b.median), colour)
        for x, s in points:
            drawing.line(x, y_of(s.low), x, y_of(s.high), colour)
            drawing.box(x - 2, y_of(s.median) - 2, 4, 4, colour)
        drawing.box(WIDTH - RIGHT + 10, top + row * BAR, 10, 10, colour)
        drawing.text(WIDTH - RIGHT + 26, top + row * BAR + 10, who)
    drawing.y = top + CURVE_HEIGHT + HEAD
    return drawing.svg()


def colour_of(results, who):
    return COLOURS[list(results.contestants).index(who) % len(COLOURS)]


def rates(results):
    drawing = Drawing("Medians and quartiles; the dashed line is the load "
                      "generator's ceiling")
    for name, work in results.works.items():
        drawing.text(10, drawing.y + BAR - 4,
                     f"{work['title']}: {work['unit']}", "t")
        drawing.y += BAR + GAP
        top = drawing.y
        found = {who: results.summary(name, who)
                 for who in results.sides(name) if who != results.ceiling}
        ceiling = results.summary(name, results.ceiling) \
            if work["figure"] == RATE else None
        scale = max([s.high for s in (*found.values(), ceiling) if s],
                    default=1) or 1
        for who, s in found.items():
            if s:
                drawing.bar(who, colour_of(results, who), s.median / scale,
                            s.low / scale, s.high / scale,
                            report.number_text(s.median))
            else:
                drawing.note(who, "no peer here")
        if ceiling:
            x = LEFT + ceiling.median / scale * (WIDTH - LEFT - RIGHT)
            drawing.line(x, top, x, drawing.y - GAP, "#777", "4 3")
        drawing.y += GAP
    return drawing.svg()


def ratios(results):
    drawing = Drawing(f"{results.ours}: ratio to others in the same run; the "
                      "dashed line is 1")
    rows = [(work["title"], other, results.ratio(name, other))
            for name, work in results.works.items()
            for other in work["against"] if other in results.contestants]
    scale = max([r.high for _, _, r in rows if r.value], default=1)
    title = None
    top = drawing.y
    for work, other, ratio in rows:
        if work != title:
            title = work
            drawing.text(10, drawing.y + BAR - 4, title, "t")
            drawing.y += BAR + GAP
        if ratio.value is None:
            drawing.note(other, ratio.refusal)
            continue
        drawing.bar(other, colour_of(results, other), ratio.value / scale,
                    ratio.low / scale, ratio.high / scale,
                    f"{ratio.value:.2f}")
    x = LEFT + (WIDTH - LEFT - RIGHT) / max(scale, 1)
    drawing.line(x, top, x, drawing.y, "#777", "4 3")
    return drawing.svg()
