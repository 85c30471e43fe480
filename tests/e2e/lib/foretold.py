#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Does a port do what the probe foretold?

    foretold.py PROBE.json SHOW.json

compares `guestwire probe --json` (with or without --try), written before a
daemon was started, with its `guestwire show --json` afterwards: each port
whose target is an interface that was probed. An empty SHOW.json is a daemon
that did not start: then give the port as third word, DRIVER:IFNAME. Exits
with 1 and a line for each disagreement. It needs nothing but the two files,
so that they can come from another machine.
"""

import json
import re
import sys

ASKED, TRIED = "asked", "tried"


def findings(device, how):
    """{(path, subject): finding}; for TRIED the last word on each, else only
    what was asked."""
    return {(f["path"], f["subject"]): f for f in device["findings"]
            if how == TRIED or f["how"] == ASKED}


def device_of(probe, name):
    for device in probe["devices"]:
        if device["name"] == name:
            return device
    return None


def _start_problems(finding, port):
    """port: as in show, or None if the daemon did not start."""
    runs = port is not None and port["state"] == "running"
    verdict = finding["verdict"]
    if verdict != "unknown" and runs != (verdict == "yes"):
        yield f"start: foretold {verdict} ({finding['text']}), runs: {runs}"
    if not runs or verdict != "yes":
        return
    reads = finding["device_reads"]
    if port["device_reads"] not in reads:
        yield f"device_reads: foretold {reads}, is {port['device_reads']}"
    if finding["how"] == TRIED and len(reads) != 1:
        yield f"device_reads: tried, and still not sure: {reads}"
    if finding["max_len"] not in (0, port["max_len"]):
        yield (f"max_len: foretold {finding['max_len']}, is "
               f"{port['max_len']}")


# a status line of this length was cut, and what it ends with is not known
STATUS_MAX = 159
# how the xdp driver's status line begins
XDP_MODE = re.compile(r"queues? .*?, (zero-copy|copy mode)(, multi-buffer)?")


def _xdp_problems(found, port):
    status = port["status"]
    mode = XDP_MODE.search(status)
    if not mode:
        yield f"nothing to compare with in the status: {status}"
        return
    for subject, is_so in (("zero-copy", mode[1] == "zero-copy"),
                           ("multi-buffer", bool(mode[2]))):
        finding = found["xdp", subject]
        if finding["verdict"] not in ("unknown", "yes" if is_so else "no"):
            yield (f"{subject}: foretold {finding['verdict']} "
                   f"({finding['text']}), status: {status}")
    via = found["xdp", "receive"]["via"]
    if via and f"receive {via}" not in status and len(status) < STATUS_MAX:
        yield f"receive: foretold {via}, status: {status}"


def problems(probe, driver, ifname, port, how):
    """What the probe said about driver:ifname and is not so. port: from
    `show --json`; None: the daemon did not start."""
    device = device_of(probe, ifname)
    if device is None:
        return [f"{ifname}: not probed"]
    found = findings(device, how)
    if (driver, "start") not in found:
        return [f"{driver}:{ifname}: nothing is said"]
    wrong = list(_start_problems(found[driver, "start"], port))
    if driver == "xdp" and port and port["state"] == "running":
        wrong += _xdp_problems(found, port)
    return [f"{driver}:{ifname}, {how}: {p}" for p in wrong]


def compare(probe, show, absent=None):
    """All ports of `show` on interfaces of `probe`; absent: DRIVER:IFNAME of
    a daemon that did not start. (disagreements, number of ports compared)"""
    hows = (ASKED, TRIED) if probe["tried"] else (ASKED,)
    ports = [(p["driver"], p["target"], p) for p in show["ports"]
             if device_of(probe, p["target"])]
    if absent:
        driver, _, ifname = absent.partition(":")
        ports.append((driver, ifname, None))
    return [p for how in hows for driver, ifname, port in ports
            for p in problems(probe, driver, ifname, port, how)], len(ports)


def _load(path):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    return json.loads(text) if text.strip() else {"ports": []}


def main(words):
    if len(words) not in (2, 3):
        sys.exit(__doc__)
    wrong, count = compare(_load(words[0]), _load(words[1]), *words[2:])
    print("\n".join(wrong) if wrong else f"{count} ports as foretold")
    return 1 if wrong or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
