# SPDX-License-Identifier: BSD-2-Clause
"""That the check of hot functions sees what it is to see, in made-up programs."""

import unittest

from . import hot


def program(**functions):
    """As objdump has it. '>name' is a call, '~name' a jump."""
    names = [*functions, "malloc@plt", "memcpy@plt", "readv@plt"]
    at = {name: 0x1000 + 0x100 * n for n, name in enumerate(names)}

    def text(code):
        verb = {">": "call  ", "~": "jmp   "}.get(code[0])
        return f"{verb} {at[code[1:]]:x} <{code[1:]}>" if verb else code
    return "\n".join(
        line for name in names for line in (
            f"{at[name]:016x} <{name}>:",
            *(f"    {at[name] + n:x}:\t{text(code)}"
              for n, code in enumerate(functions.get(name, ())))))


def look(roots=("tx",), beside=None, source=None, **functions):
    return hot.look(program(**functions), roots, beside or {},
                    lambda addresses: source or {})


class Hot(unittest.TestCase):
    def complains(self, part, **rest):
        complaints, _ = look(**rest)
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

    def test_a_call_to_nowhere(self):
        for code in ("call   9990", "call   9990 <_init+0x10>",
                     "jmp    9990 <_init+0x10>", "jne    9990", "jmp    9990 <put+0x10>",
                     "call   *0x2fe2(%rip)  # 3fe0 <_DYNAMIC+0x1f0>"):
            self.complains(f"tx: '{code}'", tx=(code,), put=())
        for code in ("jne    1004 <tx+0x4>", "jmp    9990 <tx.cold+0x4>",
                     "call   *0x18(%rax)", "notrack jmp *%rax"):
            self.assertEqual(look(tx=(code,))[0], [])

    def test_who_may_call_beside(self):
        beside = {"slow": {"flush settle": "rare"}, "readv": {"flush": "rare"}}
        for callee in ("slow", "readv"):
            call = (f">{callee}@plt" if callee == "readv" else f">{callee}",)
            code = {"tx": call, "flush": call, "slow": ()}
            self.assertEqual(look(beside=beside, roots=("flush",), **code)[0], [])
            self.complains(f"tx: calls {callee}", beside=beside, **code)

    def test_who_calls_is_of_the_source(self):
        beside, code = {"slow": {"flush": "rare"}}, {"tx": (">slow",), "slow": ()}
        self.assertEqual(look(beside=beside, source={0x1000: "flush"}, **code)[0], [])
        self.complains("put (in tx): calls slow", beside=beside,
                       source={0x1000: "put"}, **code)
        self.complains("put (in flush): calls slow", beside=beside, roots=("flush",),
                       source={0x1000: "put"}, flush=(">slow",), slow=())

    def test_functions_of_the_source(self):
        lines = ["static int first(struct a *a,", "\t\t int b)", "{", "\tput(a);",
                 "}", "", "static __attribute__((cold)) void second(void)", "{",
                 "\tput(b);", "}"]
        self.assertEqual(hot.function_of(lines, 4), "first")
        self.assertEqual(hot.function_of(lines, 9), "second")
        self.assertIsNone(hot.function_of(lines, 0))

    def test_roots_are_in_the_tables_of_the_source(self):
        roots = hot.roots_of(["drivers/guest/guest.c", "drivers/packet/packet.c",
                              "drivers/loop/loop_driver.c", "src/virtio/ring_split.c"])
        for name in ("lender_rx", "receiver_tx", "packet_receive", "packet_release",
                     "split_pop", "split_push_run"):
            self.assertIn(name, roots)
        self.assertNotIn("loop_tx", roots)

    def test_it_ends_beside_and_in_the_cold(self):
        bad = ("lock addl $0x1,(%rdi)",)
        self.assertEqual(look(beside={"slow": {"tx": "rare"}}, tx=(">slow",),
                              slow=bad), ([], {"tx"}))
        self.assertEqual(look(tx=("~tx.cold",), **{"tx.cold": bad}),
                         ([], {"tx"}))

    def test_parts_are_their_function(self):
        parts = {"tx.part.0": ("div    %ecx",)}
        self.complains("tx.part.0", **parts)
        self.assertEqual(look(beside={"put": {"tx": "rare"}}, tx=("~put.isra.0",),
                              **{"put.isra.0": ("div    %ecx",)})[0], [])

    def test_a_root_that_has_gone(self):
        self.complains("no function 'tx'", put=())


if __name__ == "__main__":
    unittest.main()
