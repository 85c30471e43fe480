# SPDX-License-Identifier: BSD-2-Clause
"""The built-in guest: a vhost-user front-end without a virtual machine.

    sent = run_guest(t, "--socket", sock, "--send", 1000)
    host = start_guest(t, "--interface", "peer", "--receive", 1000, ns=ns)
    got = result(host)

With --interface it is the other end of a wire: a raw socket on a host's
interface that sends and verifies the same patterns.
"""

import json

from .proc import Failure, run

RUN_TIMEOUT_S = 40


def command(test, *arguments):
    return [test.program("guestwire-guest"), "--json", *arguments]


def run_guest(test, *arguments, ns=None, timeout_s=RUN_TIMEOUT_S,
              may_fail=False):
    """Run it to its end. Returns what it says about itself (--json)."""
    done = run(command(test, *arguments), ns=ns, timeout_s=timeout_s,
               may_fail=may_fail)
    return _parse(done.stdout, done.stderr)


def start_guest(test, *arguments, name="guest", ns=None):
    """In the background. Returns its Proc, once rings or socket are up."""
    process = test.spawn(command(test, "--ready-fd", "2", *arguments), name,
                         ns=ns)
    process.wait_line("^ready$", RUN_TIMEOUT_S, stream=process.err)
    return process


def result(process, timeout_s=RUN_TIMEOUT_S):
    """Wait for the end of a guest in the background, and what it says."""
    status = process.wait(timeout_s)
    if status:
        raise Failure(f"{process.name} exits with {status}:\n"
                      f"{process.err.tail()}\n{process.out.tail()}")
    return _parse(process.out.text(), process.err.text())


def _parse(text, errors):
    """Its last line, or all of it, is one JSON object."""
    for candidate in (text, text.strip().rpartition("\n")[2]):
        try:
            return json.loads(candidate)
        except ValueError:
            pass
    raise Failure(f"guestwire-guest --json gave no JSON:\n{text}\n{errors}")
