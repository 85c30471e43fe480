# SPDX-License-Identifier: BSD-2-Clause
"""The arithmetic of the benchmark, and when it says nothing.

Pure: samples go in, figures come out. A ratio is that of two medians, and there
is none unless

 - both sides were measured, in one run, in at least ROUNDS_MIN rounds of it;
 - every frame that the guest sent came to the sink, on both sides, and bytes
   were found intact there;
 - the load generator had room: both sides stay HEADROOM_MIN below what it
   reached in that run against a ring consumer that does nothing;
 - neither side had to wait for its processor for more than DISTURBED_MAX of the
   time: on a busy machine both are, and not by the same.

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

# One measurement. rate: frames a second; fault: None, or why it does not count;
# waited: share of the time in which a side could have run and did not.
Sample = collections.namedtuple(
    "Sample", "run round work who rate fault waited cpu_ns cycles "
    "instructions", defaults=(None, 0.0, None, None, None))

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


def headroom(side, ceiling):
    """How far the median of a side is below the ceiling, as a share of it."""
    return 1 - summarize(s.rate for s in side).median / \
        summarize(s.rate for s in ceiling).median


def _pairs(ours, theirs):
    """Rates of the two, of rounds that both have."""
    other = {s.round: s.rate for s in theirs}
    return [(s.rate, other[s.round]) for s in ours if s.round in other]


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


def refusal(ours, theirs, ceiling, names):
    """Why these have no ratio, or None."""
    for name, side in zip(names, (ours, theirs)):
        why = _no_side(name, side)
        if why:
            return why
    if len({s.run for s in (*ours, *theirs)}) > 1:
        return "not measured in one run"
    if len(_pairs(ours, theirs)) < ROUNDS_MIN:
        return (f"{len(_pairs(ours, theirs))} rounds in common, "
                f"{ROUNDS_MIN} are needed")
    if disturbance(ours, theirs) > DISTURBED_MAX:
        return disturbed_text(ours, theirs)
    same_run = [s for s in good(ceiling) if s.run == ours[0].run]
    if not same_run:
        return "the generator's ceiling was not measured in this run"
    for name, side in zip(names, (ours, theirs)):
        why = _no_headroom(name, side, same_run)
        if why:
            return why
    return None


def ratio(ours, theirs, ceiling, names=("ours", "theirs")):
    """The ratio of the medians, or a refusal. All of one work."""
    why = refusal(ours, theirs, ceiling, names)
    if why:
        return Ratio(refusal=why)
    single = summarize(a / b for a, b in _pairs(ours, theirs))
    notes = ((disturbed_text(ours, theirs),)
             if disturbance(ours, theirs) > DISTURBED_MIN else ())
    return Ratio(median([s.rate for s in ours]) /
                 median([s.rate for s in theirs]), single.low, single.high,
                 None, notes)
