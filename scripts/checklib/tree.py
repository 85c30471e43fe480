# SPDX-License-Identifier: BSD-2-Clause
"""The files of the source tree, and running tools on them."""

import os
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
# folders of an unpacked archive, where git cannot be asked
NOT_SOURCE = ("build", ".git", ".cache", "__pycache__")


class Skip(Exception):
    """What is missing for a check."""


def _walk():
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if not f.startswith(NOT_SOURCE)]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), ROOT)


def files():
    """Every file that belongs to the project, relative to ROOT."""
    done = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached"],
                          capture_output=True, text=True, check=False)
    names = done.stdout.split("\0")[:-1] if done.returncode == 0 else _walk()
    return sorted(n for n in names if os.path.isfile(os.path.join(ROOT, n)))


def ending(*suffixes):
    return [n for n in files() if n.endswith(suffixes)]


def text(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def lines(name):
    """(number, line) of a text file."""
    return enumerate(text(name).splitlines(), 1)


def shebang(name):
    with open(os.path.join(ROOT, name), "rb") as f:
        first = f.readline(128)
    return first.decode("ascii", "replace") if first.startswith(b"#!") else ""


def scripts(interpreter):
    """Programs for an interpreter ("sh", "python3"), by their first line."""
    words = (f"/{interpreter}\n", f" {interpreter}\n")
    return [n for n in files() if shebang(n).endswith(words)]


def need(tool):
    if not shutil.which(tool):
        raise Skip(f"no {tool} here; run scripts/deps check")


def tool(argv):
    """Run a tool in ROOT. Returns what it complained about, as lines."""
    need(argv[0])
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False)
    output = (done.stdout + done.stderr).strip()
    if done.returncode:
        return output.splitlines() or [f"{argv[0]}: exit {done.returncode}"]
    return []


def output(argv):
    """What a tool says that has to succeed, as lines."""
    need(argv[0])
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=True)
    return done.stdout.splitlines()
