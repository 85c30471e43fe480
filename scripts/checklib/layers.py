# SPDX-License-Identifier: BSD-2-Clause
"""Layers: who may see whom, and who may use what.

meson gives each folder the include folders below it and no others; this looks
at the text once more, so that a line in a meson.build cannot quietly undo the
layers, and so that two headers of one name cannot stand in for each other.
"""

import os
import re

from . import tree

# A folder sees itself, the public headers, and the folders named here. Read
# from the top: every name on the right has its own line further up.
MAY_SEE = {
    "src/base": (),
    "src/probe": ("src/base",),
    "src/mem": ("src/base",),
    "src/virtio": ("src/base", "src/mem"),
    "src/vhost": ("src/base", "src/mem", "src/virtio"),
    "src/port": ("src/base", "src/mem", "src/virtio"),
    "src/network": ("src/base", "src/mem", "src/port"),
    "drivers/common": ("src/base", "src/mem", "src/virtio"),
    "drivers/guest": ("src/base", "src/mem", "src/virtio", "src/vhost",
                      "src/port", "drivers/common"),
    "drivers": ("src/base", "src/probe", "src/mem", "src/virtio",
                "drivers/common"),
    "src/engine": ("src/base", "src/mem", "src/port", "src/network",
                   "drivers"),
    "src/lib": ("src/base", "src/probe", "src/mem", "src/port", "src/network",
                "drivers", "src/engine"),
    "src/control": ("src/base",),
    "apps/guestwired": ("src/base", "src/control"),
    "apps/guestwire": ("src/base", "src/control"),
    # no ring code of the back-end: a misreading must not hide on both sides
    "apps/guestwire-guest": (),
}
# Numbers of the specifications, shared by both sides.
CONSTANTS = ("vhost_user_spec.h", "virtio_spec.h")

# What only some folders may use: pattern, the folders, why.
RESERVED = (
    (r"__ATOMIC_|memory_order_|\batomic_(load|store|fetch)",
     ("src/base/atomic.h", "apps/guestwire-guest/order.h"),
     "memory orders are named in src/base/atomic.h only"),
    (r"#include <jansson\.h>", ("src/control", "apps", "tests"),
     "only control and the programs know JSON"),
    (r"\bpthread_create\b|\bthrd_create\b",
     ("src/engine", "src/control", "src/lib", "apps", "tests", "bench"),
     "nothing below the engine starts a thread"),
    (r"#include \"(session|message|vhost_user_spec)\.h\"",
     ("src/vhost", "drivers/guest", "apps/guestwire-guest", "tests", "bench"),
     "only drivers/guest knows vhost-user"),
)

INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def folder_of(name):
    """The entry of MAY_SEE that a file belongs to; None: not layered."""
    folder = os.path.dirname(name)
    while folder:
        if folder in MAY_SEE:
            return folder
        folder = os.path.dirname(folder)
    return None


def _is_test(name):
    return name.endswith("_test.c") or name.startswith("tests/")


def _headers():
    """{file name: path}, and complaints about names that exist twice."""
    paths, twice = {}, []
    for path in tree.ending(".h"):
        if path.startswith("include/"):
            continue
        name = os.path.basename(path)
        if name in paths:
            twice.append(f"{path}: the name is taken by {paths[name]}")
        paths[name] = path
    return paths, twice


def _visible(user, target):
    home = folder_of(target)
    allowed = MAY_SEE[user]
    return (home in (user, *allowed) and
            # inside drivers/, a driver sees itself and not its neighbours
            (home != "drivers" or user != "drivers" or
             os.path.dirname(target) == "drivers"))


def _check_includes(name, paths):
    user = folder_of(name)
    for number, line in tree.lines(name):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = paths.get(os.path.basename(match.group(1)))
        if target is None:
            continue
        if os.path.dirname(target) == os.path.dirname(name):
            continue
        if "/" in match.group(1):
            yield f"{name}:{number}: include by file name, not by path"
        if user is None or _is_test(name) or target.startswith("tests/"):
            continue
        if os.path.basename(target) in CONSTANTS:
            continue
        if not _visible(user, target):
            yield (f"{name}:{number}: {user} may not see "
                   f"{folder_of(target) or os.path.dirname(target)}")


def _check_reserved(name):
    for pattern, places, why in RESERVED:
        if name.startswith(places) or _is_test(name):
            continue
        for number, line in tree.lines(name):
            if re.search(pattern, line):
                yield f"{name}:{number}: {why}"


def check(_):
    paths, complaints = _headers()
    for name in tree.ending(".c", ".h"):
        complaints += _check_includes(name, paths)
        complaints += _check_reserved(name)
    return complaints
