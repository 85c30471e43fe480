# SPDX-License-Identifier: BSD-2-Clause
"""From an application's buffer in a real guest to the device, without a copy.

The program in the guest sends with MSG_ZEROCOPY, or sendfile, and prints the
guest's frame numbers of the pages that it sends from (/proc/self/pagemap). The
trace of the loans must name the same pages, every byte of them; the guest's
kernel must say that it did not copy (SO_EE_CODE_ZEROCOPY_COPIED is not set);
the ledger, that we did not; and what arrives must be right.
"""

import hashlib
import json
import re

from lib import peer
from lib.proc import check, wait_for
from lib.scenario import alone, cases, deadline
from lib.site import Side, need_pinning, start_site, wait_registered
from lib.words import stream_words

PAGE_BYTES = 4096
# with guest-tool: a datagram for each page
DATAGRAM_BYTES = 1400
DATAGRAMS = 16
# one super-frame has 16; more than one
STREAM_PAGES = 64
TIMEOUT_S = 30
DRIVERS = ("xdp", "tap")


class Trace:
    """`guestwire trace --json` of a port, while the test goes on."""

    def __init__(self, side, be):
        self.side = side
        self.process = side.t.spawn(
            [be.client, "--control", be.control, "trace", side.up, "--json"],
            "trace")
        # it has begun when it tells of something
        side.vm.ping(side.host)
        self.process.wait_line('"event"', TIMEOUT_S)

    def events(self, kind):
        lines = self.process.out.text().splitlines()
        events = (json.loads(line) for line in lines if line)
        return [e for e in events if e["event"] == kind]

    def lent(self):
        """Where bytes of the guest were lent: (guest address, length)."""
        return [(s["guest_address"], s["bytes"])
                for e in self.events("lend") if e["source"] == self.side.port
                for s in e["segments"] if s["guest_address"] is not None]

    def wait_lent(self, wanted):
        """Until every byte of the ranges (address, length) was lent."""
        missing = wanted

        def covered():
            nonlocal missing
            missing = uncovered(wanted, self.lent())
            return not missing
        try:
            wait_for(covered, TIMEOUT_S, "loans of all pages")
        finally:
            if missing:
                self.side.t.note(f"not lent: {missing[:4]}")


def uncovered(wanted, ranges):
    """What of the wanted ranges is in none of the others."""
    ranges = sorted(ranges)
    missing = []
    for address, length in wanted:
        at, end = address, address + length
        for start, size in ranges:
            if start <= at < start + size:
                at = start + size
            if at >= end:
                break
        if at < end:
            missing.append((hex(at), end - at))
    return missing


def run_tool(side, *words):
    """The frame numbers of the program's pages, and the rest of its output."""
    output = side.vm.run("guest-tool " + " ".join(map(str, words)),
                         TIMEOUT_S).output
    frames = [int(m, 16) for m in re.findall(r"gfn=(0x[0-9a-f]+)", output)]
    return frames, output


def completions(output):
    """Calls, how many of them completed, for how many the kernel copied."""
    found = re.search(r"completions calls=(\d+) completed=(\d+) copied=(\d+)",
                      output)
    return [int(n) for n in found.groups()]


def check_not_copied(output, calls_min):
    calls, completed, copied = completions(output)
    check(calls >= calls_min and completed == calls,
          f"{completed} of {calls} calls completed, at least {calls_min} are "
          "to be made")
    check(copied == 0, f"the guest's kernel copied for {copied} of {calls}")


def check_no_copies(trace):
    copies = trace.events("copy")
    check(not copies, f"copied: {copies[:4]}")


def start(t, driver, guest_options=""):
    need_pinning(driver)
    side = Side(t, driver, guest_options=guest_options,
                image_options=("--add", t.program("guest-tool")))
    be = start_site(t, [side])
    side.reach()
    wait_registered(be, side)
    return side, be, Trace(side, be)


def check_datagrams(side, trace):
    with side.peer_ns.entered():
        sink = peer.Datagrams(side.host, TIMEOUT_S)
    side.t.on_exit(sink.close)
    frames, output = run_tool(side, "udp", side.host, sink.port, DATAGRAMS)
    check(len(set(frames)) == DATAGRAMS, f"{len(frames)} pages: {output}")
    check_not_copied(output, DATAGRAMS)
    trace.wait_lent([(f * PAGE_BYTES, DATAGRAM_BYTES) for f in frames])
    words = stream_words(1, DATAGRAMS * PAGE_BYTES)
    for i in range(DATAGRAMS):
        at = i * PAGE_BYTES
        check(sink.receive() == words[at:at + DATAGRAM_BYTES],
              f"datagram {i} arrives changed")
    side.t.note(f"udp: {DATAGRAMS} pages, the first {frames[0]:#x}")


def check_stream(side, trace, how):
    sink = peer.FileSink(side.t, side.peer_ns, side.host)
    frames, output = run_tool(side, how, side.host, sink.port, STREAM_PAGES)
    check(len(set(frames)) == STREAM_PAGES, f"{len(frames)} pages: {output}")
    # sendfile has no completions: it makes no calls of ours
    check_not_copied(output, 0 if how == "sendfile" else 1)
    trace.wait_lent([(f * PAGE_BYTES, PAGE_BYTES) for f in frames])
    words = stream_words(1, STREAM_PAGES * PAGE_BYTES)
    check(sink.result() == hashlib.sha256(words).hexdigest(),
          f"{how}: the stream arrives changed")
    side.t.note(f"{how}: {STREAM_PAGES} pages, the first {frames[0]:#x}")


@alone
@deadline(180)
@cases("driver", DRIVERS)
def test_pages_of_an_application(t, driver):
    """MSG_ZEROCOPY from a buffer, and sendfile from the page cache."""
    side, be, trace = start(t, driver)
    check_datagrams(side, trace)
    check_stream(side, trace, "tcp")
    check_stream(side, trace, "sendfile")
    check_no_copies(trace)
    be.stop()


@alone
@deadline(120)
def test_without_offloads_the_guest_copies(t):
    """Without a checksum offload a guest has no scatter-gather, and says so."""
    side, be, _ = start(t, "xdp", ",offloads=off")
    with side.peer_ns.entered():
        sink = peer.Datagrams(side.host, TIMEOUT_S)
    t.on_exit(sink.close)
    _, output = run_tool(side, "udp", side.host, sink.port, DATAGRAMS)
    calls, completed, copied = completions(output)
    check(calls == completed == copied == DATAGRAMS, output)
    be.stop()
