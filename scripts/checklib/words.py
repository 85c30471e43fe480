# SPDX-License-Identifier: BSD-2-Clause
"""What should not stay in the tree: notes to oneself, and untidy text."""

import re

from . import tree

TEXT = (".c", ".h", ".py", ".md", ".build", ".sh", ".1", ".5", ".7", ".8",
        ".txt", ".yml", ".ini", ".service")
# This file has to name them.
NOT_HERE = ("scripts/checklib/words.py",)
FORBIDDEN = (
    (re.compile(r"\b(TODO|FIXME|HACK)\b|\bX{3}\b(?!X)"),
     "do it, or open an issue"),
    (re.compile(r"^\s*#\s*if 0\b"), "dead code; git remembers it"),
    (re.compile(r"(?<![\w$}])/(home|Users)/(?!user\b)\w+"),
     "a path of one person's machine"),
)
LICENCE = "SPDX-License-Identifier: BSD-2-Clause"
LICENSED = (".c", ".h", ".py")
C_COLUMNS = 100
TAB_COLUMNS = 8


def _is_text(name):
    return name.endswith(TEXT) or tree.shebang(name)


def _check_file(name):
    content = tree.text(name)
    if content and not content.endswith("\n"):
        yield f"{name}: no newline at the end"
    for number, line in enumerate(content.splitlines(), 1):
        if line != line.rstrip():
            yield f"{name}:{number}: blanks at the end of the line"
        for pattern, why in FORBIDDEN:
            match = pattern.search(line)
            if match:
                yield f"{name}:{number}: '{match.group().strip()}': {why}"


def check_words(_):
    complaints = []
    for name in tree.files():
        if name not in NOT_HERE and _is_text(name):
            complaints += _check_file(name)
    return complaints


def check_licence(_):
    programs = tree.scripts("sh") + tree.scripts("python3")
    names = set(tree.ending(*LICENSED) + programs)
    return [f"{n}: no '{LICENCE}' in the first lines" for n in sorted(names)
            if LICENCE not in "\n".join(tree.text(n).splitlines()[:3])]


def _code_lines(name):
    """Lines but for tables, which stand between clang-format off and on."""
    table = False
    for number, line in tree.lines(name):
        if "clang-format o" in line:
            table = "clang-format off" in line
        if not table:
            yield number, line.expandtabs(TAB_COLUMNS)


def check_columns(_):
    return [f"{name}:{number}: {len(line)} columns, {C_COLUMNS} are the most"
            for name in tree.ending(".c", ".h")
            for number, line in _code_lines(name) if len(line) > C_COLUMNS]
