"""A disk is chosen by what a person knows of it, and never guessed."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.chassis.errors import InvalidInput, NotFound
from services.mover.domain.capture import Consistency, DiskKind, FullReason, Level, Method
from services.mover.domain.disk_choice import chosen_disks
from services.mover.domain.point import Asset, MissingDisk, Point, PointDisk

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def _disk(disk_id: str, device: str, name: str, kind: DiskKind = DiskKind.DATA) -> PointDisk:
    return PointDisk(disk_id, device, name, 1, Level.FULL, FullReason.NONE, 1, 1, "", "", kind)


SYSTEM = _disk("11aa22bb-0000", "0", "system")
DATA = _disk("0fff0fff-1111", "1", "data")
FAR = _disk("33cc33cc-2222", "26", "far")
SAVED = _disk("44dd44dd-3333", "snapshot-x-0", "system", DiskKind.OWN_SNAPSHOT)
TWIN = _disk("0fff0fff-4444", "3", "data")


def _point(*disks: PointDisk, missing: tuple[MissingDisk, ...] = ()) -> Point:
    return Point(
        "p",
        "r",
        Asset("vm", "web", "pool", "Pool"),
        NOW,
        NOW,
        Method.NORMAL,
        Level.FULL,
        Consistency.CRASH,
        "",
        disks,
        0,
        0,
        (),
        "",
        "",
        missing_disks=missing,
    )


@pytest.mark.parametrize(
    ("wanted", "disk"),
    [
        ("0", SYSTEM),
        ("xvda", SYSTEM),
        ("xvdb", DATA),
        ("data", DATA),
        ("0fff0fff", DATA),
        ("0fff0fff-1111", DATA),
        ("26", FAR),
        ("xvdaa", FAR),
        ("snapshot-x-0", SAVED),
    ],
)
def test_by_device_name_or_uuid(wanted: str, disk: PointDisk) -> None:
    assert (disk,) == chosen_disks(_point(SYSTEM, DATA, FAR, SAVED), [wanted])


def test_each_once_and_in_the_order_of_the_point() -> None:
    assert (SYSTEM, DATA) == chosen_disks(_point(SYSTEM, DATA, FAR), ["data", "xvda", "1"])


@pytest.mark.parametrize("wanted", ["", "2", "xvdc", "0f", "0fff0ff", "DATA", "xvd", "²", "sys"])
def test_what_no_disk_is_called_is_refused_with_what_there_is(wanted: str) -> None:
    with pytest.raises(NotFound) as caught:
        chosen_disks(_point(SYSTEM, DATA), ["0", wanted])
    assert "DISK_NOT_IN_POINT" == caught.value.reason
    assert f"no disk {wanted!r}; it has 0 (system, 11aa22bb-0000), 1 (data," in caught.value.message


@pytest.mark.parametrize("wanted", ["data", "0fff0fff"])
def test_what_several_are_called_is_refused_with_all_of_them(wanted: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        chosen_disks(_point(SYSTEM, DATA, TWIN), [wanted])
    assert "DISK_AMBIGUOUS" == caught.value.reason
    assert "1 (data, 0fff0fff-1111), 3 (data, 0fff0fff-4444)" in caught.value.message
    assert "system" not in caught.value.message


def test_a_name_that_is_another_disks_device_is_ambiguous_and_the_way_out_is_one() -> None:
    named = _disk("9", "2", "1")
    with pytest.raises(InvalidInput, match="'1' names 2 disks") as caught:
        chosen_disks(_point(SYSTEM, DATA, named), ["1"])
    assert "Choose by the whole UUID." == caught.value.hint
    assert (named,) == chosen_disks(_point(SYSTEM, DATA, named), ["9"])


def test_a_disk_that_is_called_like_anothers_uuid_does_not_keep_that_one_from_being_chosen() -> None:
    impostor = _disk("9", "2", DATA.disk_id)
    assert (DATA,) == chosen_disks(_point(SYSTEM, DATA, impostor), [DATA.disk_id])


def test_a_disk_that_the_backup_could_not_read_is_told_as_that() -> None:
    lost = MissingDisk("55ee", "1", "data", "Its storage did not answer.")
    with pytest.raises(NotFound, match=r"Disk 1 \(data, 55ee\) is not in .* Its storage did not answer"):
        chosen_disks(_point(SYSTEM, missing=(lost,)), ["1"])


def test_of_hundreds_of_disks_an_error_names_some_and_counts_the_others() -> None:
    many = tuple(replace(SYSTEM, disk_id=f"id-{n}", device=str(n), display_name=f"d{n}") for n in range(200))
    with pytest.raises(NotFound, match=r"d15, id-15\) and 184 more") as caught:
        chosen_disks(_point(*many), ["none"])
    assert "d16" not in caught.value.message


def test_a_point_without_disks_says_so() -> None:
    with pytest.raises(NotFound, match="it has none"):
        chosen_disks(_point(), ["0"])
