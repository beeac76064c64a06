"""Options of a capture: what does not fit is refused, never left out."""

import pytest
from google.protobuf.duration_pb2 import Duration
from xenkeep.common.v1 import capture_pb2

from services.chassis.errors import InvalidInput
from services.hypervisor.domain.capture import (
    Hook,
    Moment,
    Offline,
    Options,
    assert_fitting,
)
from services.hypervisor.domain.disk_rules import DiskRules
from services.hypervisor.domain.vm import Method
from services.hypervisor.wire.options import options_from_proto

SECRET = "swordfish"


def test_what_is_not_said_is_what_the_contract_says() -> None:
    told = capture_pb2.CaptureOptions(
        offline=capture_pb2.OfflineOptions(),
        quiesce=capture_pb2.QuiesceOptions(),
        hooks=[capture_pb2.CaptureHook(url="https://x/")],
    )
    hook = Hook(Moment.BEFORE_SNAPSHOT, "https://x/", 60.0)
    assert Options(Offline(300.0), True, DiskRules(), (hook,)) == options_from_proto(told)
    assert Options() == options_from_proto(capture_pb2.CaptureOptions())


def test_what_is_said_holds() -> None:
    told = capture_pb2.CaptureOptions(
        offline=capture_pb2.OfflineOptions(
            shutdown_deadline_duration=Duration(seconds=1, nanos=500_000_000), force=True, stay_off=True
        ),
        quiesce=capture_pb2.QuiesceOptions(requirement=capture_pb2.QuiesceOptions.REQUIREMENT_PREFER),
        hooks=[
            capture_pb2.CaptureHook(
                moment=capture_pb2.CaptureHook.MOMENT_AFTER_SNAPSHOT,
                url="https://x/",
                deadline_duration=Duration(seconds=5),
                optional=True,
            )
        ],
        disks=capture_pb2.DiskRules(include=["device:0"], exclude=["tag:x"]),
    )
    hook = Hook(Moment.AFTER_SNAPSHOT, "https://x/", 5.0, optional=True)
    rules = DiskRules(("device:0",), ("tag:x",))
    assert Options(Offline(1.5, True, True), False, rules, (hook,)) == options_from_proto(told)


@pytest.mark.parametrize(
    ("options", "method"),
    [
        (Options(offline=Offline()), Method.NORMAL),
        (Options(offline=Offline()), Method.QUIESCED),
        (Options(quiesce_required=False), Method.OFFLINE),
        (Options(offline=Offline(7201.0)), Method.OFFLINE),
        (Options(offline=Offline(-1.0)), Method.OFFLINE),
        (Options(hooks=(Hook(Moment.BEFORE_SNAPSHOT, "https://x/"),) * 9), Method.NORMAL),
        (Options(hooks=(Hook(Moment.BEFORE_SNAPSHOT, "https://x/", 7201.0),)), Method.NORMAL),
    ],
)
def test_what_does_not_fit_is_refused(options: Options, method: Method) -> None:
    with pytest.raises(InvalidInput):
        assert_fitting(options, method)


@pytest.mark.parametrize(
    "url",
    [
        f"http://x/{SECRET}",
        f"https://user:{SECRET}@x/",
        f"https:///{SECRET}",
        f"https://x/{SECRET}\r\nHost: y",
        f"https://x:99999/{SECRET}",
        f"https://[x/{SECRET}",
        f"//x/{SECRET}",
        "",
    ],
)
def test_a_hook_goes_over_https_and_its_url_is_told_nobody(url: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        assert_fitting(Options(hooks=(Hook(Moment.BEFORE_SNAPSHOT, url),)), Method.NORMAL)
    assert SECRET not in str(refused.value)


def test_a_hook_does_not_show_its_url() -> None:
    assert SECRET not in repr(Hook(Moment.BEFORE_SNAPSHOT, f"https://x/{SECRET}"))
