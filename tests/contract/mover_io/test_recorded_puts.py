"""The target against recorded answers of xapi to framed PUTs (made with xapi 23.1.0)."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import FailedPrecondition, PermissionDenied, XenkeepError
from services.mover.adapters.http_disk_target import HttpDiskTarget
from services.mover.adapters.http_opener import HttpTargetOptions
from services.mover.domain import Extent
from tests.integration.mover_io.framed_server import FramedServer, Script, Visit

RECORDED = {
    put["note"]: put for put in json.loads((Path(__file__).parent / "golden/framed_puts.json").read_text())
}
SUCCESS = "PUT chunked flag: frames of 4096 and 8192 bytes"
SIZE = 4 << 20


def answer_head(response: dict[str, Any]) -> bytes:
    lines = [f"{response['http_version']} {response['status']} {response['reason']}"]
    lines += [f"{name}: {value}" for name, value in response["headers"]]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def plays(note: str) -> Script:
    """Answer as recorded, take the frames when the recorded server did, say what it said, and end."""
    response = RECORDED[note]["response"]

    def script(visit: Visit) -> None:
        visit.say(answer_head(response))
        if response["status"] == 200:
            visit.take_frames()
        visit.say(response["body"].encode())
        visit.goodbye()

    return script


def write_recorded(server: FramedServer) -> None:
    """What the recording client wrote: a frame of 4,096 bytes and one of 8,192."""
    options = HttpTargetOptions(frame_bytes=8192, first_pause=0.01)
    target = HttpDiskTarget(SIZE, [server.endpoint], lambda: [server.endpoint], options)
    frames = [
        (offset, length, byte) for offset, length, byte in RECORDED[SUCCESS]["request"]["frames"] if length
    ]
    target.begin([Extent(offset, length) for offset, length, _ in frames])
    for offset, length, byte in frames:
        target.write(offset, byte.encode() * length)
    target.finish()


def test_the_recorded_frames_are_sent_with_the_recorded_length(tmp_path: Path) -> None:
    recorded = RECORDED[SUCCESS]["request"]
    with FramedServer(tmp_path, SIZE, [plays(SUCCESS)]) as server:
        write_recorded(server)
        assert [list(frame) for frame in server.frames] == [
            frame[:2] for frame in recorded["frames"] if frame[1]
        ]
        for offset, length, byte in recorded["frames"]:
            assert server.disk[offset : offset + length] == byte.encode() * length
    announced = dict(recorded["headers"])["Content-Length"]
    assert f"Content-Length: {announced}\r\n" in server.heads[0]
    assert int(announced) == recorded["body_length"]


def test_the_recorded_server_answered_before_it_read() -> None:
    assert RECORDED[SUCCESS]["response"]["head_arrived_before_body_was_sent"]


@pytest.mark.parametrize(
    ("note", "kind", "reason"),
    [
        ("PUT chunked flag: frames", FailedPrecondition, "HTTP_WRITE_FAILED"),
        ("chunked flag beyond the end", FailedPrecondition, "HTTP_WRITE_FAILED"),
        ("PUT unknown format", FailedPrecondition, "HTTP_WRITE_REFUSED"),
        ("PUT unknown vdi", FailedPrecondition, "HTTP_WRITE_REFUSED"),
        ("PUT no auth", PermissionDenied, "HTTP_WRITE_DENIED"),
    ],
)
def test_recorded_failures_are_told_apart(
    tmp_path: Path, note: str, kind: type[XenkeepError], reason: str
) -> None:
    with FramedServer(tmp_path, SIZE, [plays(note)]) as server, pytest.raises(XenkeepError) as failed:
        write_recorded(server)
    assert (type(failed.value), failed.value.reason) == (kind, reason)
    if reason == "HTTP_WRITE_FAILED":
        assert failed.value.metadata["said"] == "500 VDI_IO_ERROR"
