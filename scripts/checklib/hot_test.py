# SPDX-License-Identifier: BSD-2-Clause
"""That the check of hot functions sees what it is to see, in made-up programs."""

import unittest

from . import hot


def program(**functions):
    """As objdump has it. '>name' is a call, '~name' a jump."""
    names = [*functions, "malloc@plt", "memcpy@plt"]
    at = {name: 0x1000 + 0x100 * n for n, name in enumerate(names)}

    def text(code):
        verb = {">": "call  ", "~": "jmp   "}.get(code[0])
        return f"{verb} {at[code[1:]]:x} <{code[1:]}>" if verb else code
    return "\n".join(
        line for name in names for line in (
            f"{at[name]:016x} <{name}>:",
            *(f"    {at[name] + n:x}:\t{text(code)}"
              for n, code in enumerate(functions.get(name, ())))))


def look(roots=("tx",), beside=(), **functions):
    return hot.look(program(**functions), roots, beside)


class Hot(unittest.TestCase):
    def complains(self, part, **functions):
        complaints, _ = look(**functions)
        self.assertEqual(len(complaints), 1, complaints)
        self.assertIn(part, complaints[0])

    def test_nothing_to_say(self):
        self.assertEqual(
            look(tx=("mov    (%rdi),%eax", ">put", "xchg   %ax,%ax"),
                 put=("add    $0x1,%eax", ">memcpy@plt", "~tx")),
            ([], {"tx", "put"}))

    def test_what_a_frame_must_not_need(self):
        for code in ("lock addl $0x1,(%rdi)", "xchg   %eax,0x40(%rdx)",
                     "div    %ecx", "idivq  0x8(%rbx)", "divl   0x88(%rbx)",
                     "divsd  %xmm1,%xmm0", "mfence", "syscall"):
            self.complains(code, tx=(code,))
            self.complains("put, called by tx", tx=("~put",), put=(code,))

    def test_a_call_that_leaves(self):
        self.complains("calls malloc", tx=(">malloc@plt",))
        self.complains("calls free",
                       tx=("call   *0x2fe2(%rip)  # 3fe0 <free@GLIBC_2.2.5>",))

    def test_it_ends_beside_and_in_the_cold(self):
        bad = ("lock addl $0x1,(%rdi)",)
        self.assertEqual(look(beside=("slow",), tx=(">slow",), slow=bad),
                         ([], {"tx"}))
        self.assertEqual(look(tx=("~tx.cold",), **{"tx.cold": bad}),
                         ([], {"tx"}))

    def test_parts_are_their_function(self):
        parts = {"tx.part.0": ("div    %ecx",)}
        self.complains("tx.part.0", **parts)
        self.assertEqual(look(beside=("put",), tx=("~put.isra.0",),
                              **{"put.isra.0": ("div    %ecx",)})[0], [])

    def test_a_root_that_has_gone(self):
        self.complains("no function 'tx'", put=())


if __name__ == "__main__":
    unittest.main()
