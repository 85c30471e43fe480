# SPDX-License-Identifier: BSD-2-Clause
"""How often the lab's kernel calls a function: kprobes that only count."""

TRACING = "/sys/kernel/tracing"
SET_UP = """
cd {folder}
echo 0 >tracing_on
echo 0 >events/enable
echo >kprobe_events
{probes}
echo 1 >events/kprobes/enable
"""


class Counter:
    def __init__(self, lab, functions):
        self.lab = lab
        probes = "\n".join(f"echo p:{f} {f} >>kprobe_events || exit 1"
                           for f in functions)
        lab.run(SET_UP.format(folder=TRACING, probes=probes))
        self.base = {}
        self.base = self.counts()

    def counts(self):
        """{function: calls} since the beginning, or since zero()."""
        found = {}
        for line in self.lab.run(f"cat {TRACING}/kprobe_profile"
                                 ).output.splitlines():
            name, hits, _ = line.split()
            found[name] = int(hits) - self.base.get(name, 0)
        return found

    def zero(self):
        self.base = {}
        self.base = self.counts()
