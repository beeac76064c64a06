"""What arrives of an object is kept for whoever goes on, and never believed unseen."""

import hashlib
import os
from datetime import timedelta
from pathlib import Path

import pytest

from services.chassis.clock import FakeClock
from services.chassis.errors import Aborted, ResourceExhausted, Unavailable
from services.mover.app import arrivals
from services.mover.app.arrivals import Arrivals

MIB = 1 << 20
OF = "ab" * 16
CONTENT = bytes(MIB) + b"x" * MIB
SHA = hashlib.sha256(CONTENT).digest()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def here(tmp_path: Path, clock: FakeClock) -> Arrivals:
    return Arrivals(tmp_path, clock)


def half(arrivals_: Arrivals, sha256: bytes) -> None:
    """Of an object of two MiB one arrived; its stream was cut."""
    some = arrivals_.begin(OF, 2 * MIB, sha256)
    some.take(0, bytes(MIB))
    some.close()


def names(folder: Path) -> set[str]:
    return {file.name[:2] for file in folder.glob("*/*")}


@pytest.mark.parametrize(
    ("age", "kept"),
    [
        (timedelta(days=6, hours=23), True),
        (timedelta(days=7, hours=1), False),
        (timedelta(days=-400), True),  # the clock was ahead when it came
    ],
)
def test_a_sweep_removes_what_is_a_week_old(
    here: Arrivals, clock: FakeClock, tmp_path: Path, age: timedelta, kept: bool
) -> None:
    half(here, b"\xaa" * 32)
    (file,) = tmp_path.glob("*/*")
    moment = (clock.now() - age).timestamp()
    os.utime(file, (moment, moment))
    assert here.sweep() == (not kept)
    assert file.exists() == kept


def test_the_oldest_makes_room_and_never_one_that_is_brought_just_now(
    here: Arrivals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "MOST_HALF", 3)
    brought = here.begin(OF, 2 * MIB, SHA)
    brought.take(0, CONTENT[:MIB])
    for number in (1, 2, 3):
        half(here, bytes([number]) * 32)
    for moment, name in enumerate((SHA.hex(), "02" * 32, "01" * 32, "03" * 32)):
        os.utime(tmp_path / OF / name, (moment, moment))
    half(here, b"\x04" * 32)
    assert {SHA.hex()[:2], "01", "03", "04"} == names(tmp_path)
    brought.take(MIB, CONTENT[MIB:])
    with brought.content() as data:
        assert CONTENT == bytes(data)


def test_what_is_stored_already_is_dropped_but_not_from_under_the_stream_that_brings_it(
    here: Arrivals, tmp_path: Path
) -> None:
    half(here, b"\xaa" * 32)
    here.drop(OF, b"\xaa" * 32)
    assert set() == names(tmp_path)
    brought = here.begin(OF, 2 * MIB, SHA)
    brought.take(0, CONTENT[:MIB])
    here.drop(OF, SHA)
    brought.take(MIB, CONTENT[MIB:])
    with brought.content() as data:
        assert CONTENT == bytes(data)


def test_of_two_streams_of_one_object_the_newer_one_goes_on_and_the_older_writes_nothing(
    here: Arrivals,
) -> None:
    old = here.begin(OF, 2 * MIB, SHA)
    old.take(0, CONTENT[:MIB])
    new = here.begin(OF, 2 * MIB, SHA)
    for refused in (lambda: old.take(MIB, b"other bytes"), old.forget):
        with pytest.raises(Aborted) as replaced:
            refused()
        assert "REPLICA_STREAM_REPLACED" == replaced.value.reason
    assert MIB == new.durable
    new.take(MIB, CONTENT[MIB:])
    with new.content() as data:
        assert CONTENT == bytes(data)


def test_what_an_earlier_process_wrote_counts_when_it_was_made_durable(
    here: Arrivals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half(here, SHA)
    (file,) = tmp_path.glob("*/*")
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    assert MIB == here.begin(OF, 2 * MIB, SHA).durable
    assert {file.stat().st_ino, file.parent.stat().st_ino} == set(synced)


def test_what_could_not_be_synced_is_not_said_to_be_durable(
    here: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = here.begin(OF, 2 * MIB, SHA)
    assert 0 == brought.take(0, CONTENT[:MIB]), "it would be, four MiB together"

    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(ResourceExhausted):
        brought.take(MIB, CONTENT[MIB:])
    assert (0, False) == (brought.durable, brought.complete)


def test_more_than_the_object_has_is_another_object_and_begins_anew(here: Arrivals, tmp_path: Path) -> None:
    half(here, SHA)
    (file,) = tmp_path.glob("*/*")
    file.write_bytes(bytes(3 * MIB))
    assert (0, 0) == (here.begin(OF, 2 * MIB, SHA).durable, file.stat().st_size)


@pytest.mark.parametrize("size", [MIB, 2 * MIB])
def test_what_is_not_what_was_announced_is_forgotten(here: Arrivals, tmp_path: Path, size: int) -> None:
    """In memory as in a file."""
    brought = here.begin(OF, size, b"\xaa" * 32)
    for at in range(0, size, MIB):
        brought.take(at, bytes(MIB))
    with pytest.raises(Unavailable, match="not what was announced"), brought.content():
        raise AssertionError
    brought.close()
    assert set() == names(tmp_path)
    assert 0 == here.begin(OF, size, b"\xaa" * 32).durable
