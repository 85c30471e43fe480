# SPDX-License-Identifier: BSD-2-Clause
"""What a test function is given, and how a test is described.

    @deadline(60)
    @cases("driver", ("xdp", "tap", "packet"))
    def test_ping(t, driver):
        ...

`t` makes things and takes them away again, the last first.
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


def cases(name, values):
    """The test runs once for each value; several of these multiply."""
    def mark(function):
        axes = getattr(function, "axes", [])
        function.axes = [(name, tuple(values))] + axes
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

    def skip(self, reason):
        raise Skip(reason)

    def need_tool(self, name, package):
        if not shutil.which(name):
            raise Skip(f"no {name} here (package {package})")

    def program(self, name):
        """A program of the build. Without it a test fails: it is not the
        machine that lacks something."""
        check(self.build, f"no {name}: GW_BUILD does not name the build folder")
        for folder in ("", os.path.join("apps", name),
                       os.path.join("tests", "e2e", "guest_tool")):
            path = os.path.join(self.build, folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
        raise Failure(f"no {name} in '{self.build}' (GW_BUILD)")

    def netns(self, name):
        return netns.NetNs(self, name)

    def spawn(self, argv, name, ns=None, env=None):
        return Proc(self, argv, name, ns, env)
