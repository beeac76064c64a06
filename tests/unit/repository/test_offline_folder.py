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
    XenkeepError,
)
from services.mover.adapters.offline_restore import restore_point
from services.mover.adapters.raw_image import RawImage
from services.mover.adapters.restore_folder import PARTIAL, WORK, RestoreFolder
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


def _restore_and_die_at_the_write_after(
    blocks: int, repository: Repository, path: Path, patched: pytest.MonkeyPatch
) -> list[int]:
    """Offsets that were written before; one worker, so that it is known which."""
    written: list[int] = []
    write = RawImage.write

    def die_later(image: RawImage, offset: int, data: bytes | bytearray | memoryview) -> None:
        if len(written) == blocks:
            raise Killed
        write(image, offset, data)
        written.append(offset)

    patched.setattr(RawImage, "write", die_later)
    with RestoreFolder(path, CLAIM) as folder, pytest.raises(Killed):
        restore_point(repository, repository.get_point("many"), folder, RestoreOptions(1), _quiet)
    return written


def _writes(repository: Repository, path: Path, patched: pytest.MonkeyPatch) -> list[int]:
    """Offsets that a restore of the point ``many`` writes, which succeeds."""
    written: list[int] = []
    write = RawImage.write

    def note(image: RawImage, offset: int, data: bytes | bytearray | memoryview) -> None:
        write(image, offset, data)
        written.append(offset)

    patched.setattr(RawImage, "write", note)
    with RestoreFolder(path, CLAIM) as folder:
        restore_point(repository, repository.get_point("many"), folder, RestoreOptions(1), _quiet)
    return written


MANY = noise(40 * MIB, 7) + bytes(3 * MIB) + noise(MIB + 512, 8)


def test_killed_within_a_disk_the_next_run_goes_on_where_it_was(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(repository, "many", MANY)
    monkeypatch.setattr("services.mover.adapters.offline_restore.NOTED_BYTES", MIB)
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        _restore_and_die_at_the_write_after(32, repository, out, patched)
    with monkeypatch.context() as patched:
        again = _writes(repository, out, patched)
    assert MANY == (out / "disk-0.raw").read_bytes()
    assert 16 * MIB <= min(again) <= 32 * MIB
    assert not (out / ".xenkeep-restore").exists()


@pytest.mark.parametrize("note", ["", "-1", "99999999999", "x", "\0"])
def test_a_note_that_cannot_be_true_costs_a_disk_and_no_byte(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str
) -> None:
    back_up(repository, "many", MANY)
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        _restore_and_die_at_the_write_after(2, repository, out, patched)
    (out / ".xenkeep-restore" / "disk-0.raw.reached").write_text(note)
    with monkeypatch.context() as patched:
        assert 0 == min(_writes(repository, out, patched))
    assert MANY == (out / "disk-0.raw").read_bytes()


def test_a_lying_note_is_found_out_and_not_believed_twice(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a power loss on a disk that does not keep what it said it had."""
    back_up(repository, "many", MANY)
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        _restore_and_die_at_the_write_after(2, repository, out, patched)
    (out / ".xenkeep-restore" / "disk-0.raw.reached").write_text(str(20 * MIB))
    with monkeypatch.context() as patched, pytest.raises(DataLoss) as caught:
        _writes(repository, out, patched)
    assert "WRITTEN_DISK_DIFFERS" == caught.value.reason
    with monkeypatch.context() as patched:
        assert 0 == min(_writes(repository, out, patched))
    assert MANY == (out / "disk-0.raw").read_bytes()


def test_what_an_unfinished_disk_takes_already_is_not_asked_for_again(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(repository, "many", MANY)
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        _restore_and_die_at_the_write_after(32, repository, out, patched)
    room = shutil.disk_usage(tmp_path)._replace(free=12 * MIB)
    monkeypatch.setattr("shutil.disk_usage", lambda _: room)
    with monkeypatch.context() as patched:
        _writes(repository, out, patched)
    assert MANY == (out / "disk-0.raw").read_bytes()


def test_each_hundredth_of_a_disk_is_told_and_that_it_is_proven(
    repository: Repository, tmp_path: Path
) -> None:
    told: list[dict[str, Any]] = []
    with RestoreFolder(tmp_path / "out", CLAIM) as folder:
        restore_point(repository, repository.get_point("p"), folder, RestoreOptions(), told.append)
    for doing in ("writing", "proving"):
        done = [each["done_bytes"] for each in told if each["doing"] == doing]
        assert sorted(done) == done
        assert (0, MIB + 512) == (done[0], done[-1])


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
    with RestoreFolder(tmp_path / "out", CLAIM) as folder:
        with pytest.raises(FailedPrecondition, match="Another restore"):
            RestoreFolder(tmp_path / "out", CLAIM)
        folder.partial("disk-0.raw").touch()
    with pytest.raises(AlreadyExists, match="something else than q"):
        RestoreFolder(tmp_path / "out", CLAIM | {"point": "q"})


def test_links_that_lie_in_the_directory_lead_to_nothing_that_is_written(tmp_path: Path) -> None:
    """Whoever may write where somebody restores, as root perhaps, must not choose what is overwritten."""
    victim, out = tmp_path / "victim", tmp_path / "out"
    victim.write_text("precious")
    with RestoreFolder(out, CLAIM) as folder:
        folder.note_reached("disk-0.raw", 5)
        for note in (out / WORK).glob("disk-0*"):
            note.with_suffix(PARTIAL).symlink_to(victim)
        with pytest.raises(XenkeepError):
            folder.note_reached("disk-0.raw", 7)
        (out / "disk-0.raw.partial").touch()
    shutil.move(out / WORK, tmp_path / "theirs")
    (out / WORK).symlink_to(tmp_path / "theirs")
    with pytest.raises(AlreadyExists):
        RestoreFolder(out, CLAIM)
    assert "precious" == victim.read_text()


def test_no_room_is_told_before_anything_is_written(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=MIB)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with pytest.raises(ResourceExhausted, match="1048576 bytes free"):
        _restore(repository, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_fails_before_it_made_a_file_leaves_a_directory_that_was_there(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out").mkdir()
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with pytest.raises(ResourceExhausted):
        _restore(repository, tmp_path / "out")
    assert [] == list((tmp_path / "out").iterdir())


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InvalidInput, match="is not a directory"):
        RestoreFolder(tmp_path / "out", CLAIM)


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
    assert not (tmp_path / "out").exists()
