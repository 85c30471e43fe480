# SPDX-License-Identifier: BSD-2-Clause
"""The picture at the end: boxes, arrows and figures for a terminal."""

import os
import sys

WIDTH = 78
INNER = WIDTH - 4

ASCII = str.maketrans("═▶◀─│┌┐└┘├┤✓✗…", "=><-|++++++*!.")
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32",
           "yellow": "33", "cyan": "36"}


class Canvas:
    """Prints lines, with what this terminal can show."""

    def __init__(self, stream=None):
        self.stream = stream or sys.stdout
        term = os.environ.get("TERM", "")
        locale = os.environ.get("LC_ALL", "")
        encoding = (self.stream.encoding or "").lower().replace("-", "")
        self.unicode = (encoding == "utf8" and term != "dumb" and
                        locale not in ("C", "POSIX"))
        self.colour = (self.stream.isatty() and term not in ("", "dumb") and
                       not os.environ.get("NO_COLOR"))

    def paint(self, text, colour):
        if not colour or not self.colour:
            return text
        return f"\033[{COLOURS[colour]}m{text}\033[0m"

    def line(self, *parts):
        """Parts are text, or (text, colour)."""
        text = "".join(p if isinstance(p, str) else self.paint(*p)
                       for p in parts)
        if not self.unicode:
            text = text.translate(ASCII).encode("ascii", "replace").decode()
        print(text, file=self.stream, flush=True)

    # a frame around everything, WIDTH columns wide

    def top(self, title):
        dashes = "─" * (WIDTH - len(title) - 5)
        self.line(("┌─ ", "dim"), (title, "bold"), (f" {dashes}┐", "dim"))

    def middle(self):
        self.line(("├" + "─" * (WIDTH - 2) + "┤", "dim"))

    def bottom(self):
        self.line(("└" + "─" * (WIDTH - 2) + "┘", "dim"))

    def row(self, *parts):
        length = sum(len(p if isinstance(p, str) else p[0]) for p in parts)
        self.line(("│ ", "dim"), *parts, " " * (INNER - length),
                  (" │", "dim"))

    def prose(self, text, indent=0, colour=None):
        for line in wrap(text, INNER - indent):
            self.row(" " * indent, (line, colour))


def wrap(text, width):
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = ""
        line += (" " if line else "") + word
    if line:
        yield line


def count(n):
    """1234567 -> "1 234 567"."""
    return f"{n:,}".replace(",", " ")


def size(n):
    """Bytes in a unit that reads well."""
    for unit, digits in (("B", 0), ("kB", 1), ("MB", 1)):
        if n < 1000 or unit == "MB":
            return f"{n:.{digits}f} {unit}"
        n /= 1000


def share(part, whole):
    if not whole:
        return "-"
    percent = 100 * part / whole
    # 99.96 is not 100, and 0.04 is not 0
    if part != whole:
        percent = min(percent, 99.9)
    if part:
        percent = max(percent, 0.1)
    return f"{percent:.0f} %" if part in (0, whole) else f"{percent:.1f} %"


BOX = 12
GAP = 15


def centre(text, width):
    return text[:width].center(width)


def arrow(right, heavy=False):
    shaft = ("═" if heavy else "─") * (GAP - 3)
    return f" {shaft}▶ " if right else f" ◀{shaft} "


def boxes(canvas, columns):
    """Boxes side by side: columns are boxes and gaps in turn.

    A box is a list of texts, a gap a list of (text, colour), all of one length.
    """
    edge = "─" * BOX
    blank = " " * GAP
    count_boxes = (len(columns) + 1) // 2
    canvas.row(" " + blank.join([f"┌{edge}┐"] * count_boxes))
    for cells in zip(*columns):
        parts = [" "]
        for i, cell in enumerate(cells):
            if i % 2:
                parts.append((centre(cell[0], GAP), cell[1]))
            else:
                parts.append(f"│{centre(cell, BOX)}│")
        canvas.row(*parts)
    canvas.row(" " + blank.join([f"└{edge}┘"] * count_boxes))


FRAMES_COLUMN = 12
BYTES_COLUMN = 12


def figure(canvas, text, frames, octets, colour=None, indent=2):
    """A row of the ledger. frames None: what is counted is not frames."""
    left = " " * indent + text
    numbers = ("" if frames is None else count(frames)).rjust(FRAMES_COLUMN)
    numbers += ("" if octets is None else size(octets)).rjust(BYTES_COLUMN)
    space = INNER - len(numbers)
    canvas.row((left[:space].ljust(space), colour), (numbers, colour))
