# SPDX-License-Identifier: BSD-2-Clause
"""The host that a guest talks to: DHCP, ping, and files over TCP."""

import contextlib
import hashlib
import os
import socket
import threading

from .proc import Failure, Timeout, check

CHUNK_BYTES = 1 << 16
ACCEPT_TIMEOUT_S = 120
FILE_BYTES = 32 << 20
TRANSFER_TIMEOUT_S = 120
ARP_PROBE_MS = 200

UDHCPD_CONF = """\
interface {ifname}
start {first}
end {last}
max_leases 16
lease_file {leases}
pidfile {pid}
option subnet 255.255.255.0
option lease 3600
"""


def ping(ns, address, timeout_s=30):
    """Ping from a namespace until one is answered."""
    script = f"until busybox ping -c 1 -W 1 {address}; do :; done"
    return ns.run(["sh", "-c", script], timeout_s=timeout_s)


def dhcp_server(test, ns, ifname, first, last):
    """Give away the addresses first to last (of a /24), with udhcpd."""
    test.need_tool("busybox", "busybox-static")
    name = f"udhcpd-{ifname}"
    leases = test.path(name + ".leases")
    with open(leases, "wb"):
        pass
    with open(test.path(name + ".conf"), "w", encoding="ascii") as f:
        f.write(UDHCPD_CONF.format(ifname=ifname, first=first, last=last,
                                   leases=leases, pid=test.path(name + ".pid")))
    server = test.spawn(["busybox", "udhcpd", "-f", "-a", ARP_PROBE_MS, f.name], name, ns=ns)
    server.wait_line("started", 5, stream=server.err)
    return server


class OneConnection:
    """Serves one TCP connection in a thread; close() is always safe."""

    def __init__(self, test, ns, address):
        self.listener = ns.socket()
        self.listener.bind((address, 0))
        self.listener.listen(1)
        self.listener.settimeout(ACCEPT_TIMEOUT_S)
        self.address, self.port = self.listener.getsockname()
        self.error = None
        self.digest = hashlib.sha256()
        self.bytes = 0
        self.connection = None
        test.on_exit(self.close)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        try:
            self.connection, _ = self.listener.accept()
            self.connection.settimeout(TRANSFER_TIMEOUT_S)
            with self.connection:
                self.transfer(self.connection)
        except OSError as e:
            self.error = e

    def transfer(self, connection):
        raise NotImplementedError

    def _count(self, data):
        self.digest.update(data)
        self.bytes += len(data)

    def result(self, timeout_s=TRANSFER_TIMEOUT_S):
        """Wait for the end. Returns the SHA-256 in hexadecimal."""
        self.thread.join(timeout_s)
        if self.thread.is_alive():
            raise Timeout(f"TCP port {self.port}: {self.bytes} bytes after "
                          f"{timeout_s} s, and no end")
        if self.error:
            raise Failure(f"TCP port {self.port}: {self.error} after "
                          f"{self.bytes} bytes")
        return self.digest.hexdigest()

    def close(self):
        self.listener.close()
        if self.connection:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)


class FileSource(OneConnection):
    """Sends random bytes to who connects."""

    def __init__(self, test, ns, address, size=FILE_BYTES):
        self.data = os.urandom(size)
        super().__init__(test, ns, address)

    def transfer(self, connection):
        for start in range(0, len(self.data), CHUNK_BYTES):
            chunk = self.data[start:start + CHUNK_BYTES]
            connection.sendall(chunk)
            self._count(chunk)
        connection.shutdown(socket.SHUT_WR)
        # closing with the guest's FIN outstanding could send a reset
        while connection.recv(CHUNK_BYTES):
            pass


class FileSink(OneConnection):
    """Takes bytes from who connects, to the end."""

    def transfer(self, connection):
        while True:
            data = connection.recv(CHUNK_BYTES)
            if not data:
                return
            self._count(data)


class Datagrams:
    """A UDP socket of the namespace that we are in."""

    def __init__(self, address, timeout_s):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 0))
        self.sock.settimeout(timeout_s)
        self.port = self.sock.getsockname()[1]

    def receive(self):
        return self.sock.recv(CHUNK_BYTES)

    def close(self):
        self.sock.close()


def send_to_guest(test, ns, guest, address, size=FILE_BYTES):
    """A file from `address` in `ns` to the guest, and its digests compared."""
    source = FileSource(test, ns, address, size)
    _transfer("to the guest", source, guest, size,
              f"nc {address} {source.port} </dev/null >/tmp/file && "
              "sha256sum </tmp/file")


def receive_from_guest(test, ns, guest, address, size=FILE_BYTES):
    """The same, the other way."""
    sink = FileSink(test, ns, address)
    _transfer("from the guest", sink, guest, size,
              f"head -c {size} /dev/urandom >/tmp/file && "
              f"nc {address} {sink.port} </tmp/file && "
              "sha256sum </tmp/file")


def _transfer(way, connection, guest, size, script):
    try:
        output = guest.run(script + "; rm -f /tmp/file",
                           TRANSFER_TIMEOUT_S).output
    except Failure as e:
        raise Failure(f"{way}: {connection.bytes} of {size} bytes; {e}") from e
    digest = connection.result()
    words = output.split()
    theirs = words[0] if words else "nothing"
    check(connection.bytes == size,
          f"{way}: {connection.bytes} of {size} bytes")
    check(digest == theirs, f"{way}: the file arrives changed: SHA-256 "
          f"{digest} here, {theirs} in the guest")
