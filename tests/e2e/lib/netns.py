# SPDX-License-Identifier: BSD-2-Clause
"""Network namespaces without names.

A namespace is held by a process that reads from a pipe of ours, and is
entered through that process's /proc entry. So there is nothing to name,
nothing that parallel runs could fight over, and nothing to clean: when we
end, however we end, the pipe closes, the holder ends, and the kernel removes
the namespace with its interfaces. It works as root and as the root of a user
namespace, where /run/netns cannot be written.
"""

import contextlib
import ctypes
import os
import socket
import subprocess

from . import ethtool
from .proc import DIE_WITH_US, Failure, Skip, run

CLONE_NEWNET = 0x40000000
TUN = "/dev/net/tun"
# of /proc/net/packet, and of /proc/net/softnet_stat since Linux 5.10
RMEM, BACKLOG = 6, 11
HOLD = "ip link set lo up && echo ready && exec cat"

_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


class NetNs:
    """One network namespace."""

    def __init__(self, test, name):
        self.name = name
        self.holder = subprocess.Popen(
            [*DIE_WITH_US, "unshare", "--net", "sh", "-c", HOLD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        test.on_exit(self.close)
        if self.holder.stdout.readline() != b"ready\n":
            raise Failure(f"cannot make the network namespace '{name}'")
        self.path = f"/proc/{self.holder.pid}/ns/net"
        self.write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1")
        self.write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()

    def enter_command(self):
        return ["nsenter", "--net=" + self.path, "--"]

    @contextlib.contextmanager
    def entered(self):
        """This thread is in the namespace; sockets made there stay there."""
        with open("/proc/thread-self/ns/net", "rb") as home, \
                open(self.path, "rb") as there:
            _setns(there.fileno())
            try:
                yield self
            finally:
                _setns(home.fileno())

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, proto=0):
        with self.entered():
            return socket.socket(family, kind, proto)

    def write(self, path, text):
        """Write a file of /proc/sys/net; absent is as good as set."""
        with self.entered(), contextlib.suppress(FileNotFoundError):
            with open(path, "w", encoding="ascii") as f:
                f.write(text)

    def run(self, argv, **options):
        return run(argv, ns=self, **options)

    def ip(self, *words, **options):
        return self.run(["ip", *words], **options)

    def set_up(self, ifname, address=None, mtu=None):
        if mtu:
            self.ip("link", "set", ifname, "mtu", mtu)
        if address:
            self.ip("address", "add", address, "dev", ifname)
        self.ip("link", "set", ifname, "up")

    def add_tap(self, ifname, address=None, mtu=None, vnet_header=False):
        try:
            os.close(os.open(TUN, os.O_RDWR))
        except OSError as e:
            raise Skip(f"no taps here: cannot open {TUN}: {e.strerror}") from e
        header = ["vnet_hdr"] if vnet_header else []
        self.ip("tuntap", "add", "dev", ifname, "mode", "tap", *header)
        self.set_up(ifname, address, mtu)

    def statistics(self, ifname):
        """rx_bytes, tx_packets and so on, of an interface."""
        names = ("rx_bytes", "rx_packets", "rx_errors", "rx_dropped")
        names += tuple(n.replace("rx", "tx") for n in names)
        with self.entered(), open("/proc/thread-self/net/dev",
                                  encoding="ascii") as f:
            for line in f:
                name, _, rest = line.partition(":")
                if name.strip() == ifname:
                    words = [int(w) for w in rest.split()]
                    return dict(zip(names, words[:4] + words[8:12]))
        raise Failure(f"no interface '{ifname}' in {self.name}")

    def packets_are_read(self):
        """Whether raw sockets here have nothing to read, and the kernel has no
        frame on its way to any socket. False says: look again."""
        return not _backlog() and not self._unread() and not _backlog()

    def _unread(self):
        """Bytes in the receive buffers of raw sockets."""
        with self.entered(), open("/proc/thread-self/net/packet",
                                  encoding="ascii") as f:
            return sum(int(line.split()[RMEM]) for line in list(f)[1:])


def _backlog():
    """Frames that processors have received and not looked at yet."""
    with open("/proc/net/softnet_stat", encoding="ascii") as f:
        rows = [line.split() for line in f]
    return sum(int(row[BACKLOG], 16) for row in rows if len(row) > BACKLOG)


def veth(ns_a, if_a, ns_b, if_b, address_b=None, mtu=None):
    """Two interfaces that hear each other; both up.

    What leaves b has complete checksums and no super-frames: a device that
    is read through AF_XDP or AF_PACKET could not know of them.
    """
    ns_a.ip("link", "add", if_a, "type", "veth", "peer", "name", if_b,
            "netns", ns_b.holder.pid)
    ethtool.offloads_off(ns_b, if_b)
    ns_a.set_up(if_a, mtu=mtu)
    ns_b.set_up(if_b, address_b, mtu)
