# SPDX-License-Identifier: BSD-2-Clause
"""guestwire explain and guestwire trace: that they say what really happened.

explain: each line's counter has that value in `show`. trace: a loan is named
by the addresses that the guest itself says it used.
"""

import json
import re

from lib import guest, memlock
from lib.daemon import Daemon
from lib.proc import check, wait_for
from lib.scenario import cases
from lib.wire import Wire, addresses

TIMEOUT_S = 10
LOANS = 8
COUNT = 400
RATE = 2000
FRAME_BYTES = 1000
SUPER_BYTES, MSS_BYTES = 9000, 1400


def explain(be, *words):
    return json.loads(be.command("explain", *words, "--json").stdout)


def pair_of(said, source, egress):
    for pair in said["pairs"]:
        if (pair["source"], pair["egress"]) == (source, egress):
            return pair
    check(False, f"no pair from {source} to {egress}: {said}")


def line_of(pair, subject):
    for line in pair["lines"]:
        if line["subject"] == subject:
            return line
    check(False, f"'{subject}' is not said: {json.dumps(pair, indent=1)}")


def check_counters(be, pair):
    """Each line stands on a counter of `show`, and the heaviest is first."""
    shown = be.pair(pair["source"], pair["egress"]).data
    last = None
    for line in pair["lines"]:
        value = shown
        for name in line["counter"].split("."):
            value = value[name]
        check(value == line["value"], f"{line['counter']} is {value}: {line}")
        check(line["advice"], f"no advice: {line}")
        weight = (line["by"] == "dropped", -line["bytes"])
        check(last is None or last <= weight, f"not in order: {pair}")
        last = weight


def send(t, sock, count, *more):
    """A guest that sends, to its end."""
    return guest.run_guest(t, "--socket", sock, "--send", count, "--rate",
                           20000, "--ring-size", 256, *more)


def start_sending(t):
    """A guest that sends until stop_sending()."""
    return guest.start_guest(
        t, "--socket", t.path("a.sock"), "--send", 0, "--size", FRAME_BYTES,
        "--ring-size", 256, "--rate", RATE, "--timeout", 0)


def stop_sending(process):
    process.signal(15)
    return guest.result(process)


def wait_copied(be, reason):
    """Until some were copied for this reason: answers come when they come."""
    be.wait_show(lambda _: be.pair("a", "d").copies().get(reason), TIMEOUT_S,
                 f"copies because of {reason}")


def loop_daemon(t, options):
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", f"d=loop:,{options}"])
    be.start()
    return be


# ---- explain

def test_the_kernel_copies_on_a_veth(t):
    wire = Wire(t, "xdp")
    wire.start()
    process = wire.start_guest(*addresses(1, 2), "--send", COUNT, "--size",
                               FRAME_BYTES, "--rate", 2000)
    guest.result(process)
    wire.be.settled_pair("a", "up")
    pair = pair_of(explain(wire.be, "up"), "a", "up")
    check_counters(wire.be, pair)
    line = line_of(pair, "kernel_copied_bytes")
    check(pair["kernel_copied_bytes"] == COUNT * FRAME_BYTES and
          line["share"] == 1.0 and line["by"] == "kernel", f"{pair}")
    check(line["now"]["egress.device_reads"] == "kernel-copy" and
          "zero-copy" in line["advice"], f"{line}")
    text = wire.be.command("explain", "up").stdout
    check("copied by the kernel" in text and "do: " in text, text)
    wire.be.stop()


def test_too_few_loans(t):
    be = loop_daemon(t, f"loans={LOANS},delay=20")
    process = start_sending(t)
    wait_copied(be, "loans_out")
    line = line_of(pair_of(explain(be, "a"), "a", "d"), "loans_out")
    check(line["now"] == {"loans_peak": LOANS, "loans_max": LOANS} and
          "loans=N" in line["advice"], f"{line}")
    stop_sending(process)
    be.stop()


def test_a_high_copybreak(t):
    be = loop_daemon(t, "copybreak=2000")
    process = start_sending(t)
    wait_copied(be, "copybreak")
    said = stop_sending(process)
    be.settled_pair("a", "d")
    pair = pair_of(explain(be, "d"), "a", "d")
    check_counters(be, pair)
    line = line_of(pair, "copybreak")
    check(line["now"] == {"copybreak": 2000} and "lower it" in line["advice"],
          f"{line}")
    check(pair["lent_bytes"] == 0 and pair["copied_bytes"] ==
          said["sent"] * FRAME_BYTES, f"{pair} of {said['sent']}")
    be.stop()


def test_nothing_was_copied(t):
    be = Daemon(t, [f"a=guest:{t.path('a.sock')}", "d=null:"])
    be.start()
    send(t, t.path("a.sock"), COUNT, "--size", FRAME_BYTES)
    pair = pair_of(explain(be, "d"), "a", "d")
    check(pair["lent_bytes"] + pair["copied_bytes"] == COUNT * FRAME_BYTES,
          f"{pair}")
    check({line["subject"] for line in pair["lines"]} <= {"query_pending"},
          f"{pair}")
    be.stop()


def but_time(snapshot):
    """What workers did with their time has changed by asking for it."""
    return {key: value for key, value in json.loads(snapshot).items()
            if key != "work"}


def saved_and_explained(be, path):
    """What explain says of the snapshot in path; None: it has changed since."""
    saved = be.command("show", "--json").stdout
    live = be.command("explain", "d").stdout
    if but_time(be.command("show", "--json").stdout) != but_time(saved):
        return None
    with open(path, "w", encoding="utf-8") as f:
        f.write(saved)
    return live


def test_a_saved_snapshot(t):
    be = loop_daemon(t, "copybreak=2000")
    send(t, t.path("a.sock"), COUNT, "--size", FRAME_BYTES)
    path = t.path("saved.json")
    live = wait_for(lambda: saved_and_explained(be, path), TIMEOUT_S,
                    "two snapshots that are equal")
    done = be.command("explain", "z", may_fail=True)
    check(done.returncode == 1 and "no port named 'z'" in done.stderr, done)
    be.stop()
    check(be.command("explain", "d", "--from", path).stdout == live, live)


# ---- trace

def start_trace(t, be, *words):
    """A trace that is on."""
    process = t.spawn([be.client, "--control", be.control, "trace", "--json",
                       *words], "trace")
    process.wait_line('"begin"', TIMEOUT_S)
    return process


def events_of(process):
    """All but the first, which says that the trace is on."""
    return [json.loads(line) for line in process.out.text().splitlines()[1:]]


def told_and_lost(process):
    whole = process.out.text().rpartition("\n")[0]
    events = [json.loads(line) for line in whole.splitlines()[1:]]
    return (len([e for e in events if "loan" in e or "reason" in e]),
            sum(e["count"] for e in events if e["event"] == "lost"))


def ended(process):
    return process.wait(TIMEOUT_S) == 0


def said_addresses(text):
    """[[(address, bytes), ...] for each frame] that the guest speaks of."""
    frames = []
    for line in text.splitlines():
        if line.startswith("frame at"):
            frames.append([(int(a, 16), int(n)) for a, n in
                           re.findall(r"(0x[0-9a-f]+)\+(\d+)", line)])
    return frames


@cases("driver", ("xdp", "loop"))
def test_a_loan_is_the_guests_page(t, driver):
    """Each frame that was lent is named by the addresses that the guest put
    into its descriptors, in whatever number of pieces and regions."""
    if driver == "xdp":
        memlock.need(64)
    wire = Wire(t, driver)
    wire.start()
    trace = start_trace(t, wire.be, "up")
    process = wire.start_guest(
        *addresses(1, 2), "--send", 0, "--size", f"{FRAME_BYTES}-1514",
        "--rate", RATE, "--addresses", "--descriptors", "1-4", "--header",
        "mixed", "--unaligned", "--regions", 3)
    wire.be.wait_show(lambda _: wire.lent() > COUNT, TIMEOUT_S, "loans")
    sent = stop_sending(process)["sent"]
    pair = wire.be.settled_pair("a", "up")
    wire.be.stop()
    check(ended(trace), trace.err.text())
    events = events_of(trace)
    check(not [e for e in events if e["event"] == "lost"], "events were lost")
    # two ports: nothing is dropped, and frames go in their order
    gone = [e for e in events
            if e["event"] in ("lend", "copy") and e["source"] == "a"]
    used = said_addresses(process.err.text())
    check(len(gone) == len(used) == sent, f"{sent} frames, the guest speaks "
          f"of {len(used)}, the trace of {len(gone)}")
    lends = [e for e in gone if e["event"] == "lend"]
    check(len(lends) == pair.lent_frames, f"{len(lends)}: {pair.data}")
    for event, frame in zip(gone, used):
        check(event["bytes"] == sum(n for _, n in frame), f"{event}, {frame}")
        segments = [(s["guest_address"], s["bytes"])
                    for s in event.get("segments", ())]
        check(event["event"] == "copy" or
              (segments == frame and event["header_bytes"] == 0),
              f"{event} is not at {frame}")
    homes = {e["loan"] for e in events
             if e["event"] == "home" and e["source"] == "a"}
    check(homes == {e["loan"] for e in lends}, "each loan has its end")
    t.note(f"{len(lends)} loans")


def test_pieces_of_a_super_frame_are_the_guests_payload(t):
    """[private header | slices of the guest's payload], one after the other."""
    memlock.need(64)
    wire = Wire(t, "xdp")
    wire.start()
    trace = start_trace(t, wire.be, "up")
    process = wire.start_guest(
        *addresses(1, 2), "--send", 0, "--size", SUPER_BYTES, "--packet",
        "tcp4", "--offloads", "host", "--mss", MSS_BYTES, "--rate", 200,
        "--addresses")
    wire.be.wait_show(lambda _: wire.lent() > COUNT, TIMEOUT_S, "loans")
    stop_sending(process)
    wire.be.stop()
    check(ended(trace), trace.err.text())
    whole = {f[0][0]: f[0][1]
             for f in said_addresses(process.err.text())}
    lends = [e for e in events_of(trace)
             if e["event"] == "lend" and e["header_bytes"]]
    check(len(lends) > COUNT // 2, f"{len(lends)} loans behind a header")
    for lend in lends:
        check(lend["bytes"] - lend["header_bytes"] ==
              sum(s["bytes"] for s in lend["segments"]), f"{lend}")
        for segment in lend["segments"]:
            first, size = segment["guest_address"], segment["bytes"]
            check(any(a < first and first + size <= a + n
                      for a, n in whole.items()),
                  f"{segment} is no part of a frame of the guest")
    t.note(f"{len(lends)} loans")


def test_questions_are_seen(t):
    be = loop_daemon(t, "copybreak=0")
    trace = start_trace(t, be, "d", "--queries")
    process = start_sending(t)
    be.wait_show(lambda _: be.pair("a", "d").lent_frames, TIMEOUT_S,
                 "the memory to be mapped")
    stop_sending(process)
    be.wait_show(lambda _: be.port("a")["status"].startswith("listening"),
                 TIMEOUT_S, "the guest to have gone")
    be.stop()
    check(ended(trace), trace.err.text())
    events = [e for e in events_of(trace) if e.get("source") in ("a", None)]
    kinds = [e["event"] for e in events]
    check(kinds[:4] == ["ask", "answer", "map", "answer"] and
          kinds[-2:] == ["unmap", "end"], f"{kinds}")
    ask, pending, mapped, answer = events[:4]
    check(ask["why"] == "first" and pending["reason"] == "mapping_pending",
          f"{events[:2]}")
    check(not mapped["failed"] and mapped["memory"] == ask["memory"],
          f"{mapped}")
    check(answer["verdict"] == "yes" and answer["device_reads"] == "dma",
          f"{answer}")
    check(events[-1]["why"] == "stopped", f"{events[-1]}")


def test_a_trace_with_an_end(t):
    be = loop_daemon(t, "copybreak=2000")
    process = start_sending(t)
    wait_copied(be, "copybreak")
    trace = start_trace(t, be, "--count", 50, "--every", 3)
    check(ended(trace), trace.err.text())
    events = events_of(trace)
    check(len(events) == 51 and events[-1] == {"event": "end",
                                               "why": "count"}, events[-1])
    check({(e["event"], e["reason"]) for e in events[:-1]} ==
          {("copy", "copybreak")}, f"{events}")
    done = be.command("trace", "z", may_fail=True)
    check(done.returncode == 1 and "no port named 'z'" in done.stderr, done)
    text = t.spawn([be.client, "--control", be.control, "trace", "--count",
                    "5"], "text")
    check(ended(text), text.err.text())
    check(len(text.out.text().splitlines()) == 5, text.out.text())
    stop_sending(process)
    be.stop()


def test_a_trace_that_nobody_reads(t):
    """Stopped with SIGSTOP it holds up nobody, and hears how much it missed."""
    be = loop_daemon(t, "copybreak=0")
    trace = start_trace(t, be, "d")
    trace.signal(19)
    count = 60000
    said = send(t, t.path("a.sock"), count, "--size", 60, "--rate", 0,
                "--pattern", "fixed")
    check(said["completed"] == count, f"{said}")
    check(be.port("d")["state"] == "running", "the daemon is not answering")
    trace.signal(18)
    # each frame is one event at least, told or lost
    wait_for(lambda: sum(told_and_lost(trace)) >= count, TIMEOUT_S,
             "all events to be told or lost")
    be.stop()
    check(ended(trace), trace.err.text())
    told, lost = told_and_lost(trace)
    check(lost, "nothing was lost")
    t.note(f"{lost} lost, {told} told")
