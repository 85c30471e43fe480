# SPDX-License-Identifier: BSD-2-Clause
"""What a measurement costs: time of processors, cycles and instructions.

Time is the kernel's account of each thread (/proc/PID/task/TID/schedstat): how
long it ran, and how long it could have run while others had its processor.
Cycles and instructions are counted by perf_event_open; a machine that cannot
(many virtual ones) says why.
"""

import ctypes
import os
import platform
import struct
import time

SYS_PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
PERF_TYPE_HARDWARE = 0
EVENTS = {"cycles": 0, "instructions": 1}
# struct perf_event_attr of its first version: the fields that are needed
ATTR_BYTES = 64
ATTR = struct.Struct("=IIQQQQQ")

_libc = ctypes.CDLL(None, use_errno=True)


def _threads(pid):
    return [int(t) for t in os.listdir(f"/proc/{pid}/task")]


def _open_event(tid, config):
    number = SYS_PERF_EVENT_OPEN.get(platform.machine())
    if number is None:
        raise OSError(0, f"no number of the system call on "
                      f"{platform.machine()}")
    attr = ATTR.pack(PERF_TYPE_HARDWARE, ATTR_BYTES, config, 0, 0, 0, 0)
    buffer = ctypes.create_string_buffer(attr.ljust(ATTR_BYTES, b"\0"))
    fd = _libc.syscall(ctypes.c_long(number), buffer, tid, -1, -1,
                       ctypes.c_ulong(0))
    if fd < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return fd


def missing():
    """Why cycles and instructions cannot be counted here, or None."""
    try:
        os.close(_open_event(os.getpid(), EVENTS["cycles"]))
    except OSError as e:
        return f"cannot count here (perf_event_open: {e.strerror})"
    return None


class Events:
    """Cycles and instructions of all threads of a process, from now on."""

    def __init__(self, pid):
        self.fds = {name: [] for name in EVENTS}
        try:
            for name, config in EVENTS.items():
                for tid in _threads(pid):
                    self.fds[name].append(_open_event(tid, config))
        except OSError:
            self.close()

    def read(self):
        """{name: count}; empty if they cannot be counted."""
        return {name: sum(struct.unpack("=Q", os.read(fd, 8))[0]
                          for fd in fds)
                for name, fds in self.fds.items() if fds}

    def close(self):
        for fds in self.fds.values():
            while fds:
                os.close(fds.pop())


def _schedstat(pid):
    """{thread: (ns that it ran, ns that it waited)}; empty of the dead."""
    found = {}
    try:
        for tid in _threads(pid):
            with open(f"/proc/{pid}/task/{tid}/schedstat",
                      encoding="ascii") as f:
                found[tid] = tuple(map(int, f.read().split()[:2]))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


class Watch:
    """Two processes, from now until look() was called last."""

    def __init__(self, back_end, guest):
        self.back_end, self.guest = back_end, guest
        self.events = Events(back_end)
        self.begin_anew()

    def begin_anew(self):
        """But for events, which are of all the time."""
        self.begin = {pid: _schedstat(pid)
                      for pid in (self.back_end, self.guest)}
        self.end = dict(self.begin)
        self.start_s = self.end_s = time.monotonic()

    def look(self):
        """A process that has gone keeps what it had."""
        for pid in self.begin:
            now = _schedstat(pid)
            if now:
                self.end[pid] = now
        self.end_s = time.monotonic()

    def _spent(self, pid, which):
        before = self.begin[pid]
        return [times[which] - before.get(tid, (0, 0))[which]
                for tid, times in self.end[pid].items()]

    def cpu_ns(self):
        """Of the back-end, all its threads."""
        return sum(self._spent(self.back_end, 0))

    def seconds(self):
        return self.end_s - self.start_s

    def waited(self):
        """Of the time, the share in which a thread of either could have run
        and did not; the worst one's."""
        elapsed_ns = self.seconds() * 1e9
        longest = max(max(self._spent(pid, 1), default=0)
                      for pid in self.begin)
        return longest / elapsed_ns if elapsed_ns else 0.0

    def close(self):
        self.events.close()


class Threads:
    """Time of the threads of a process, but for some, from now on."""

    def __init__(self, pid, but=()):
        self.pid, self.but = pid, but
        self.begin = self._now()

    def _now(self):
        return {tid: times[0] for tid, times in _schedstat(self.pid).items()
                if tid not in self.but}

    def spent_ns(self):
        """Of threads that have ended meanwhile nothing is known."""
        return sum(ns - self.begin.get(tid, 0)
                   for tid, ns in self._now().items())
