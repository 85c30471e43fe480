# SPDX-License-Identifier: BSD-2-Clause
"""Ping a thousand times a second, and say for how long nobody answered.

It is a program, because threads of a busy test would disturb its clock:

    echo.py ADDRESS
    stdin:  lap                  stdout: lap sent=N answered=N silence_ms=N.N

The silence is the longest time between two answers since the last lap. The
end of the input is the end of the program.
"""

import os
import select
import socket
import struct
import sys
import time

INTERVAL_S = 0.001
ECHO_REQUEST, ECHO_REPLY = 8, 0
HEADER = struct.Struct("!BBHHH")
IP_HEADER_BYTES = 20
LAP = "lap"
LAP_TIMEOUT_S = 30


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


class Pinger:
    """One socket, one clock."""

    def __init__(self, address):
        self.address = address
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW,
                                  socket.IPPROTO_ICMP)
        self.sock.setblocking(False)
        self.ident = os.getpid() & 0xffff
        self.sequence = 0
        self.heard = None
        self.silence_s = 0.0
        self.sent = self.answered = 0

    def send(self):
        self.sequence = (self.sequence + 1) & 0xffff
        head = HEADER.pack(ECHO_REQUEST, 0, 0, self.ident, self.sequence)
        head = HEADER.pack(ECHO_REQUEST, 0, checksum(head), self.ident,
                           self.sequence)
        try:
            self.sock.sendto(head, (self.address, 0))
            self.sent += 1
        except OSError:
            # no neighbour yet, or no room: a request that was lost
            pass

    def receive(self):
        while True:
            try:
                data = self.sock.recv(2048)
            except BlockingIOError:
                return
            kind, _, _, ident, _ = HEADER.unpack_from(data, IP_HEADER_BYTES)
            if kind == ECHO_REPLY and ident == self.ident:
                self.answered += 1
                self.note(time.monotonic())

    def note(self, now):
        if self.heard:
            self.silence_s = max(self.silence_s, now - self.heard)
        self.heard = now

    def lap(self):
        print(f"{LAP} sent={self.sent} answered={self.answered} "
              f"silence_ms={self.silence_s * 1000:.1f}", flush=True)
        self.silence_s = 0.0
        self.sent = self.answered = 0


def main(address):
    pinger = Pinger(address)
    due = time.monotonic()
    while True:
        left = due - time.monotonic()
        readable = select.select([pinger.sock, sys.stdin], [], [],
                                 max(left, 0))[0]
        if pinger.sock in readable:
            pinger.receive()
        if sys.stdin in readable:
            if not sys.stdin.readline():
                return
            pinger.lap()
        if time.monotonic() >= due:
            pinger.send()
            due = time.monotonic() + INTERVAL_S


class Echo:
    """The program, for a test."""

    def __init__(self, test, ns, address):
        self.process = test.spawn([sys.executable, __file__, address],
                                  f"echo-{address}", ns=ns)
        self.laps = 0

    def lap(self):
        """{"sent", "answered", "silence_ms"} since the last lap."""
        self.process.check_alive()
        self.process.process.stdin.write(LAP.encode() + b"\n")
        self.process.process.stdin.flush()
        index, match = self.process.wait_line(
            f"^{LAP} (.*)", LAP_TIMEOUT_S, start=self.laps)
        self.laps = index + 1
        fields = (word.split("=") for word in match.group(1).split())
        return {name: float(value) for name, value in fields}


if __name__ == "__main__":
    main(sys.argv[1])
