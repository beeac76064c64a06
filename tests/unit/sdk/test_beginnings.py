"""The beginning of a UUID names what it is the beginning of."""

from collections.abc import Iterator

import pytest
from xenkeep.catalog.v1 import catalog_pb2
from xenkeep.cli.beginnings import beginning_with
from xenkeep.cli.own_snapshots import snapshot_id
from xenkeep.common.v1 import point_pb2
from xenkeep.errors import Error

UUIDS = ("1a2b", "1a3c", "2d4e")


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [("1a", ["1a2b", "1a3c"]), ("2d4e", ["2d4e"]), ("d4", []), ("2d4e5", []), ("", [])],
)
def test_what_begins_so_is_meant_and_nothing_begins_with_nothing(wanted: str, meant: list[str]) -> None:
    assert meant == list(beginning_with(wanted, UUIDS, str))


def test_no_more_is_listed_than_is_asked_for() -> None:
    def listed() -> Iterator[str]:
        yield from UUIDS[:2]
        raise AssertionError("a page nobody wants")

    alike = beginning_with("1a", listed(), str)
    assert ["1a2b", "1a3c"] == [next(alike), next(alike)]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [("1a", "SNAPSHOT_AMBIGUOUS"), ("", "SNAPSHOT_NOT_IN_POINT"), ("x", "SNAPSHOT_NOT_IN_POINT")],
)
def test_a_snapshot_is_only_chosen_when_one_is_meant(wanted: str, reason: str) -> None:
    found = catalog_pb2.RestorePoint(name="vms/v/points/p")
    found.point.vm_snapshots.extend(
        point_pb2.VmSnapshot(snapshot_id=uuid, display_name=f"before {uuid}", saved=uuid != "2d4e")
        for uuid in UUIDS
    )
    assert "1a2b" == snapshot_id(found, "1a2") == snapshot_id(found, "before 1a2b")
    with pytest.raises(Error) as refused:
        snapshot_id(found, wanted)
    assert reason == refused.value.reason
