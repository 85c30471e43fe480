# SPDX-License-Identifier: BSD-2-Clause
"""The tables of reasons, and of what can be done about them, read from C."""

import re

from . import tree

HEADER = "include/guestwire/reason.h"
ADVICE = "apps/guestwire/advice.c"
SUBJECTS = "apps/guestwire/advice.h"
ROW = re.compile(r'X\(GW_\w+,\s*"(\w+)",\s*"([^"]*)"\)')


def table():
    """[(name, text)], in the order of the header."""
    return ROW.findall(tree.text(HEADER))


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
