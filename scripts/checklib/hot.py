# SPDX-License-Identifier: BSD-2-Clause
"""What a frame costs in instructions that it must not need.

STYLE.md: for a frame no allocation, no lock, no locked instruction, no division,
no system call and no log line. This takes the daemon apart with objdump. It begins
at the functions that carry frames, in the tables of drivers and of rings, and goes
on to all that they call directly. In none of these may there be a locked
instruction, a full barrier or a division, and from none a call that leaves the
program, but to MAY_CALL, or one of which nobody knows where it goes.

What is called once for a batch, or when something rare happens, is in BESIDE, with
who may call it there, and why; there it ends. Who calls is looked up in the source,
by the line: whatever a compiler made part of what. A new way out is a line there,
for somebody to read: best to a function of another file, which no compiler makes
part of its caller.

It does not see how often one that is named there calls, nor what lies behind a
pointer that is in no such table. It does not go into parts that the compiler was
told are cold.
"""

import json
import os
import re

from . import tree

PROGRAM = os.path.join("apps", "guestwired", "guestwired")
# In tables of functions: what is called for frames, or for a batch of them.
MEMBER = re.compile(r"\.(?:rx|release|tx|reap|bounce|unbounce|"
                    r"(?:un)?pop|(?:pop|push|fill)_run|push|find_writable|"
                    r"has_avail|look_ahead|more_ahead)\s*= ([a-z]\w*),")
# Devices for tests: what they simulate has a clock and a memory of its own.
SIMULATED = ("drivers/loop/", "src/port/fake_device.c", "tests/")
# {function: {who calls it: why that is not for each frame}}
BESIDE = {
    "gw_now_ns": {"port_tick": "once for a batch",
                  "put_drop trace_accepted trace_home": "in a trace",
                  "give_up": "the kernel stopped at a frame of the packet socket"},
    "gw_eventfd_signal": {
        "guest_signal": "an interrupt, at the end of a batch",
        "guest_tell_broken": "a ring broke, once",
        "receiver_look settle": "an I/O address is asked for, after a batch",
        "come_home head_home": "the last frame that somebody waits for"},
    "crossing_show": {"lane_settle": "what a batch handed to other lanes"},
    "tx_kick": {"tx_publish xdp_tx": "sendto, for a batch of AF_XDP"},
    "sendto": {"tx_ring_kick": "for a batch of a packet socket"},
    "recvmmsg": {"packet_rx_read": "a batch"},
    "readv": {"read_frame": "a tap has no other way"},
    "writev": {"write_frame": "a tap has no other way"},
    "watch_busy": {"xdp_rx xdp_tx": "after a batch: the port begins to be busy"},
    "dirty_log_mark": {"mark_dirty": "while memory migrates: bits that the "
                                     "front-end clears"},
    "gw_port_requery": {"mark_broken quarantine_shrinks":
                        "a device refused, and will be asked anew"},
    "xsk_invalid_seen": {"check_invalid": "once in many frames, and after a refusal"},
    "super_frame_count": {"desk_drop_rest": "a super-frame's end that finds no room"},
    "gw_port_log": {
        "guest_tell_broken": "a ring broke, once",
        "note_open_checksum note_super_frame": "the first such frame of an interface"},
}
MAY_CALL = ("memcpy", "memmove", "memset", "__assert_fail", "__errno_location")

HEAD = re.compile(r"([0-9a-f]+) <(.+)>:$")
LINE = re.compile(r"\s+([0-9a-f]+):\s+(.*)")
BAD = re.compile(r"lock |[lms]fence|(i?div)[bwlq]? |v?(div|sqrt)[sp][sd] |"
                 r"xchg .*\(|syscall|sysenter|int ")
TO = re.compile(r"(?:bnd |notrack )?(call|j\w+)\s+([0-9a-f]+)\b(?: <([^+>]+))?")
BY_TABLE = re.compile(r"(?:bnd |notrack )?(?:call|jmp)\s+\*[^(]*\(%rip\)"
                      r"(?:.*<(\w+)@)?")
# Of the source, and of what addr2line says of it.
HEADER = re.compile(r"(\w+)\(")
PLACE = re.compile(r"(.*):(\S+)")


class Program:
    """What objdump says of one."""

    def __init__(self, text):
        self.name, self.code, self.at = {}, {}, {}
        here = None
        for line in text.splitlines():
            head, code = HEAD.match(line), LINE.match(line)
            if head:
                here = int(head[1], 16)
                self.name[here], self.code[here] = head[2], []
                self.at.setdefault(plain(head[2]), []).append(here)
            elif code and here is not None:
                self.code[here].append((int(code[1], 16), code[2]))

    def goes_to(self, code):
        """The beginning of a function that an instruction goes to, or None."""
        found = TO.match(code)
        address = int(found[2], 16) if found else None
        return address if address in self.name else None

    def leaves(self, code):
        """The name of what is called outside of the program, or None."""
        by_table = BY_TABLE.match(code)
        if by_table:
            return by_table[1]
        to = self.name.get(self.goes_to(code), "")
        return to.partition("@")[0] if to.endswith("@plt") else None

    def is_lost(self, code, name):
        """It calls, or jumps out of the function of that name, nobody knows where."""
        to = TO.match(code)
        if not to:
            return BY_TABLE.match(code) is not None
        return to[1] == "call" or to[3] not in (name, f"{name}.cold")


def plain(name):
    """Without what the compiler adds: .part.0, .isra.0; what is .cold stays."""
    return name if ".cold" in name or "@" in name else name.partition(".")[0]


def look(text, roots, beside, written_in):
    """(complaints, names of functions that were looked at). written_in: from addresses to
    {address: function of the source}, as far as it is known."""
    program = Program(text)
    complaints = [f"no function '{name}' in the program, which is in a table of the "
                  "source" for name in roots if name not in program.at]
    todo = [(at, None) for name in roots for at in program.at.get(name, ())]
    seen, aside = set(), {}
    while todo:
        at, caller = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        name = program.name[at]
        where = f"{name}, called by {caller}" if caller else name
        for address, code in program.code[at]:
            outside, to = program.leaves(code), program.goes_to(code)
            callee = outside or plain(program.name.get(to, ""))
            if BAD.match(code):
                complaints.append(f"{where}: '{code.strip()}'")
            elif callee in beside:
                aside[address] = plain(name), callee
            elif outside:
                if outside not in MAY_CALL:
                    complaints.append(f"{where}: calls {outside}")
            elif to is not None:
                if ".cold" not in callee:
                    todo.append((to, name))
            elif program.is_lost(code, name):
                complaints.append(f"{where}: '{code.strip()}' goes nobody knows where")
    source = written_in(list(aside))
    for address, (name, callee) in aside.items():
        by = source.get(address) or name
        if by not in " ".join(beside[callee]).split():
            inside = f" (in {name})" if by != name else ""
            complaints.append(f"{by}{inside}: calls {callee}, and is not named for it")
    return sorted(set(complaints)), {program.name[at] for at in seen}


def function_of(lines, number):
    """The function that a line of the source is in, or None."""
    for line in reversed(lines[:number]):
        names = [n for n in HEADER.findall(line) if n != "__attribute__"]
        if names and line[0].isalpha():
            return names[0]
    return None


def source_of(program, addresses):
    """{address: function of the source}: what is inlined has its own lines."""
    found = {}
    said = tree.output(["addr2line", "-e", program, *map(hex, addresses)]) \
        if addresses else ()
    for address, place in zip(addresses, said):
        name, number = PLACE.match(place).groups()
        if os.path.isfile(name) and number.isdigit():
            with open(name, encoding="utf-8") as f:
                found[address] = function_of(f.read().splitlines(), int(number))
    return found


def roots_of(sources):
    """worker_visit, and those that carry frames in tables of functions."""
    return ["worker_visit", *sorted({name for n in sources
                                     if not n.startswith(SIMULATED)
                                     for name in MEMBER.findall(tree.text(n))})]


def options_of(build):
    path = os.path.join(build, "meson-info", "intro-buildoptions.json")
    try:
        with open(path, encoding="utf-8") as f:
            return {o["name"]: o["value"] for o in json.load(f)}
    except OSError as e:
        raise tree.Skip(f"no build in {build}: {e.strerror}") from e


def need_plain(options):
    """What others put into the program is none of ours."""
    if options["b_sanitize"] != "none" or options["b_coverage"] or \
            options["b_lto"] or options["optimization"] not in ("2", "3") or \
            not options["debug"]:
        raise tree.Skip("the build is not an ordinary one, with optimization "
                        "and debug information")


def is_old(build):
    """Whether the daemon has to be built anew."""
    return "no work to do" not in tree.output(["ninja", "-C", build, "-n", PROGRAM])[-1]


def check(options):
    build = os.path.join(tree.ROOT, options.build)
    program = os.path.join(build, PROGRAM)
    need_plain(options_of(build))
    if os.uname().machine != "x86_64":
        raise tree.Skip("written for x86-64")
    if is_old(build):
        return [f"{program} is older than its source"]
    sources = [n for n in tree.ending(".c", ".h")
               if n.startswith(("src/", "drivers/")) and not n.endswith("_test.c")]
    source = "\n".join(tree.text(n) for n in sources)
    ours = {name for callee, callers in BESIDE.items()
            for name in [callee, *" ".join(callers).split()]}
    complaints = [f"scripts/checklib/hot.py: no function '{name}' any more"
                  for name in sorted(ours)
                  if not re.search(rf"\b{name}\(", source)]
    text = "\n".join(tree.output(["objdump", "-d", "--no-show-raw-insn", program]))
    return complaints + look(text, roots_of(sources), BESIDE,
                             lambda addresses: source_of(program, addresses))[0]
