"""What is put on the wire comes back as it was."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xenkeep.common.v1 import capture_pb2
from xenkeep.mover.v1 import transfer_pb2, work_pb2

from services.chassis.errors import InvalidInput
from services.mover.domain.capture import Consistency, Failure, FullReason, Level, Method, Remark
from services.mover.domain.copying import Copied, Copy, Heal, Healed, LeftPoint
from services.mover.domain.facts import TransferRequested
from services.mover.domain.names import checked_transfer_id, vm_ids
from services.mover.domain.placement import Mode, Placement
from services.mover.domain.point import Asset, Damage, Point, PointDisk
from services.mover.domain.rates import RateLimit, RateLimits
from services.mover.domain.transfer import (
    Backup,
    Compression,
    Progress,
    Prune,
    Pruned,
    Rebuild,
    Restore,
    Result,
    Spec,
    Verify,
)
from services.mover.wire import capture, point, spec, transfer
from services.mover.wire.facts import fact_to_proto

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SIZE = st.integers(0, 2**63 - 1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.integers(0, 7_000_000_000).map(lambda second: EPOCH + timedelta(seconds=second))
POOLS = TEXT.map(lambda text: f"pools/{text}")
NAMES = TEXT.filter(lambda text: not text.startswith("repositories/"))

remarks = st.builds(Remark, TEXT, TEXT)
disks = st.builds(
    PointDisk,
    TEXT,
    TEXT,
    TEXT,
    SIZE,
    st.sampled_from(Level),
    st.sampled_from(FullReason),
    SIZE,
    SIZE,
    TEXT,
    TEXT,
)
points = st.builds(
    Point,
    TEXT,
    TEXT,
    st.builds(Asset, TEXT, TEXT, TEXT, TEXT),
    TIMES,
    TIMES,
    st.sampled_from(Method),
    st.sampled_from(Level),
    st.sampled_from(Consistency),
    TEXT,
    st.lists(disks.filter(lambda disk: disk.size_bytes < 2**60), max_size=3).map(tuple),
    SIZE,
    SIZE,
    st.lists(remarks, max_size=3).map(tuple),
    TEXT,
    TEXT,
)
specs = st.one_of(
    st.builds(Backup, TEXT, NAMES, st.sampled_from(Method), st.booleans(), TEXT, TEXT, st.integers(0, 16)),
    st.builds(
        Restore,
        NAMES,
        TEXT,
        st.builds(Placement, POOLS, st.sampled_from(Mode), TEXT, TEXT, st.booleans(), st.booleans()),
    ),
    st.builds(Verify, NAMES, st.booleans()),
    st.builds(Rebuild, NAMES),
    st.builds(
        Prune, NAMES, st.booleans(), st.none() | st.integers(0, 10**6).map(lambda s: timedelta(seconds=s))
    ),
    st.builds(Heal, NAMES, TEXT),
    st.builds(
        Copy,
        NAMES,
        TEXT,
        st.lists(TEXT, max_size=2).map(tuple),
        st.none() | TIMES,
        st.integers(0, 2**31 - 1),
        st.builds(
            RateLimits,
            st.lists(st.builds(RateLimit, st.integers(0, 1439), st.integers(0, 1439), SIZE), max_size=2).map(
                tuple
            ),
            st.sampled_from(["", "Europe/Berlin"]),
        ),
    ),
)
ids = st.lists(TEXT, max_size=2).map(tuple)
pruned = st.builds(Pruned, SIZE, SIZE, SIZE, SIZE, SIZE, ids, ids, ids)
copied = st.builds(
    Copied, SIZE, SIZE, SIZE, SIZE, SIZE, st.lists(st.builds(LeftPoint, TEXT, TEXT), max_size=2).map(tuple)
)
results = st.builds(
    Result,
    st.none() | points,
    TEXT,
    st.lists(st.builds(Damage, TEXT, TEXT, st.lists(TEXT).map(tuple)), max_size=2).map(tuple),
    SIZE,
    SIZE,
    st.lists(remarks, max_size=2).map(tuple),
    SIZE,
    st.floats(0, 1e9),
    st.none() | pruned,
    st.none() | copied,
    st.none() | st.builds(Healed, SIZE, SIZE, SIZE, SIZE),
)


@given(specs)
def test_specs(given: Spec) -> None:
    assert given == spec.spec_from_proto(spec.spec_to_proto(given))
    message, name = fact_to_proto(TransferRequested("t", given), "home")
    assert isinstance(message, work_pb2.TransferRequested)
    assert ("transfers/t", given) == (name, spec.spec_from_proto(message.spec))


@given(points)
def test_points(given: Point) -> None:
    assert given == point.point_from_proto(point.point_to_proto(given))


@given(results)
def test_results(given: Result) -> None:
    assert given == transfer.result_from_proto(transfer.result_to_proto(given))


@given(st.builds(Progress, SIZE, SIZE, SIZE, SIZE, TEXT))
def test_progress(given: Progress) -> None:
    assert given == transfer.progress_from_proto(transfer.progress_to_proto(given))


@given(st.builds(Failure, TEXT, TEXT, TEXT, TEXT))
def test_failures(given: Failure) -> None:
    assert given == capture.failure_from_proto(capture.failure_to_proto(given))


@pytest.mark.parametrize("number", [0, 99])
def test_a_word_of_a_newer_release_is_the_least_that_can_be_meant(number: int) -> None:
    method = capture.method_from_proto(number)  # type: ignore[arg-type]
    level = capture.level_from_proto(number)  # type: ignore[arg-type]
    consistency = capture.consistency_from_proto(number)  # type: ignore[arg-type]
    assert (Method.NORMAL, Level.FULL, Consistency.UNKNOWN) == (method, level, consistency)


def test_every_reason_of_the_contract_has_a_word() -> None:
    known = {capture.reason_to_proto(reason) for reason in FullReason}
    assert set(capture_pb2.FullReason.values()) == known


def test_a_kind_of_transfer_that_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidInput, match="does not know"):
        spec.spec_from_proto(transfer_pb2.TransferSpec())


@pytest.mark.parametrize("name", ["", "vms/x", "pools//vms/x", "pools/x/vms/", "pools/x/vms/y/z"])
def test_what_does_not_name_a_vm_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="does not name a VM"):
        vm_ids(name)


@pytest.mark.parametrize("text", ["", "../../etc", "A0000000-0000-4000-8000-000000000000", "x" * 5000])
def test_what_is_no_uuid_is_no_transfer(text: str) -> None:
    with pytest.raises(InvalidInput, match="not the id of a transfer") as refused:
        checked_transfer_id(text)
    assert len(refused.value.message) < 120


@pytest.mark.parametrize(
    ("number", "compression"),
    [
        (0, None),
        (capture_pb2.COMPRESSION_FAST, Compression.FAST),
        (capture_pb2.COMPRESSION_NORMAL, Compression.NORMAL),
        (capture_pb2.COMPRESSION_HIGH, Compression.HIGH),
        (99, Compression.UNKNOWN),
    ],
)
def test_a_policys_compression_is_understood(number: int, compression: Compression | None) -> None:
    asked = transfer_pb2.TransferSpec()
    asked.backup.vm, asked.backup.repository = "pools/p/vms/v", "repositories/r"
    asked.backup.options.ParseFromString(b"\x68" + bytes([number]))  # field 13
    read = spec.spec_from_proto(asked)
    assert isinstance(read, Backup)
    assert read.compression is compression
    assert spec.spec_from_proto(spec.spec_to_proto(read)) == read
