# SPDX-License-Identifier: BSD-2-Clause
"""Short runs of the fuzzers, as many at once as there are processors."""

import concurrent.futures
import glob
import os
import re
import subprocess
import time

from checklib import fuzz_seed, telling, tree

from .counts import FAILED, PASSED, Counts
from .sanitizers import SANITIZER_ENV

# each; for hours there is scripts/fuzz-long
FUZZ_SECONDS = {"quick": 30, "full": 90}


def fuzz_inputs(name):
    """The corpus in an order of ours: libFuzzer takes a folder as it finds it."""
    folder = f"tests/fuzz/corpus/{name}/"
    return ",".join(n for n in tree.files() if n.startswith(folder))


def fixed_addresses():
    """Fuzzers try what they see compared, and that can be addresses. Where this
    may not be asked for (in some containers), they are any."""
    prefix = ["setarch", "-R"]
    return [] if subprocess.run(prefix + ["true"], check=False).returncode \
        else prefix


def fuzz_one(run, name, seed):
    """One fuzzer over its corpus, then a while on its own. What it tries
    follows from the tree: it does not go on from what was found before."""
    inputs = fuzz_inputs(name)
    found = os.path.join(run.build, "fuzz", name)
    os.makedirs(found, exist_ok=True)
    argv = [*fixed_addresses(),
            run.folder(f"asan/tests/fuzz/{name}_libfuzzer"), f"-seed={seed}",
            f"-max_total_time={FUZZ_SECONDS[run.tier]}", "-timeout=5",
            "-print_final_stats=1", f"-artifact_prefix={found}/"]
    done = subprocess.run(
        argv + ([f"-seed_inputs={inputs}"] if inputs else []), cwd=tree.ROOT,
        env={**run.env, **SANITIZER_ENV}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        timeout=max(run.deadline - time.monotonic(), 1))
    return name, done.returncode, done.stdout.decode("utf-8", "replace")


def report_fuzz(run, name, status, output):
    run.log.write(f"$ {name}_libfuzzer\n{output}")
    inputs = re.search(r"number_of_executed_units: (\d+)", output)
    print(f"  {'FAIL' if status else 'ok  '} {name} "
          f"{inputs.group(1) if inputs else '?'} inputs", flush=True)
    if not status:
        return PASSED
    failure = telling.fuzzer(name, os.path.relpath(
        run.folder(f"asan/tests/fuzz/{name}_fuzz"), tree.ROOT), output)
    for line in failure.lines:
        print("     " + line, flush=True)
    run.fail([failure])
    run.shown = True
    return FAILED


def stage_fuzz(run):
    names = sorted(os.path.basename(p)[:-len("_fuzz.c")] for p in
                   glob.glob(os.path.join(tree.ROOT, "tests/fuzz/*_fuzz.c")))
    status, _ = run.command(
        ["ninja", "-C", run.folder("asan"),
         *(f"tests/fuzz/{name}_libfuzzer" for name in names)])
    if status:
        return FAILED
    counts = Counts()
    seed = fuzz_seed.of_tree()
    run.log.write(f"seed {seed}\n")
    print(f"  seed {seed}, of this code", flush=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for result in pool.map(lambda n: fuzz_one(run, n, seed), names):
                counts += report_fuzz(run, *result)
        except subprocess.TimeoutExpired as e:
            run.log.write(f"{e}\n")
            run.fail([telling.Failure("a fuzzer that does not end", [str(e)])])
            counts += FAILED
    return counts
