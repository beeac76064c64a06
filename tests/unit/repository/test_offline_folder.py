"""Restoring into a directory: killed at any step it goes on, and what differs is never called restored."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import (
    AlreadyExists,
    DataLoss,
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
)
from services.mover.adapters.offline_restore import restore_point
from services.mover.adapters.raw_image import RawImage
from services.mover.adapters.restore_folder import RestoreFolder
from services.mover.repository import MemoryStore, Repository, RestoreOptions
from tests.unit.repository.world import MIB, OPTIONS, add_disk, back_up, description, new_repository, noise

CLAIM = {"repository": "r", "point": "p"}
CONTENT = noise(MIB) + bytes(2 * MIB) + noise(512)


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    with new_repository(MemoryStore(), tmp_path / "cache") as made:
        back_up(made, "p", CONTENT)
        yield made


def _quiet(told: dict[str, Any]) -> None:
    """Nobody listens."""


def _restore(repository: Repository, path: Path) -> None:
    with RestoreFolder(path, CLAIM) as folder:
        restore_point(repository, repository.get_point("p"), folder, RestoreOptions(), _quiet)


@pytest.mark.parametrize("step", ["write", "sync", "require_shape"])
def test_killed_while_a_disk_is_made_the_next_run_makes_it(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(RawImage, step, die)
        with pytest.raises(Killed):
            _restore(repository, tmp_path / "out")
    assert not (tmp_path / "out" / "disk-0.raw").exists()
    _restore(repository, tmp_path / "out")
    assert CONTENT == (tmp_path / "out" / "disk-0.raw").read_bytes()


def test_a_finished_disk_of_a_killed_run_is_proven_and_kept(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(RestoreFolder, "finish", die)
        with pytest.raises(Killed):
            _restore(repository, tmp_path / "out")
    image = tmp_path / "out" / "disk-0.raw"
    inode = image.stat().st_ino
    _restore(repository, tmp_path / "out")
    assert inode == image.stat().st_ino


@pytest.mark.parametrize("offset", [100, MIB + 100, 3 * MIB + 100], ids=["chunk", "hole", "tail"])
def test_a_byte_that_reads_back_differently_is_told(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    sync = RawImage.sync

    def spoil(image: RawImage) -> None:
        image.write(offset, bytes([CONTENT[offset] ^ 1]))
        sync(image)

    monkeypatch.setattr(RawImage, "sync", spoil)
    with pytest.raises(DataLoss) as caught:
        _restore(repository, tmp_path / "out")
    assert "WRITTEN_DISK_DIFFERS" == caught.value.reason
    assert not (tmp_path / "out" / "restored.json").exists()


def test_a_directory_serves_one_restore_of_one_point(tmp_path: Path) -> None:
    with RestoreFolder(tmp_path / "out", CLAIM), pytest.raises(FailedPrecondition, match="Another restore"):
        RestoreFolder(tmp_path / "out", CLAIM)
    with pytest.raises(AlreadyExists, match="something else than q"):
        RestoreFolder(tmp_path / "out", CLAIM | {"point": "q"})


def test_no_room_is_told_before_anything_is_written(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=MIB)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with pytest.raises(ResourceExhausted, match="1048576 bytes free"):
        _restore(repository, tmp_path / "out")
    assert {".xenkeep-restore"} == {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("name", ["disk-0.raw", "restored.json", "disk-0.raw.partial"])
def test_a_stream_cannot_take_the_place_of_another_file(
    repository: Repository, tmp_path: Path, name: str
) -> None:
    with repository.begin_backup("hostile", None, transfer_id=None, options=OPTIONS) as session:
        add_disk(session, CONTENT)
        session.stream(name, [b"another disk"], "file")
        session.commit(description())
    with RestoreFolder(tmp_path / "out", CLAIM) as folder, pytest.raises(InvalidInput) as caught:
        restore_point(repository, repository.get_point("hostile"), folder, RestoreOptions(), _quiet)
    assert "FILE_NAME_INVALID" == caught.value.reason
    assert {".xenkeep-restore"} == {path.name for path in (tmp_path / "out").iterdir()}
