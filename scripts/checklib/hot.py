# SPDX-License-Identifier: BSD-2-Clause
"""What a frame costs in instructions that it must not need.

STYLE.md: for a frame no allocation, no lock, no locked instruction, no division
and no system call. This takes the daemon apart with objdump. It begins at the
functions of ROOTS, which are found through tables of functions, and goes on to
all that they call directly. In none of these may there be a locked instruction,
a full barrier or a division, and from none a call that leaves the program, but
to MAY_CALL.

What is called once for a batch, or when something rare happens, is in BESIDE,
with the reason; there it ends. So does it at parts that the compiler was told
are cold. A new way out is a line there, for somebody to read: best of another
file, so that no compiler makes it part of its caller.
"""

import json
import os
import re

from . import tree

PROGRAM = os.path.join("apps", "guestwired", "guestwired")
ROOTS = (
    "worker_visit",
    # the driver API, of those that carry frames
    "null_tx", "tap_tx", "tap_rx", "tap_release",
    "packet_bounce", "packet_tx", "packet_reap",
    "xdp_tx", "xdp_rx", "xdp_reap", "xdp_release",
    "lender_rx", "lender_release", "receiver_tx",
    "crossing_rx", "crossing_reap", "crossing_release",
    # the two kinds of ring
    *(f"{kind}_{what}" for kind in ("split", "packed") for what in
      ("pop", "pop_run", "push", "push_run", "unpop", "find_writable",
       "fill_run", "look_ahead", "more_ahead", "has_avail")),
)
# {function: why it is not for each frame}
BESIDE = {
    "gw_now_ns": "the clock, read for a batch",
    "gw_eventfd_signal": "interrupts and wake-ups, at the end of a batch",
    "crossing_show": "what a batch handed to other lanes",
    "tx_kick": "sendto, for a batch of AF_XDP",
    "packet_kick": "sendto, for a batch of a packet socket",
    "packet_rx_read": "recvmmsg, where AF_XDP does not receive",
    "watch_busy": "an xdp port begins to be busy, or ends",
    "dirty_log_mark": "while memory migrates: bits that the front-end clears",
    "gw_port_requery": "a device refused, and will be asked anew",
    "xsk_invalid_seen": "once in many frames, and after a refusal",
    "super_frame_count": "a super-frame's end for which there is no room",
    "gw_port_log": "a device that stopped receiving",
}
# The last two are a tap's own: it has no other way.
MAY_CALL = ("memcpy", "memmove", "memset", "__assert_fail", "__errno_location",
            "readv", "writev")

HEAD = re.compile(r"([0-9a-f]+) <(.+)>:$")
LINE = re.compile(r"\s+[0-9a-f]+:\s+(.*)")
BAD = re.compile(r"lock |[lms]fence|(i?div)[bwlq]? |v?(div|sqrt)[sp][sd] |"
                 r"xchg .*\(|syscall|sysenter|int ")
TO = re.compile(r"(?:bnd |notrack )?(?:call|j\w+)\s+([0-9a-f]+) <")
BY_TABLE = re.compile(r"(?:bnd |notrack )?(?:call|jmp)\s+\*.*<(\w+)@")


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
                self.code[here].append(code[1])

    def goes_to(self, code):
        """The beginning of a function that an instruction goes to, or None."""
        found = TO.match(code)
        address = int(found[1], 16) if found else None
        return address if address in self.name else None


def plain(name):
    """Without what the compiler adds: .part.0, .isra.0; what is .cold stays."""
    return name if ".cold" in name or "@" in name else name.partition(".")[0]


def leaves(program, code):
    """The name of what is called outside of the program, or None."""
    by_table = BY_TABLE.match(code)
    if by_table:
        return by_table[1]
    to = program.name.get(program.goes_to(code), "")
    return to.partition("@")[0] if to.endswith("@plt") else None


def look(text, roots=ROOTS, beside=tuple(BESIDE), may_call=MAY_CALL):
    """(complaints, names of functions that were looked at)"""
    program = Program(text)
    complaints = [f"no function '{name}' in the program: the list of roots "
                  "in scripts/checklib/hot.py is out of date"
                  for name in roots if name not in program.at]
    todo = [(at, None) for name in roots for at in program.at.get(name, ())]
    seen = set()
    while todo:
        at, caller = todo.pop()
        if at in seen:
            continue
        seen.add(at)
        name = program.name[at]
        where = f"{name}, called by {caller}" if caller else name
        for code in program.code[at]:
            outside, to = leaves(program, code), program.goes_to(code)
            if BAD.match(code):
                complaints.append(f"{where}: '{code.strip()}'")
            elif outside and outside not in may_call:
                complaints.append(f"{where}: calls {outside}")
            elif to is not None and not outside:
                next_name = plain(program.name[to])
                if ".cold" not in next_name and next_name not in beside:
                    todo.append((to, name))
    return sorted(set(complaints)), {program.name[at] for at in seen}


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
            options["b_lto"] or options["optimization"] not in ("2", "3"):
        raise tree.Skip("the build is not an ordinary one, with optimization")


def check(options):
    build = os.path.join(tree.ROOT, options.build)
    need_plain(options_of(build))
    if os.uname().machine != "x86_64":
        raise tree.Skip("written for x86-64")
    complaints = [f"scripts/checklib/hot.py: no function '{name}' any more"
                  for name in BESIDE if not in_source(name)]
    text = "\n".join(disassembled(os.path.join(build, PROGRAM)))
    return complaints + look(text)[0]


def in_source(name):
    return any(re.search(rf"\b{name}\(", tree.text(n))
               for n in tree.ending(".c") if n.startswith(("src/", "drivers/")))


def disassembled(program):
    return tree.output(["objdump", "-d", "--no-show-raw-insn", program])
