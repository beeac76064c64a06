"""What a policy may say about a capture, and that it says the same on the wire."""

from datetime import timedelta

import pytest
from xenkeep.common.v1 import capture_pb2

from services.chassis.errors import InvalidInput
from services.scheduler.domain.capture import (
    Capture,
    Compression,
    DiskRules,
    Hook,
    Moment,
    Offline,
    OwnSnapshots,
    Requirement,
    complaints,
)
from services.scheduler.wire.capture import capture_from_proto, capture_to_proto

HOOK = Hook(Moment.AFTER_SNAPSHOT, "https://hooks.example.com/thaw", timedelta(seconds=30), optional=True)
WHOLE = Capture(
    Offline(timedelta(minutes=3), force=True, stay_off=True),
    Requirement.PREFER,
    (HOOK,),
    DiskRules(("device:0",), ("name:scratch*", "larger-than:1099511627776")),
    compression=Compression.HIGH,
)


@pytest.mark.parametrize(
    "capture",
    [Capture(), WHOLE, Capture(quiesce=Requirement.REQUIRE), Capture(own_snapshots=OwnSnapshots.SAVE)],
)
def test_options_come_back_from_the_wire_as_they_went(capture: Capture) -> None:
    assert capture == capture_from_proto(capture_to_proto(capture))


def test_options_that_fit_the_method_are_taken() -> None:
    assert [] == list(complaints(Capture(offline=Offline(), hooks=(HOOK,)), "offline"))
    assert [] == list(complaints(Capture(quiesce=Requirement.PREFER), "quiesced"))


@pytest.mark.parametrize(
    ("capture", "method", "field"),
    [
        (Capture(offline=Offline()), "normal", "options.offline"),
        (Capture(quiesce=Requirement.REQUIRE), "normal", "options.quiesce"),
        (
            Capture(hooks=(Hook(Moment.BEFORE_SNAPSHOT, "http://plain.example.com"),)),
            "normal",
            "options.hooks.url",
        ),
        (
            Capture(hooks=(Hook(Moment.BEFORE_SNAPSHOT, "https://me:secret@x"),)),
            "normal",
            "options.hooks.url",
        ),
        (Capture(hooks=(HOOK,) * 9), "normal", "options.hooks"),
        (Capture(disks=DiskRules(exclude=("everything",))), "normal", "options.disks"),
        (
            Capture(offline=Offline(timedelta(days=1))),
            "offline",
            "options.offline.shutdown_deadline_duration",
        ),
    ],
)
def test_options_that_make_no_sense_are_named(capture: Capture, method: str, field: str) -> None:
    assert field in dict(complaints(capture, method))


def test_a_compression_of_a_newer_release_is_refused() -> None:
    options = capture_pb2.CaptureOptions.FromString(b"\x68\x63")  # field 13 is 99
    with pytest.raises(InvalidInput, match="compression 99 is unknown"):
        capture_from_proto(options)
