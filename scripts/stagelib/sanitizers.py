# SPDX-License-Identifier: BSD-2-Clause
"""Sanitizers: how we build with them, and which tests run under them."""

from . import builds, e2e, units

# fuzzer-no-link: fuzzers see which way the code under test went
SANITIZE = ["-Db_sanitize=address,undefined", "-Db_lundef=false",
            "-Dc_args=-fsanitize=fuzzer-no-link"]
SANITIZER_ENV = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}
SANITIZE_THREADS = ["-Db_sanitize=thread", "-Db_lundef=false"]
THREADS_ENV = {"TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1"}
# What has threads, or is what they share. Not mem-dirty_log: under this sanitizer it
# hangs in a SIGBUS that it brings about.
THREADED_TESTS = ("base-loop", "engine-*", "loans-*", "port-*", "lib-*",
                  "loop_driver", "control_*", "mem-[!d]*")
# and a daemon with traffic, memory that changes, and guests that come back
THREADED_E2E = ("memory_test::", "return_test::",
                "networks_test::", "frames_test::every_size[xdp,")
# end-to-end tests that only the full tier repeats under a sanitizer: what they
# look at is headers, which unit tests and fuzzers have there, words, and figures
UNSANITIZED = ("bench_test", "offloads_test", "options_test", "probe_test",
               "programs_test")
# of the full tier's soak; without a sanitizer it is as long as soak_test.py says
SANITIZED_SOAK_SECONDS = "120"


def stage_sanitized_build(run):
    return builds.configure_and_build(run, "asan", "clang", SANITIZE)


def stage_threads_build(run):
    return builds.configure_and_build(run, "tsan", "clang", SANITIZE_THREADS)


def stage_sanitized_unit(run):
    return units.unit_tests(run, "asan", SANITIZER_ENV)


def stage_sanitized_e2e(run):
    names = e2e.e2e_files()[0]
    env = dict(SANITIZER_ENV)
    if run.tier == "quick":
        names = [n for n in names if n not in UNSANITIZED]
    else:
        env["GW_SOAK_SECONDS"] = SANITIZED_SOAK_SECONDS
    return e2e.run_e2e(run, "asan", [n + "::" for n in names], env)


def stage_threads(run):
    counts = units.unit_tests(run, "tsan", THREADS_ENV, THREADED_TESTS)
    return counts + e2e.run_e2e(run, "tsan", THREADED_E2E, THREADS_ENV)
