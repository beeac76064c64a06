"""Parts of a disk in frames: offset u64, length u32, both little endian, and data; 12 zero bytes at the end.

xen-api: ocaml/vhd-tool/src/chunked.ml; the `chunked` flag of /import_raw_vdi.
"""

from __future__ import annotations

import struct

from services.simulator.storage.codecs.stepped import PIECE, SteppedImport, Steps
from services.simulator.storage.ports import Disk

HEAD = struct.Struct("<QI")


def _steps(disk: Disk) -> Steps:
    while True:
        offset, length = HEAD.unpack((yield HEAD.size))
        if length == 0:
            return
        while length:
            data = yield min(length, PIECE)
            disk.write(offset, data)
            offset, length = offset + len(data), length - len(data)


class ChunkedImport(SteppedImport):
    """Writes the frames; offsets and lengths must be multiples of 512 bytes."""

    def __init__(self, disk: Disk) -> None:
        super().__init__("stream of frames", _steps(disk))
