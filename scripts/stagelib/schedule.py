# SPDX-License-Identifier: BSD-2-Clause
"""Which stage runs when: one after the other, or beside the others."""

import resource
import time

from checklib import beside, telling

from .counts import FAILED, Counts
from .stages import BESIDE, QUIET, STAGES

# of the deadlines, for what only gets what others leave of the processors
BESIDE_DEADLINES = 4


def own_seconds():
    """Of the processors, by all that we started and that has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_stage(run, name):
    stage = STAGES[name]
    print(f"== {name}: {stage.what}", flush=True)
    start, busy = time.monotonic(), own_seconds()
    run.open_log(name, stage.deadline_s * run.patience)
    with run.log:
        counts = stage.function(run)
        if counts.failed:
            run.left_to_say()
            if not run.shown:
                run.show_tail()
        run.slow.update(telling.durations(run.read_log()))
    run.times[name] = time.monotonic() - start
    if run.slow:
        print(f"   slowest: {telling.slowest(run.slow)}")
    print(f"== {name}: {counts}, {run.times[name]:.0f} s, "
          f"{own_seconds() - busy:.0f} s of processors"
          f"{', log: ' + run.log_path if counts.failed else ''}", flush=True)
    return counts


class Schedule:
    """All stages one after the other, but for those that run beside."""

    def __init__(self, run):
        self.run = run
        self.total = Counts()
        self.broken = set()

    def count(self, name, counts):
        self.total += counts
        if counts.failed:
            self.broken.add(name)

    def fetch(self, wanted):
        """Wait for stages that run beside, until none of these is left."""
        lane = self.run.lane
        if not lane or not wanted.intersection(lane.pending):
            return
        lane.tell(beside.HURRY)
        while wanted.intersection(lane.pending):
            name, result = lane.next()
            if not result:
                result = {"counts": FAILED, "seconds": 0, "failed": [
                    telling.Failure(name, ["it has ended without a word"])]}
            self.run.times[name + " (beside)"] = result["seconds"]
            if result["failed"]:
                self.run.failed[name] = [telling.Failure(*f)
                                         for f in result["failed"]]
            self.count(name, Counts(*result["counts"]))
        lane.tell(beside.RELAX)

    def stage(self, name):
        needs = STAGES[name].needs
        self.fetch(set(BESIDE if name in QUIET else needs))
        missing = self.broken.intersection(needs)
        if missing:
            reason = f"not run, as {missing.pop()} failed"
            print(f"== {name}: {reason}")
            self.run.failed[name] = [telling.Failure(name, [reason])]
            self.total += FAILED
            return
        self.count(name, run_stage(self.run, name))

    def all(self, names):
        for name in names:
            self.stage(name)
        return self.total

    def all_beside(self, names, argv):
        """The first stage is the build that most of the others need."""
        self.stage(names[0])
        self.run.lane = beside.Lane(argv, BESIDE)
        try:
            self.all([n for n in names[1:] if n not in BESIDE])
            self.fetch(set(BESIDE))
        finally:
            self.run.lane.end()
        return self.total


def run_beside(run, names):
    """We are the process of such stages."""
    beside.step_back()
    beside.obey(run)
    run.patience *= BESIDE_DEADLINES
    for name in names:
        counts = run_stage(run, name)
        beside.report(name, {"counts": counts, "seconds": run.times[name],
                             "failed": run.failed.get(name, [])})
