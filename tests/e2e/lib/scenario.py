# SPDX-License-Identifier: BSD-2-Clause
"""What a test function is given, and how a test is described.

    @deadline(60)
    @cases("driver", ("xdp", "tap", "packet"))
    def test_ping(t, driver):
        ...

`t` makes things and takes them away again, the last first.

Tests come in two tiers. The quick one is what a day's work can break and what
`make check` runs; the full one (GW_TIER=full, `make check-full`) has all of it:

    @long                                   # in the full tier only
    @cases("size", ALL, quick=(64, 1514))   # fewer values in the quick one
    for _ in range(rounds(10, 200)):        # quick, full
"""

import contextlib
import itertools
import os
import shutil

from . import netns
from .proc import Failure, Proc, Skip, check

DEADLINE_S = 60


def deadline(seconds):
    def mark(function):
        function.deadline_s = seconds
        return function
    return mark


def deadline_of(function):
    return getattr(function, "deadline_s", DEADLINE_S)


def is_full():
    return os.environ.get("GW_TIER", "quick") == "full"


def rounds(quick, full):
    """How often, how many, how long: a figure for each tier."""
    return full if is_full() else quick


def long(function):
    """The test is in the full tier only."""
    function.long = True
    return function


def alone(function):
    """It measures speed: nothing else runs beside it."""
    function.alone = True
    return function


def in_tier(function):
    return is_full() or not getattr(function, "long", False)


def cases(name, values, quick=None):
    """The test runs once for each value; several of these multiply.

    quick: the values that it has in the quick tier, if not all.
    """
    def mark(function):
        axes = getattr(function, "axes", [])
        chosen = values if quick is None or is_full() else quick
        function.axes = [(name, tuple(chosen))] + axes
        return function
    return mark


def expand(function):
    """(suffix, keyword arguments) for each run of a test function."""
    axes = getattr(function, "axes", [])
    names = [name for name, _ in axes]
    for values in itertools.product(*(values for _, values in axes)):
        label = ",".join(str(v) for v in values)
        yield (f"[{label}]" if label else ""), dict(zip(names, values))


class Test:
    """One run of a test function: its folder, and what must be undone."""

    def __init__(self, folder, build, root):
        self.folder = folder
        self.build = build
        self.root = root
        self.notes = []
        self.processes = []
        self.cell_text = None
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return self._stack.__exit__(*exception)

    def on_exit(self, function, *arguments):
        self._stack.callback(function, *arguments)

    def path(self, name):
        return os.path.join(self.folder, name)

    def note(self, text):
        """A figure for the line of this test."""
        self.notes.append(text)

    def cell(self, text):
        """What the matrix says of this test, if not that frames went."""
        self.cell_text = text

    def skip(self, reason):
        raise Skip(reason)

    def need_tool(self, name, package):
        if not shutil.which(name):
            raise Skip(f"no {name} here (package {package})")

    def program(self, name):
        """A program of the build. Without it a test fails: it is not the
        machine that lacks something."""
        check(self.build, f"no {name}: GW_BUILD does not name the build folder")
        for folder in ("", "bench", os.path.join("apps", name),
                       os.path.join("tests", "e2e", "guest_tool")):
            path = os.path.join(self.build, folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
        raise Failure(f"no {name} in '{self.build}' (GW_BUILD)")

    def netns(self, name):
        return netns.NetNs(self, name)

    def spawn(self, argv, name, ns=None, env=None):
        process = Proc(self, argv, name, ns, env)
        self.processes.append(process)
        return process

    def stories(self):
        """Of all processes but those whose end the test has seen."""
        return "\n".join(p.story() for p in self.processes if not p.expected)
