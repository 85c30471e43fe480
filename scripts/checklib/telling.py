# SPDX-License-Identifier: BSD-2-Clause
"""The few lines of a long log that say what failed.

Who looks at a run sees its end, or little more. So what failed is said again
there, each with the lines that tell most: a Failure is its name and these.
Runners of ours print "FAIL name ..." and indent what belongs to it; of all else
the lines are picked that a compiler, a sanitizer or cmocka complains with.
"""

import base64
import collections
import os
import re

LINES_MAX = 15
# of so many all is said, and of the rest the names
TOLD_MAX = 12
COLUMNS_MAX = 240
# an input that is longer is better taken from its file
INPUT_MAX_BYTES = 4 << 10

Failure = collections.namedtuple("Failure", "name lines")

FAIL = re.compile(r"^FAIL +(\S.*)$")
DONE = re.compile(r"^ *ok +(\S+) (\d+\.\d) s\b")
BELONGS = re.compile(r"^     ")
COMPLAINT = re.compile(
    r"ERROR: |runtime error|^SUMMARY|\berror: |^FAILED: |^\[ *(?:FAILED|"
    r"ERROR) *\]|^\[ *LINE *\]|^Error: |Error: |ALARM: |deadly signal|"
    r"WARNING: ThreadSanitizer|Assertion|did not|deadline has passed|"
    r"ninja: |undefined reference|^\S+:\d+: error")
# the frames of a stack that are ours: in a file with a line, not of the compiler
FRAME = re.compile(r"^ +#\d+ .* in \S+ .*?((?:src|drivers|apps|tests|bench)/"
                   r"\S+:\d+)")
# a path as it was given to the compiler
BUILT_FROM = re.compile(r"/\S*/\.\./")
ARTIFACT = re.compile(r"Test unit written to (\S+)")


def bounded(lines, most=LINES_MAX):
    """The beginning and the end, if all is too much."""
    lines = [BUILT_FROM.sub("", line.rstrip())[:COLUMNS_MAX]
             for line in lines if line.strip()]
    if len(lines) <= most:
        return lines
    head = most // 3
    left_out = len(lines) - most + 1
    return [*lines[:head], f"... {left_out} lines ...",
            *lines[len(lines) - (most - head - 1):]]


def complaints(output, most=LINES_MAX):
    """What sanitizers, compilers and test programs say; else the end."""
    lines = output.splitlines()
    told = [line for line in lines
            if COMPLAINT.search(line) or FRAME.match(line)]
    # the summary comes last, and says most of it in one line
    return bounded(told, most) if told else bounded(lines[-most:], most)


def blocks(output):
    """Failures of a runner of ours, from its "FAIL name ..." lines."""
    found = []
    for line in output.splitlines():
        match = FAIL.match(line)
        if match:
            found.append(Failure(match.group(1)[:COLUMNS_MAX], []))
        elif found and found[-1] and BELONGS.match(line):
            found[-1].lines.append(line.strip())
        elif found and found[-1]:
            found.append(None)      # the next test's lines are not its own
    return [Failure(f.name, bounded(f.lines)) for f in found if f]


def program(name, result, output):
    """A test program of meson's, with what it has printed."""
    return Failure(f"{name} ({result})", complaints(output))


def durations(output):
    """{test: seconds} of a runner of ours."""
    return {match.group(1): float(match.group(2)) for match in
            map(DONE.match, output.splitlines()) if match}


def slowest(times, most=6):
    order = sorted(times.items(), key=lambda item: -item[1])[:most]
    return ", ".join(f"{name} {seconds:.0f} s" for name, seconds in order)


def fuzzer_input(name, binary, output):
    """How to have the input again, wherever one reads this."""
    match = ARTIFACT.search(output)
    if not match or not os.path.exists(match.group(1)):
        return ["it left no input: was it killed?"]
    path = match.group(1)
    replay = f"{binary} {path}"
    size = os.path.getsize(path)
    if size > INPUT_MAX_BYTES:
        return [f"the input has {size} bytes; replay: {replay}"]
    with open(path, "rb") as f:
        text = base64.b64encode(f.read()).decode("ascii")
    return [f"echo {text} | base64 -d > {name}.input",
            f"replay: {binary} {name}.input"]


def fuzzer(name, binary, output):
    """A fuzzer that failed: its input in full, and what the sanitizer said."""
    lines = fuzzer_input(name, binary, output)
    return Failure(name, lines + complaints(output, LINES_MAX - len(lines)))


def show(failed, out=print):
    """All of them, at the end of a run: {stage: [Failure]}."""
    everything = [(stage, f) for stage, many in failed.items() for f in many]
    for number, (stage, failure) in enumerate(everything):
        out(f"FAILED {stage}: {failure.name}")
        for line in failure.lines if number < TOLD_MAX else []:
            out(f"  | {line}")
