"""GET /vncsnapshot: what a VM shows, as a JPEG (xapi: ocaml/xapi/console.ml)."""

import hashlib
import struct

from services.simulator.failure import XapiFailure, internal_error
from services.simulator.http.exchange import Exchange
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool
from services.simulator.transfers.access import admitted, found, refusal_of
from services.simulator.transfers.stream import send

WIDTH, HEIGHT = 720, 400
_DC_CODES = ("00", "010", "011", "100", "101", "110", "1110", "11110", "111110")
"""Code of a difference of so many bits (ITU-T T.81, table K.3)."""
_DC_COUNTS = (0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0)
_END_OF_BLOCK = "0"


class Screenshot:
    """A grey screen, of a shade of its own for every VM that runs; halted ones show nothing."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        name, label = "get_vncsnapshot", "VNC snapshot"
        async with admitted(self._pool, self._host, exchange, name, label) as transfer:
            given = transfer.query.get("ref") or transfer.query.get("uuid")
            vm = self._pool.db.row("VM", found(self._pool, "VM", given))
            refusal = refusal_of(self._pool, transfer.session, "get_vncsnapshot/host_console")
            if vm["is_control_domain"] and refusal is not None:
                raise refusal
            if vm["power_state"] != "Running":
                raise internal_error("Console.Failure")
            if vm["resident_on"] != self._host.ref:
                host = self._pool.hosts.get(vm["resident_on"])
                if host is None or not host.alive:
                    raise XapiFailure("CANNOT_CONTACT_HOST", vm["resident_on"])
                transfer.handed_over = True
                port = "" if host.https_port == 443 else f":{host.https_port}"
                await exchange.redirect(f"https://{host.address}{port}{exchange.head.target}")
                return
            image = grey_jpeg(hashlib.sha256(vm["uuid"].encode()).digest()[0])
            await exchange.begin(
                [
                    ("Connection", "close"),
                    ("Cache-Control", "no-cache, no-store"),
                    ("task-id", transfer.task),
                    ("content-type", "image/jpeg"),
                ]
            )
            await send(transfer, image)


def grey_jpeg(shade: int) -> bytes:
    """A baseline JPEG of one ``shade`` (0 to 255): every block after the first differs from it by nothing."""
    blocks = (WIDTH // 8) * (HEIGHT // 8)
    difference = shade - 128
    size = abs(difference).bit_length()
    magnitude = difference if difference >= 0 else difference + (1 << size) - 1
    first = _DC_CODES[size] + (f"{magnitude:0{size}b}" if size else "") + _END_OF_BLOCK
    bits = first + (_DC_CODES[0] + _END_OF_BLOCK) * (blocks - 1)
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\x00")
    frame = struct.pack(">BHHBBBB", 8, HEIGHT, WIDTH, 1, 1, 0x11, 0)
    dc_table = bytes([0x00, *_DC_COUNTS, *range(12)])
    ac_table = bytes([0x10, 1, *bytes(15), 0x00])
    segments = [
        (0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
        (0xDB, bytes([0, *[8] * 64])),
        (0xC0, frame),
        (0xC4, dc_table),
        (0xC4, ac_table),
        (0xDA, bytes([1, 1, 0x00, 0, 63, 0])),
    ]
    head = b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments
    )
    return b"\xff\xd8" + head + data + b"\xff\xd9"
