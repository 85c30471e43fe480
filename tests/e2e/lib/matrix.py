# SPDX-License-Identifier: BSD-2-Clause
"""Who speaks to us, over which kind of ring, with what, through which device.

    @matrix.rows("DPDK 22.11 virtio-user")
    @cases("ring", matrix.RINGS)
    @cases("feature", matrix.FEATURES)
    @cases("driver", matrix.DRIVERS)
    def test_cell(t, ring, feature, driver):

Each run of such a test is a cell of docs/matrix.md: there is a section for
each client, with a table that `run.py --matrix docs/matrix.md` rewrites. Where
it ran only some of the cells, the others stay.
"""

import collections
import os

RINGS = ("split", "packed")
FEATURES = ("plain", "indirect", "event-idx", "in-order", "mergeable",
            "multiqueue")
DRIVERS = ("xdp", "tap", "null")
HEADING = "## "
NOT_RUN = "not run"
FAILED = "FAIL"
BAD = (NOT_RUN, FAILED)

Cell = collections.namedtuple("Cell", "client ring feature driver")


def rows(client):
    """The runs of a test are the cells of this client."""
    def mark(function):
        function.client = client
        return function
    return mark


def cell_of(function, arguments):
    """The cell that a run of a test is, or None."""
    client = getattr(function, "client", None)
    return client and Cell(client, arguments["ring"], arguments["feature"],
                           arguments["driver"])


def text_of(cell, result, said):
    """What goes into the table. said: what the test said of its cell."""
    if result != "ok":
        return {"skip": NOT_RUN}.get(result, result)
    return said or ("one way" if cell.driver == "null" else "both ways")


def render(client, cells):
    """The lines of a client's table; cells: {Cell: text}."""
    drivers = [d for d in DRIVERS
               if any(c.client == client and c.driver == d for c in cells)]
    lines = ["| ring | feature | " + " | ".join(drivers) + " |",
             "|---" * (2 + len(drivers)) + "|"]
    known = FEATURES + tuple(sorted({c.feature for c in cells} -
                                    set(FEATURES)))
    for ring in RINGS:
        for feature in known:
            found = [cells.get(Cell(client, ring, feature, d))
                     for d in drivers]
            if any(found):
                lines.append(" | ".join([f"| {ring}", feature] +
                                        [f or NOT_RUN for f in found]) + " |")
    return lines


def parse(text):
    """{Cell: text} of a page."""
    cells, client, drivers = {}, None, None
    for line in text.splitlines():
        words = [w.strip() for w in line.strip("|").split("|")]
        if line.startswith(HEADING):
            client, drivers = line[len(HEADING):], None
        elif line.startswith("| ring | feature"):
            drivers = words[2:]
        elif drivers and line.startswith("| ") and len(words) > 2:
            for driver, word in zip(drivers, words[2:]):
                cells[Cell(client, words[0], words[1], driver)] = word
    return cells


def rewrite(text, cells):
    """A page with these cells in its tables, and its own where there is none."""
    merged = {**parse(text), **cells}
    lines, client, inside = [], None, False
    for line in text.splitlines():
        if line.startswith(HEADING):
            client = line[len(HEADING):]
        starts = line.startswith("| ring | feature")
        if starts:
            lines += render(client, merged)
        inside = starts or (inside and line.startswith("|"))
        if not inside:
            lines.append(line)
    return "\n".join(lines) + "\n"


def save(path, cells):
    with open(path, encoding="utf-8") as f:
        text = rewrite(f.read(), cells)
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".new", path)


def show(cells):
    """The tables of these cells, for people."""
    lines = []
    for client in dict.fromkeys(c.client for c in cells):
        lines += ["", HEADING + client, "", *render(client, cells)]
    return "\n".join(lines)
