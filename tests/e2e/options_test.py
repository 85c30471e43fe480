# SPDX-License-Identifier: BSD-2-Clause
"""Options of drivers with values that they cannot have: --check finds them, and
so does a start, before it touches anything."""

import re

from lib.proc import check, run
from lib.scenario import deadline

EXIT_USAGE = 2
COMMON = "On every port"
# no word of any list, no number, and one that is too high for all
WRONG = ("nonsense", "-1", "99999999999999")
# where these would do
WRONG_TOO = {"network": ("a/b", "-1", "")}
# what only the driver knows
CLOSE_MISSES = (
    ("guest", "queues=0"), ("guest", "queues=129"),
    ("packet", "txring=15"), ("packet", "txring=4097"),
    ("xdp", "queue=65536"), ("xdp", "txring=63"), ("xdp", "txring=96"),
    ("xdp", "rxring=8193"), ("xdp", "rxring=65"),
    ("xdp", "checksum=device,bind=zerocopy"),
    ("loop", "segs=0"), ("loop", "ring=4097"), ("loop", "max_len=13"),
    ("loop", "delay=3600001"),
    ("null", "copybreak=65563"), ("null", "loans=32769"), ("null", "bounce=0"),
)


def drivers(t):
    """{driver: (target, [options])}, and the options of all of them."""
    found, driver = {}, None
    text = run([t.program("guestwired"), "--list-drivers"]).stdout
    for line in text.partition("\nReasons")[0].splitlines():
        head = re.match(r"  (\w+):(\w*)$", line)
        option = re.match(r"    (\w+)=", line)
        if head:
            driver = head[1]
            found[driver] = head[2], []
        elif line == COMMON:
            driver = COMMON
            found[driver] = "", []
        elif option:
            found[driver][1].append(option[1])
    return found, found.pop(COMMON)[1]


def spec(driver, target, option):
    return f"a={driver}:{'nowhere' if target else ''},{option}"


def refusal(t, driver, target, option, *arguments):
    """What is said, if it is refused as a usage error that names the option."""
    done = run([t.program("guestwired"), *arguments, "--control",
                t.path("control"), "--port", spec(driver, target, option)],
               may_fail=True)
    check(done.returncode == EXIT_USAGE and
          option.partition("=")[0] in done.stderr.replace(
              f"--port {spec(driver, target, option)}", ""),
          f"{driver} with {option}: {done.returncode}, {done.stderr}")
    return done.stderr


@deadline(180)
def test_each_option_with_a_wrong_value(t):
    found, common = drivers(t)
    check(len(found) >= 6 and {"network", "loans"} <= set(common), found)
    tried = 0
    for driver, (target, options) in found.items():
        for name in options + (common if driver == "null" else []):
            for value in WRONG_TOO.get(name, WRONG):
                refusal(t, driver, target, f"{name}={value}", "--check")
                tried += 1
    t.note(f"{tried} values of {sum(len(o) for _, o in found.values())} "
           "options")


@deadline(60)
def test_values_that_only_the_driver_knows(t):
    found, _ = drivers(t)
    for driver, option in CLOSE_MISSES:
        if driver in found:
            target = found[driver][0]
            said = refusal(t, driver, target, option, "--check")
            check(refusal(t, driver, target, option) == said,
                  f"{driver} with {option}: a start says something else")
