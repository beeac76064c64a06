"""Options that cannot be carried out are refused, never left out."""

import pytest
from xenkeep.common.v1 import capture_pb2

from services.chassis.errors import FailedPrecondition
from services.hypervisor.wire.sources import require_no_options


@pytest.mark.parametrize(
    "options",
    [capture_pb2.CaptureOptions(), capture_pb2.CaptureOptions(disks=capture_pb2.DiskRules())],
)
def test_nothing_asked_is_nothing_refused(options: capture_pb2.CaptureOptions) -> None:
    require_no_options(options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (capture_pb2.CaptureOptions(disks=capture_pb2.DiskRules(exclude=["device:0"])), "disks"),
        (capture_pb2.CaptureOptions(hooks=[capture_pb2.CaptureHook(url="https://x")]), "hooks"),
        (capture_pb2.CaptureOptions(offline=capture_pb2.OfflineOptions(force=True)), "offline"),
    ],
)
def test_what_is_asked_and_cannot_be_done_is_named(options: capture_pb2.CaptureOptions, named: str) -> None:
    with pytest.raises(FailedPrecondition, match=named):
        require_no_options(options)
