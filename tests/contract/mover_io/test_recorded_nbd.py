"""The client against recordings of xapi's NBD server, played back byte for byte (made with xapi 23.1.0)."""

import hashlib
import json
import ssl
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import (
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
    Unavailable,
    XenkeepError,
)
from services.mover.adapters.nbd_connection import NbdConnection
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.domain import BlockRead
from tests.faults.mover_io.hostile_nbd import HostileNbd, Talk

GOLDEN = Path(__file__).parent / "golden"
Step = dict[str, Any]


def recording(file: str, note: str) -> list[Step]:
    (found,) = [talk for talk in json.loads((GOLDEN / f"{file}.json").read_text()) if talk["note"] == note]
    steps: list[Step] = found["steps"]
    return steps


def payload(step: Step) -> bytes:
    """The recorded bytes; of long data only head and tail were kept: the middle is zeroes."""
    if "hex" in step:
        return bytes.fromhex(step["hex"])
    head, tail = bytes.fromhex(step["hex_head"]), bytes.fromhex(step["hex_tail"])
    return head + bytes(step["length"] - len(head) - len(tail)) + tail


class Playback:
    """A script that says what was recorded and notes where the client departs from the recording."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self.departures: list[str] = []
        self.handle = b""

    def __call__(self, talk: Talk) -> None:
        for step in self.steps:
            if step.get("event") == "connection closed":
                return
            if step["note"] == "TLS handshake":
                talk.start_tls()
            elif step["who"] == "client":
                self.expect(step, talk.exactly(step["length"]))
            elif step["who"] == "server":
                said = payload(step)
                talk.say(said[:8] + self.handle if "simple reply" in step["note"] else said)

    def expect(self, step: Step, sent: bytes) -> None:
        """The client's bytes are the recorded ones, but for its choice of handles and the export's name."""
        recorded = bytes.fromhex(step["hex"])
        if "EXPORT_NAME" in step["note"] and sent[:16] == recorded[:16]:
            return
        if recorded[:4] == b"\x25\x60\x95\x13":
            self.handle = sent[8:16]
            recorded, sent = recorded[:8] + recorded[16:], sent[:8] + sent[16:]
        if sent != recorded:
            self.departures.append(f"{step['note']}: {sent.hex()} instead of {recorded.hex()}")


def reads_of(steps: Sequence[Step]) -> list[tuple[int, int, bytes]]:
    """Offset, length and answer of every READ that was answered in full."""
    reads = []
    for request, head, data in zip(steps, steps[1:], steps[2:], strict=False):
        if "CMD_READ" in request["note"] and "simple reply" in head["note"] and data["note"] == "data":
            offset, length = struct.unpack(">QI", bytes.fromhex(request["hex"])[16:])
            reads.append((offset, length, payload(data)))
    return reads


def endpoint_of(server: HostileNbd, steps: Sequence[Step], *, tls: bool = True) -> NbdEndpoint:
    """The server's, with an export name of the recorded length."""
    lengths = [step["length"] - 16 for step in steps if step["note"].startswith("NBD_OPT_EXPORT_NAME")]
    told = server.endpoint
    name = "n" * (lengths[0] if lengths else 95)
    return NbdEndpoint(told.host_id, told.address, told.port, name, told.certificate_pem if tls else "")


@pytest.mark.parametrize(
    ("file", "note", "tls"),
    [
        ("commands", "reads: 512, 4096, 64 KiB, 1 MiB, 2 MiB, whole disk, last sector, then DISC", True),
        ("export_names", "EXPORT_NAME of a live disk, VM halted", True),
        ("sessions_and_vbds", "session logged out after the connection was made", True),
        ("purposes", "insecure_nbd: EXPORT_NAME without TLS", False),
    ],
)
def test_recorded_reads_are_asked_for_and_understood(tmp_path: Path, file: str, note: str, tls: bool) -> None:
    steps = recording(file, note)
    playback = Playback(steps)
    with HostileNbd(tmp_path, [playback]) as server:
        connection = NbdConnection.open(endpoint_of(server, steps, tls=tls), plaintext_allowed=not tls)
        assert connection.size_bytes == 4 << 20
        reads = reads_of(steps)
        assert reads
        for offset, length, expected in reads:
            buffer = bytearray(length)
            connection.read_into(offset, memoryview(buffer))
            assert hashlib.sha256(buffer).digest() == hashlib.sha256(expected).digest()
        connection.close()
    assert playback.departures == []


@pytest.mark.parametrize(
    ("file", "note", "kind", "reason"),
    [
        ("export_names", "EXPORT_NAME with unknown VDI uuid", FailedPrecondition, "NBD_EXPORT_REFUSED"),
        ("export_names", "EXPORT_NAME with wrong session", FailedPrecondition, "NBD_EXPORT_REFUSED"),
        ("export_names", "EXPORT_NAME of a cbt_metadata VDI", FailedPrecondition, "NBD_EXPORT_REFUSED"),
        ("purposes", "no network has an NBD purpose", ResourceExhausted, "NBD_HOST_FULL"),
        ("purposes", "insecure_nbd: option STARTTLS", FailedPrecondition, "NBD_TLS_REFUSED"),
        ("seventeenth_connection", "connection 17 of 18 kept open", ResourceExhausted, "NBD_HOST_FULL"),
    ],
)
def test_recorded_refusals_are_told_apart(
    tmp_path: Path, file: str, note: str, kind: type[XenkeepError], reason: str
) -> None:
    steps = recording(file, note)
    with HostileNbd(tmp_path, [Playback(steps)]) as server, pytest.raises(XenkeepError) as failed:
        NbdConnection.open(endpoint_of(server, steps))
    assert (type(failed.value), failed.value.reason) == (kind, reason)


@pytest.mark.parametrize(
    "note", ["read past the end", "read across the end", "read at an unaligned offset, then an aligned one"]
)
def test_reads_that_made_the_recorded_server_hang_up_are_never_sent(tmp_path: Path, note: str) -> None:
    steps = recording("commands", note)
    handshake = steps[: next(at for at, step in enumerate(steps) if "CMD_READ" in step["note"])]
    request = steps[len(handshake)]
    offset, length = struct.unpack(">QI", bytes.fromhex(request["hex"])[16:])
    with HostileNbd(tmp_path, [Playback(handshake)]) as server:
        connection = NbdConnection.open(endpoint_of(server, steps))
        with pytest.raises(InvalidInput):
            list(connection.read_many([BlockRead(offset, memoryview(bytearray(length)))]))
        connection.close()


def test_a_reply_without_its_data_is_a_lost_connection(tmp_path: Path) -> None:
    """As the recorded server does for a read past the end: it says success, then hangs up."""
    steps = recording("commands", "read past the end")
    with HostileNbd(tmp_path, [Playback(steps)]) as server:
        connection = NbdConnection.open(endpoint_of(server, steps))
        with pytest.raises(Unavailable) as failed:
            connection.read_into(0, memoryview(bytearray(512)))
        connection.close()
    assert failed.value.reason == "NBD_CONNECTION_LOST"


def test_the_recordings_were_made_with_tls_that_is_still_accepted() -> None:
    (handshake,) = [
        step
        for step in recording("export_names", "EXPORT_NAME of a live disk, VM halted")
        if step["note"] == "TLS handshake"
    ]
    offered = {cipher["name"] for cipher in ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).get_ciphers()}
    assert handshake["cipher"] in offered
