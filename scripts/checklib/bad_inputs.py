# SPDX-License-Identifier: BSD-2-Clause
"""docs/bad-inputs.md, held against the tests that it names."""

import os
import re

from . import tree

PAGE = "docs/bad-inputs.md"
SPAN = re.compile(r"`([^`]+)`")
CASE = re.compile(r"^(\w+)::(\w+)$")
CVE = re.compile(r"CVE-\d{4}-\d{4,}")
MISDEEDS = re.compile(r'\{\s*"([a-z0-9-]+)",')
PLAYS = re.compile(r'\.name = "([a-z-]+)"')


def _texts(pattern):
    """{name without folder and suffix: text}; files of one name together."""
    texts = {}
    for path in tree.files():
        if re.search(pattern, path):
            name = os.path.splitext(os.path.basename(path))[0]
            texts[name] = texts.get(name, "") + tree.text(path)
    return texts


def _has_case(text, name):
    """A function of C or Python, or a word of a table."""
    return re.search(rf"\b(?:test_)?{name}\b\s*[(,]", text)


class Tests:
    def __init__(self):
        self.files = _texts(r"_test\.(c|py)$")
        self.files["conformance"] = "\n".join(
            _texts(r"tests/conformance/cases_\w+\.c$").values())
        self.misdeeds = set(MISDEEDS.findall("\n".join(
            _texts(r"guestwire-guest/misbehave\w*\.c$").values())))
        self.plays = set(PLAYS.findall(
            tree.text("tests/interleave/interleave_test.c")))

    def lacks(self, span):
        """What is wrong with a name; None if it is there, or names no test."""
        word, _, name = span.partition(" ")
        if word == "misbehave" and name != "NAME":
            return None if name in self.misdeeds else "no such misdeed"
        if word == "interleave" and name != "PLAY":
            return None if name in self.plays else "no such play"
        case = CASE.match(span)
        if not case or case.group(1) == "foo_test" or case.group(2) == "case":
            return None
        if case.group(1) not in self.files:
            return "no such file"
        if not _has_case(self.files[case.group(1)], case.group(2)):
            return "no such test"
        return None

    def files_of(self, row):
        for span in SPAN.findall(row):
            case = CASE.match(span)
            if case and case.group(1) in self.files:
                yield self.files[case.group(1)]


def check(_):
    tests = Tests()
    complaints = []
    for number, row in enumerate(tree.text(PAGE).splitlines(), 1):
        where = f"{PAGE}:{number}"
        spans = SPAN.findall(row)
        for span in spans:
            problem = tests.lacks(span)
            if problem:
                complaints.append(f"{where}: `{span}`: {problem}")
        if not row.startswith("| ") or row.startswith("| bad input") or \
                row.startswith("| what happens"):
            continue
        if not spans:
            complaints.append(f"{where}: a line without a test")
        for cve in CVE.findall(row):
            if not any(cve in text for text in tests.files_of(row)):
                complaints.append(f"{where}: none of its tests names {cve}")
    return complaints
