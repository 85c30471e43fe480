# SPDX-License-Identifier: BSD-2-Clause
"""A TCP stream both ways that goes on while a test does things to it.

    stream = Stream(t, side.peer_ns, side.host, vm)
    stream.wait_progress()
    ...                         # kill, migrate, plug
    stream.wait_progress()      # it still goes, both ways
    stream.finish()             # both ends stop; the digests are compared

In the guest it is `guest-tool duplex`, which sends from one buffer with
MSG_ZEROCOPY, and sha256sum. A guest may have moved to another QEMU before the
end: finish() takes the one that it is in.
"""

import hashlib
import os
import socket
import threading
import time

from . import peer
from .proc import Failure, check, wait_for
from .words import stream_words

# guest_tool/guest_going_on.c
GUEST_PERIOD_BYTES = (4 << 20) - 4096 + 64
HOST_PERIOD_BYTES = (1 << 20) + 8
SEND_BUFFER_BYTES = 256 << 10
PROGRESS_BYTES = 1 << 20
PROGRESS_TIMEOUT_S = 120
FINISH_TIMEOUT_S = 120
SILENCE_S = 0.02

START = """\
rm -f {file}.*
(guest-tool duplex {address} {port} {seed} 2>{file}.err |
 sha256sum >{file}.new
 mv {file}.new {file}.sum) </dev/null >/dev/null 2>&1 &
"""
# of several streams all stop sending with the first
END = """\
killall -TERM guest-tool 2>/dev/null
until [ -e {file}.sum ]; do sleep 0.05; done
cat {file}.err {file}.sum
"""


class Stream(peer.OneConnection):
    """The host's end, in two threads."""

    def __init__(self, test, ns, address, vm, seed=1):
        self.test = test
        self.seed = seed
        self.block = os.urandom(HOST_PERIOD_BYTES)
        self.sent = hashlib.sha256()
        self.sent_bytes = 0
        self.stopping = threading.Event()
        self.sender_error = None
        self.heard = None
        self.silences = []
        super().__init__(test, ns, address)
        self.file = f"/tmp/duplex-{seed}"
        vm.run(START.format(address=self.address, port=self.port, seed=seed,
                            file=self.file))

    # threads

    def transfer(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF,
                              SEND_BUFFER_BYTES)
        sender = threading.Thread(target=self._send, args=(connection,),
                                  daemon=True)
        sender.start()
        while True:
            data = connection.recv(peer.CHUNK_BYTES)
            self._listen()
            if not data:
                break
            self._count(data)
        sender.join(peer.TRANSFER_TIMEOUT_S)

    def _send(self, connection):
        try:
            while not self.stopping.is_set():
                start = self.sent_bytes % HOST_PERIOD_BYTES
                n = connection.send(self.block[start:start
                                               + peer.CHUNK_BYTES])
                self.sent.update(self.block[start:start + n])
                self.sent_bytes += n
            connection.shutdown(socket.SHUT_WR)
        except OSError as e:
            self.sender_error = e

    def _listen(self):
        now = time.monotonic()
        if self.heard and now - self.heard > SILENCE_S:
            self.silences.append((self.heard, now - self.heard))
        self.heard = now

    # for tests

    def longest_silence_s(self, since=0.0):
        """The longest time without a byte from the guest."""
        return max((length for start, length in list(self.silences)
                    if start + length >= since), default=0.0)

    def wait_progress(self, size=PROGRESS_BYTES, timeout_s=PROGRESS_TIMEOUT_S):
        """Until so many bytes more have gone each way."""
        sent, received = self.sent_bytes, self.bytes

        def moved():
            error = self.error or self.sender_error
            if error:
                raise Failure(f"the stream ends: {error}; {self.where()}")
            return self.sent_bytes - sent >= size + SEND_BUFFER_BYTES and \
                self.bytes - received >= size
        try:
            wait_for(moved, timeout_s, f"{size} bytes each way")
        except Failure as e:
            raise Failure(f"{e}; {self.sent_bytes - sent} to the guest, "
                          f"{self.bytes - received} from it; "
                          f"{self.where()}") from e

    def where(self):
        return (f"{self.sent_bytes} bytes to the guest, {self.bytes} from it "
                "in all")

    def finish(self, vm):
        """Stop both ends; what was sent is what arrived, both ways."""
        self.stopping.set()
        output = vm.run(END.format(file=self.file), FINISH_TIMEOUT_S).output
        arrived = self.result()
        if self.sender_error:
            raise Failure(f"sending to the guest: {self.sender_error}")
        said = dict(word.split("=") for word in output.split()
                    if word.count("=") == 1)
        check("sent" in said, f"guest-tool failed: {output}")
        check(int(said["sent"]) == self.bytes
              and int(said["received"]) == self.sent_bytes,
              f"here {self.where()}; the guest says: {output}")
        check(arrived == self.expected(self.bytes),
              "from the guest: the stream arrives changed")
        check(self.sent.hexdigest() in output,
              f"to the guest: the stream arrives changed: SHA-256 "
              f"{self.sent.hexdigest()} here, in the guest {output}")
        check(said["calls"] == said["completed"],
              f"completions of zero-copy sends are missing: {output}")
        return said

    def expected(self, size):
        """The digest of so many bytes of the guest's stream."""
        words = stream_words(self.seed, GUEST_PERIOD_BYTES)
        digest = hashlib.sha256()
        for start in range(0, size, GUEST_PERIOD_BYTES):
            digest.update(words[:size - start])
        return digest.hexdigest()

    def close(self):
        self.stopping.set()
        super().close()
