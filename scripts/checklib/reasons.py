# SPDX-License-Identifier: BSD-2-Clause
"""The tables of reasons, and of what can be done about them, read from C."""

import re

from . import tree

HEADER = "include/guestwire/reason.h"
ADVICE = "apps/guestwire/advice.c"
SUBJECTS = "apps/guestwire/advice.h"
WORD = re.compile(r"\w+")
ROW = re.compile(r'X\((GW_\w+),\s*"(\w+)",\s*"([^"]*)"\)')


def table():
    """[(name, text)], in the order of the header."""
    return [(name, text) for _, name, text in ROW.findall(tree.text(HEADER))]


def unused():
    """What is wrong with reasons that nothing gives, or that no test expects."""
    code, tests = set(), set()
    for path in tree.ending(".c", ".py"):
        is_test = path.startswith("tests/") or "_test." in path
        if is_test or path.startswith(("src/", "drivers/")):
            (tests if is_test else code).update(WORD.findall(tree.text(path)))
    for symbol, name, _ in ROW.findall(tree.text(HEADER)):
        if symbol not in code:
            yield f"{HEADER}: nothing gives `{name}` as a reason"
        # the kernel's own counts cannot all be made to move
        if not symbol.startswith("GW_DEVICE_") and \
                not tests.intersection((symbol, name)):
            yield f"{HEADER}: no test expects `{name}`"


# { SUBJECT, WHEN, "SHOW", "TEXT" }; the subject is a string or a macro
ADVICE_ROW = re.compile(r'\{ ("\w+"|[A-Z_]+), (?:"[^"]*"|NULL), "[^"]*",\s*'
                        r'"([^"]*)" \}')
SUBJECT = re.compile(r'#define (ADVICE_\w+)\s+"(\w+)"')


def advice():
    """{subject: text}; where it depends, the texts in their order."""
    names = dict(SUBJECT.findall(tree.text(SUBJECTS)))
    texts = {}
    for subject, text in ADVICE_ROW.findall(tree.text(ADVICE)):
        subject = names.get(subject, subject.strip('"'))
        texts.setdefault(subject, []).append(text)
    return {s: "; or: ".join(t) for s, t in texts.items()}
