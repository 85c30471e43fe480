# SPDX-License-Identifier: BSD-2-Clause
"""The arithmetic of the benchmark, and when it says nothing.

Pure: samples go in, figures come out. A ratio is that of two medians, and there
is none unless

 - both sides were measured, in one run, in at least ROUNDS_MIN rounds of it;
 - every frame that the guest sent came to the sink, on both sides, and bytes
   were found intact there;
 - the load generator had room: both sides stay HEADROOM_MIN below what it
   reached in that run against a ring consumer that does nothing (who is
   excepted makes his load himself; where there is no load, nobody is asked);
 - neither side had to wait for its processor for more than DISTURBED_MAX of the
   time: on a busy machine both are, and not by the same;
 - the machine was as fast for one side as for the other: rounds in which it was
   not are left out.

Where there is none the text says why. Its spread is the quartiles of the ratios
of single rounds, of two measurements that followed each other.
"""

import collections

ROUNDS_MIN = 3
# of the generator's ceiling: what comes nearer to it measures the generator
HEADROOM_MIN = 0.15
# of the time, how long a side waited for a processor that others had: from here
# on it is told, and from here on there is no ratio
DISTURBED_MIN = 0.02
DISTURBED_MAX = 0.2
# Between processors of a virtual machine a cache line may take five times as long
# as a second ago. Within this factor that is the same speed.
LINE_SPREAD_MAX = 2.0

# One measurement. rate: frames a second; fault: None, or why it does not count;
# waited: share of the time in which a side could have run and did not; cpu_ns,
# cycles, instructions: of the back-end, for a frame; amount: where the work is
# about something else, what its unit says; line_ns: what a cache line took from
# the load's processor to the back-end's, before and after; None where that does
# not matter.
Sample = collections.namedtuple(
    "Sample", "run round work who rate fault waited cpu_ns cycles "
    "instructions amount line_ns",
    defaults=(None, 0.0, None, None, None, None, None))
RATE = "rate"

Summary = collections.namedtuple("Summary", "count median low high")
# value is None if there is a refusal
Ratio = collections.namedtuple("Ratio", "value low high refusal notes",
                               defaults=(None, None, None, None, ()))


def lost(said, frames, bytes_):
    """What of that which a guest sent did not arrive, in words; None if all
    did. bytes_ is None where nobody counts them."""
    for what, sent, arrived in (("frames", said["sent"], frames),
                                ("bytes", said["sent_bytes"], bytes_)):
        if arrived not in (None, sent):
            return f"of {sent} {what} that were sent {arrived} arrived"
    return None


def quantile(values, share):
    """Between two values in proportion; of one value, it."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def median(values):
    return quantile(values, 0.5)


def summarize(values):
    """Median and quartiles; None of nothing."""
    values = [v for v in values if v is not None]
    if not values:
        return None
    return Summary(len(values), median(values), quantile(values, 0.25),
                   quantile(values, 0.75))


def good(samples):
    return [s for s in samples if s.fault is None]


def fault(samples):
    """The first thing that was wrong on a side, or None."""
    return next((s.fault for s in samples if s.fault), None)


def alike(*samples):
    """Was the machine as fast for each of them, and all the time?"""
    seen = [ns for s in samples for ns in s.line_ns or () if ns]
    return not seen or max(seen) <= LINE_SPREAD_MAX * min(seen)


def in_common(ours, theirs):
    """(samples of the two, of rounds that both have, at one speed of the
    machine; how many rounds were left out because of that)"""
    other = {s.round: s for s in theirs}
    both = [(s, other[s.round]) for s in ours if s.round in other]
    found = [pair for pair in both if alike(*pair)]
    return found, len(both) - len(found)


def headroom(side, ceiling):
    """How far the median of a side is below the ceiling, as a share of it; of
    rounds at one speed of the machine, if there are any."""
    pairs, _ = in_common(side, ceiling)
    if pairs:
        side, ceiling = zip(*pairs)
    return 1 - summarize(s.rate for s in side).median / \
        summarize(s.rate for s in ceiling).median


def left_out_text(count):
    return (f"{count} more left out, in which the machine changed its speed"
            if count else "")


def _no_side(name, samples):
    if not samples:
        return f"{name} was not measured"
    if fault(samples):
        return f"{name}: {fault(samples)}"
    return None


def _no_headroom(name, side, ceiling):
    room = headroom(side, ceiling)
    if room >= HEADROOM_MIN:
        return None
    return (f"the generator is the limit: {name} is at "
            f"{100 * (1 - room):.0f} % of its ceiling")


def disturbance(*sides):
    """The worse one's median."""
    return max(median([s.waited for s in side]) for side in sides)


def disturbed_text(*sides):
    return (f"disturbed: {100 * disturbance(*sides):.0f} % of the time others "
            "had the processor")


def _no_load(sides, ceiling, excepted):
    """What speaks against the generator; sides: {name: samples}."""
    asked = {name: side for name, side in sides.items()
             if name not in excepted}
    if not asked:
        return None
    run = next(iter(asked.values()))[0].run
    same_run = [s for s in good(ceiling) if s.run == run]
    if not same_run:
        return "the generator's ceiling was not measured in this run"
    for name, side in asked.items():
        why = _no_headroom(name, side, same_run)
        if why:
            return why
    return None


def calm(side):
    """(may a side be judged by itself?, what there is to say)"""
    why = fault(side)
    if why or not side:
        return False, why or "not measured"
    if len(side) < ROUNDS_MIN:
        return False, f"{len(side)} rounds, {ROUNDS_MIN} are needed"
    if disturbance(side) > DISTURBED_MIN:
        return disturbance(side) <= DISTURBED_MAX, disturbed_text(side)
    return True, ""


def refusal(ours, theirs, ceiling, names, field=RATE, excepted=()):
    """Why these have no ratio, or None. ceiling is None without a load."""
    sides = dict(zip(names, (ours, theirs)))
    for name, side in sides.items():
        why = _no_side(name, side)
        if why:
            return why
    if len({s.run for s in (*ours, *theirs)}) > 1:
        return "not measured in one run"
    pairs, left_out = in_common(ours, theirs)
    if len(pairs) < ROUNDS_MIN:
        return "; ".join(filter(None, (
            f"{len(pairs)} rounds in common, {ROUNDS_MIN} are needed",
            left_out_text(left_out))))
    figures = [[getattr(s, field) for s in pair] for pair in pairs]
    if any(None in pair or not pair[1] for pair in figures):
        return "not counted on both sides"
    if any(b < 0 for _, b in figures):
        return "nothing to be compared with: less than nothing"
    if disturbance(ours, theirs) > DISTURBED_MAX:
        return disturbed_text(ours, theirs)
    return None if ceiling is None else _no_load(sides, ceiling, excepted)


def ratio(ours, theirs, ceiling, names=("ours", "theirs"), field=RATE,
          excepted=()):
    """The ratio of the medians, or a refusal. All of one work.

    excepted: names of those that make their load themselves.
    """
    why = refusal(ours, theirs, ceiling, names, field, excepted)
    if why:
        return Ratio(refusal=why)
    pairs, left_out = in_common(ours, theirs)
    ours_of, theirs_of = zip(*((getattr(a, field), getattr(b, field))
                               for a, b in pairs))
    single = summarize(a / b for a, b in zip(ours_of, theirs_of))
    notes = [disturbed_text(ours, theirs)] \
        if disturbance(ours, theirs) > DISTURBED_MIN else []
    if left_out:
        notes.append(f"of {len(pairs)} rounds; {left_out_text(left_out)}")
    return Ratio(median(ours_of) / median(theirs_of), single.low, single.high,
                 None, tuple(notes))
