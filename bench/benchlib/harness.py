# SPDX-License-Identifier: BSD-2-Clause
"""The run: for each work those who take part in turn, round after round.

A B C A B C ...: what the machine does to one round it does to all sides of it.
Where there is a load its ceiling is measured in the same turn. Results are written after each work,
so that a run that is cut short has what it had.
"""

import argparse
import collections
import fnmatch
import json
import os
import signal
import sys
import time

from lib.proc import Failure
from lib.run import Terminated, raise_on_signals

from . import document, figures, machine, plots, report, trial
from .progress import Line, Progress, span_text
from .works import CEILING, CONTESTANTS, OURS, WORKS

Plan = collections.namedtuple("Plan", "rounds seconds warm_up_s quick_works")
FULL = Plan(5, 0.7, 0.2, False)
QUICK = Plan(3, 0.6, 0.2, True)
CPUS_MIN = 2
# at most so many times those that were asked for, where rounds have to be left out
MORE_ROUNDS = 2


def parse_arguments(argv):
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure Guestwire and its peers in turn, and compare "
        "them. docs/performance.md says how to read it.")
    parser.add_argument("--build", default=os.environ.get("BUILD", "build"),
                        metavar="FOLDER", help="where the programs are "
                        "(default build)")
    parser.add_argument("--out", metavar="FOLDER", help="for the results "
                        "(default BUILD/bench/TIME)")
    parser.add_argument("--quick", action="store_true",
                        help="few works, rounds and seconds")
    parser.add_argument("--work", action="append", default=[],
                        metavar="NAME", help="only this work, or these: null-*")
    parser.add_argument("--who", action="append", default=[], metavar="NAME",
                        help="only these contestants")
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument("--seconds", type=float, metavar="S",
                        help="of each measurement, behind its warm-up")
    parser.add_argument("--cpus", metavar="LOAD,BACKEND",
                        help="processors of the two (default the first two)")
    parser.add_argument("--list", action="store_true",
                        help="name works and contestants")
    parser.add_argument("--report", nargs="+", metavar="FILE",
                        help="measure nothing: show the tables of results.json "
                        "files of earlier runs")
    parser.add_argument("--into", nargs="+", default=[], metavar="FILE",
                        help="with --report: renew the tables in these "
                        "documents, between <!-- bench: NAME --> and "
                        "<!-- bench -->")
    parser.add_argument("--plots", metavar="FOLDER", help="with --report: "
                        "write the plots there, too")
    parser.add_argument("--markdown", action="store_true",
                        help="with --report: tables as Markdown")
    options = parser.parse_args(argv)
    if not options.report and (options.into or options.plots
                               or options.markdown):
        parser.error("--into, --plots and --markdown want --report")
    known = [c.name for c in CONTESTANTS]
    for name in options.who:
        if name not in known:
            parser.error(f"no contestant '{name}'; there are "
                         f"{' '.join(known)}")
    return options


def chosen_cpus(options):
    if options.cpus:
        return [int(c) for c in options.cpus.split(",")]
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < CPUS_MIN:
        raise Failure(f"{CPUS_MIN} processors are needed, one for the load and "
                      f"one for the back-end; there is {len(cpus)}")
    return cpus[:CPUS_MIN]


def chosen_works(options, plan):
    works = [w for w in WORKS
             if (not options.work or any(fnmatch.fnmatchcase(w.name, n)
                                          for n in options.work))
             and (options.work or not plan.quick_works or w.quick)]
    if not works:
        raise Failure("no such work; --list names them")
    return works


def say(text):
    print(text, flush=True)


class Run:
    def __init__(self, root, options):
        plan = QUICK if options.quick else FULL
        self.rounds = options.rounds or plan.rounds
        self.seconds = options.seconds or plan.seconds
        self.cpus = chosen_cpus(options)
        self.works = chosen_works(options, plan)
        self.contestants = [
            c for c in CONTESTANTS
            if (c.name in options.who if options.who
                else not (options.quick and c.slow))]
        self.build = os.path.abspath(options.build)
        self.begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.id = f"{self.begun}-{os.getpid()}"
        self.out = os.path.abspath(options.out or os.path.join(
            self.build, "bench", self.begun.replace(":", "")))
        self.machine = machine.facts(self.build)
        self.stolen = machine.Stolen()
        self.samples = []
        self.measured = []
        self.bench = trial.Bench(root, self.build, self.id, self.cpus,
                                 self.seconds, plan.warm_up_s)
        self.bench.works = self.works
        self.line = Line()
        self.progress = Progress(sum(
            sum(self.guess_s(w, c)) for w in self.works
            for c in self.all_lanes(w)))

    def rounds_of(self, work):
        return min(self.rounds, work.rounds or self.rounds)

    def all_lanes(self, work):
        """Who is measured if nothing speaks against it."""
        return [CEILING] * bool(work.sink) + [
            c for c in self.contestants if c.name in (OURS, *work.against)]

    def guess_s(self, work, contestant):
        """(of its check, of all its rounds)"""
        check_s, measure_s = (
            trial.guessed_s(self.bench, work, contestant, what)
            for what in ("check_s", "measure_s"))
        return check_s * (contestant != CEILING), \
            measure_s * self.rounds_of(work)

    def results(self):
        return {
            "run": self.id, "begun": self.begun, "cpus": self.cpus,
            "rounds": self.rounds, "seconds": self.seconds,
            "ours": OURS, "ceiling": CEILING.name, "machine": self.machine,
            "contestants": [
                {"name": c.name, "title": c.title, "own_load": c.own_load,
                 "carries": getattr(c.back_end, "CARRIES", True),
                 "version": self.bench.versions.get(c.name)}
                for c in self.contestants],
            "works": [{"name": w.name, "title": w.title, "size": w.size,
                       "against": w.against, "figure": w.figure,
                       "unit": w.unit, "most": w.most, "limit": w.limit,
                       "load": w.sink is not None, "curve": w.curve}
                      for w in self.measured],
            "samples": [s._asdict() for s in self.samples]}

    def tell(self, text):
        self.line.clear()
        say(text)

    def takes_part(self, work, contestant):
        why = work.trial.check(self.bench, contestant, work)
        if why:
            self.tell(f"     {contestant.name}: {why}")
            self.samples.append(trial.absent(self.bench, work, contestant,
                                             why))
        return not why

    def keep(self, sample):
        """What is no measurement is no round either."""
        nothing = sample.rate is None and sample.amount is None
        if sample.fault or not nothing:
            self.samples.append(sample)
        if sample.fault or nothing:
            self.tell(f"     {sample.who}: "
                      f"{sample.fault or 'the load was never steady'}")

    def lanes(self, work):
        """Who is measured, after the check."""
        lanes = []
        for contestant in self.all_lanes(work):
            check_s, rounds_s = self.guess_s(work, contestant)
            self.line.show(f"     check of bytes: {contestant.name}")
            part = contestant == CEILING or self.takes_part(work, contestant)
            lanes += [contestant] if part else []
            self.progress.done(check_s + (0 if part else rounds_s))
        return lanes

    def one_work(self, work):
        self.measured.append(work)
        say(f"== {work.title}  ({len(self.measured)} of {len(self.works)}, "
            f"some {span_text(self.progress.left_s())} left)")
        lanes = self.lanes(work)
        rounds = self.rounds_of(work)
        for number in range(rounds):
            self.one_round(work, lanes, number, rounds)
        while number + 1 < MORE_ROUNDS * rounds \
                and self.lacks_rounds(work, lanes, rounds):
            number += 1
            self.one_round(work, lanes, number, number + 1)
        self.line.clear()
        self.show_work(work, lanes)

    def one_round(self, work, lanes, number, rounds):
        for contestant in lanes:
            self.line.show(f"     round {number + 1} of {rounds}: "
                           f"{contestant.name}")
            self.keep(work.trial.measure(self.bench, number, contestant, work))
            if number < self.rounds_of(work):
                self.progress.done(self.guess_s(work, contestant)[1]
                                   / self.rounds_of(work))

    def lacks_rounds(self, work, lanes, rounds):
        """Too often the machine changed its speed between us and somebody."""
        def side(name):
            return [s for s in self.samples
                    if (s.work, s.who) == (work.name, name)]
        for contestant in lanes:
            common, left_out = figures.in_common(side(OURS),
                                                 side(contestant.name))
            if left_out and len(common) < rounds:
                return True
        return False

    def show_work(self, work, lanes):
        results = report.Results([self.results()])
        for contestant in lanes:
            found = results.summary(work.name, contestant.name)
            if found:
                say(f"     {contestant.name:12} "
                    f"{report.number_text(found.median):>7} {work.unit}")

    def write(self):
        os.makedirs(self.out, exist_ok=True)
        self.machine.update({"stolen by the host": self.stolen.text(),
                             "took": span_text(self.progress.took_s())})
        results = self.results()
        shown = report.Results([results])
        for name, text in {
                "results.json": json.dumps(results, indent=1) + "\n",
                "table.txt": report.show([results], report.aligned),
                "table.md": report.show([results], report.markdown),
                **drawn(shown)}.items():
            write_file(os.path.join(self.out, name), text)

    def all(self):
        for what, value in self.machine.items():
            say(f"{what}: {value}")
        say(f"{len(self.works)} works, at most {self.rounds} rounds of "
            f"{self.seconds:g} s: some {span_text(self.progress.left_s())}")
        for work in self.works:
            self.one_work(work)
            self.write()
        say("\n" + report.show([self.results()], report.aligned))
        say(f"results: {self.out}")
        broken = [s for s in self.samples if s.fault and s.who == OURS]
        return 1 if broken else 0


def show_lists():
    for work in WORKS:
        say(f"work        {work.name:23} {work.title}"
            f"{'  (quick)' if work.quick else ''}")
    for contestant in CONTESTANTS:
        say(f"contestant  {contestant.name:23} {contestant.title}")


def drawn(shown):
    """{name of the file: SVG}"""
    return {"rates.svg": plots.rates(shown), "ratios.svg": plots.ratios(shown),
            **{f"{name}.svg": plots.curve(shown, name)
               for name in plots.curves(shown)}}


def write_file(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def read_file(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def show_reports(options):
    files = [json.loads(read_file(path)) for path in options.report]
    for path in options.into:
        write_file(path, document.renew(read_file(path), files, path))
    if options.plots:
        for name, svg in drawn(report.Results(files)).items():
            write_file(os.path.join(options.plots, name), svg)
    if not options.into:
        print(report.show(files, report.markdown if options.markdown
                          else report.aligned), end="")


def main(root, argv):
    options = parse_arguments(argv)
    if options.list:
        show_lists()
        return 0
    raise_on_signals()
    try:
        if options.report:
            show_reports(options)
            return 0
        return Run(root, options).all()
    except Failure as e:
        print(f"bench: {e}", file=sys.stderr)
        return 1
    except Terminated as e:
        print(f"bench: ended by {e}", file=sys.stderr)
        return 128 + signal.Signals[str(e)]
