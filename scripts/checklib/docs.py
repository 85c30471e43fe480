# SPDX-License-Identifier: BSD-2-Clause
"""The documentation, held against what it speaks of."""

import os
import re
import subprocess

from . import reasons, tree

ROW = re.compile(r"^\| `(\w+)` \| ([^|]*?) \| ([^|]*?) \|$")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
FENCE = re.compile(r"^```(sh|console)\n(.*?)^```", re.M | re.S)
PROGRAMS = ("guestwired", "guestwire", "guestwire-guest")
HELP_TIMEOUT_S = 10


def _check_advice(rows):
    """The last column is what `guestwire explain` says."""
    advice = reasons.advice()
    for name, _, text in rows:
        want = advice.pop(name, None)
        if text != want:
            yield (f"docs/reasons.md: `{name}`: '{text}': "
                   f"apps/guestwire/advice.c has '{want}'")
    for name in advice:
        yield f"docs/reasons.md: no row for the advice on `{name}`"


def check_reasons(_):
    """docs/reasons.md has the rows of the table, in its order and words, and
    after them the copies that have no reason. Each reason is given, and expected
    by a test."""
    table = reasons.table()
    rows = [m.groups() for m in
            map(ROW.match, tree.text("docs/reasons.md").splitlines()) if m]
    complaints = []
    for want, (*have, _) in zip(table, rows):
        if want != tuple(have):
            complaints.append(f"docs/reasons.md: `{have[0]}` | {have[1]}: "
                              f"the table has `{want[0]}` | {want[1]}")
    if len(rows) < len(table):
        complaints.append(f"docs/reasons.md: {len(rows)} rows, "
                          f"{len(table)} reasons in the table")
    return complaints + list(_check_advice(rows)) + list(reasons.unused())


def check_links(_):
    complaints = []
    for name in tree.ending(".md"):
        for target in LINK.findall(tree.text(name)):
            path = os.path.join(tree.ROOT, os.path.dirname(name), target)
            if "://" not in target and not os.path.exists(path):
                complaints.append(f"{name}: no '{target}' to link to")
    return complaints


def _commands():
    """(file, command line) of the documentation's shell examples."""
    for name in tree.ending(".md"):
        for language, block in FENCE.findall(tree.text(name)):
            block = block.replace("\\\n", " ")
            for line in block.splitlines():
                prompt = line.startswith(("$ ", "# "))
                if language == "console":
                    if prompt:
                        yield name, line[2:]
                elif not line.startswith("#"):
                    yield name, line


def _help(build, program):
    """What --help prints; None without a build."""
    path = os.path.join(tree.ROOT, build, "apps", program, program)
    if not os.access(path, os.X_OK):
        return None
    done = subprocess.run([path, "--help"], capture_output=True, text=True,
                          timeout=HELP_TIMEOUT_S, check=False)
    return done.stdout + done.stderr


def _check_command(words, targets, helps):
    for i, word in enumerate(words):
        bare = word.lstrip("./")
        if word == "make" or bare == "make":
            for target in words[i + 1:]:
                if re.fullmatch(r"[a-z-]+", target) and target not in targets:
                    yield f"the Makefile has no '{target}'"
        elif bare.startswith(("scripts/", "tests/")):
            if not os.path.exists(os.path.join(tree.ROOT, bare)):
                yield f"there is no '{bare}'"
        elif os.path.basename(word) in helps:
            text = helps[os.path.basename(word)]
            for option in re.findall(r"(?<!\S)--[a-z][\w-]*",
                                     " ".join(words[i + 1:])):
                if text is not None and option not in text:
                    yield f"{os.path.basename(word)} has no '{option}'"
            return


def check_commands(options):
    """Targets, scripts and options in shell examples exist."""
    targets = re.findall(r"^([a-z-]+):", tree.text("Makefile"), re.M)
    helps = {p: _help(options.build, p) for p in PROGRAMS}
    complaints = []
    for name, line in _commands():
        words = line.partition(" # ")[0].split()
        complaints += [f"{name}: '{line.strip()}': {what}"
                       for what in _check_command(words, targets, helps)]
    return complaints


def check_pages(_):
    """The manual pages are well-formed."""
    pages = [p for p in tree.ending(".1", ".5", ".7", ".8")
             if p.startswith(("docs/", "man/"))]
    if not pages:
        return ["no manual pages found"]
    complaints = tree.tool(["mandoc", "-T", "lint", "-W", "warning", *pages])
    # Debian's list of pages is not this project's: what we refer to may be
    # in a section that this machine has not installed
    return [c for c in complaints if "referenced manual not found" not in c]
