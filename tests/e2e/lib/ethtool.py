# SPDX-License-Identifier: BSD-2-Clause
"""What `ethtool -K IF tx off tso off gso off` does, without ethtool.

linux/ethtool.h, linux/sockios.h: an ioctl on any socket, with the name of
the interface and a pointer to { command, value }.
"""

import ctypes
import fcntl
import socket
import struct

from .proc import Failure

SIOCETHTOOL = 0x8946
ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM = 0x16, 0x17
ETHTOOL_GTSO, ETHTOOL_STSO = 0x1e, 0x1f
ETHTOOL_GGSO, ETHTOOL_SGSO = 0x23, 0x24
IFNAMSIZ = 16

# the name, how to read it, how to write it
FEATURES = (
    ("tso", ETHTOOL_GTSO, ETHTOOL_STSO),
    ("gso", ETHTOOL_GGSO, ETHTOOL_SGSO),
    ("tx-checksumming", ETHTOOL_GTXCSUM, ETHTOOL_STXCSUM),
)


def _ethtool(sock, ifname, command, value=0):
    argument = ctypes.create_string_buffer(struct.pack("=II", command, value))
    request = struct.pack(f"{IFNAMSIZ}sP16x", ifname.encode(),
                          ctypes.addressof(argument))
    fcntl.ioctl(sock, SIOCETHTOOL, request)
    return struct.unpack("=II", argument.raw[:8])[1]


def offloads_off(ns, ifname):
    with ns.socket(kind=socket.SOCK_DGRAM) as sock:
        for name, get, put in FEATURES:
            try:
                _ethtool(sock, ifname, put, 0)
                left_on = _ethtool(sock, ifname, get)
            except OSError as e:
                raise Failure(f"cannot turn off {name} of {ifname} in "
                              f"{ns.name}: {e.strerror}") from e
            if left_on:
                raise Failure(f"{name} of {ifname} in {ns.name} stays on")


def segments(ns, ifname):
    """Whether the kernel leaves it to the interface to cut TCP."""
    with ns.socket(kind=socket.SOCK_DGRAM) as sock:
        return _ethtool(sock, ifname, ETHTOOL_GTSO) != 0
