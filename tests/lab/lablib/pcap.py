# SPDX-License-Identifier: BSD-2-Clause
"""Frames in a file that QEMU's filter-dump writes (the classic pcap format)."""

import os
import struct

from lib.proc import Failure

MAGIC = 0xA1B2C3D4
FILE_HEADER = struct.Struct("=IHHiIII")
RECORD = struct.Struct("=IIII")


class Pcap:
    """A file that grows; what came before mark() is not looked at."""

    def __init__(self, path):
        self.path = path
        self.start = FILE_HEADER.size

    def mark(self):
        self.start = max(os.path.getsize(self.path), FILE_HEADER.size)

    def frames(self):
        """All whole frames since the mark."""
        with open(self.path, "rb") as f:
            magic = FILE_HEADER.unpack(f.read(FILE_HEADER.size))[0]
            if magic != MAGIC:
                raise Failure(f"'{self.path}' is no pcap file of this machine")
            f.seek(self.start)
            data = f.read()
        return list(self._split(data))

    def _split(self, data):
        at = 0
        while at + RECORD.size <= len(data):
            _, _, kept, size = RECORD.unpack_from(data, at)
            at += RECORD.size
            if at + kept > len(data):
                return
            if kept < size:
                raise Failure(f"{size - kept} bytes of a frame are not in "
                              f"'{self.path}'")
            yield data[at:at + kept]
            at += kept
