"""The directory store when the file system fails, fills, or the process dies."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import (
    DataLoss,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    XenkeepError,
)
from services.mover.repository import DirectoryStore
from services.mover.repository.stores.temporaries import TEMPORARY
from tests.faults.repository.dying import die_at_system_call
from tests.support.forking import fork
from tests.support.injections import Injections


def _failing(real: Callable[..., Any], error: int, times: int) -> Callable[..., Any]:
    left = [times]

    def call(*args: Any, **options: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(error, os.strerror(error))
        return real(*args, **options)

    return call


def test_a_missing_directory_is_not_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="mounted"):
        DirectoryStore(tmp_path / "none")


def test_a_file_is_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for create in (False, True):
        with pytest.raises(FailedPrecondition, match="not a directory"):
            DirectoryStore(tmp_path / "file", create=create)


@pytest.mark.scenario(5, 6)
@pytest.mark.parametrize(
    ("call", "error", "expected"),
    [
        ("write", errno.ENOSPC, ResourceExhausted),
        ("open", errno.ENOSPC, ResourceExhausted),
        ("link", errno.ENOSPC, ResourceExhausted),
        ("mkdir", errno.EDQUOT, ResourceExhausted),
        ("open", errno.EMFILE, ResourceExhausted),
        ("open", errno.EROFS, PermissionDenied),
        ("open", errno.EACCES, PermissionDenied),
        ("link", errno.ENOTSUP, FailedPrecondition),
    ],
)
def test_a_refused_write_leaves_nothing_and_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int, expected: type[XenkeepError]
) -> None:
    store = DirectoryStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, _failing(getattr(os, call), error, 1))
        with pytest.raises(expected) as caught:
            store.put("a/b", [b"content"])
    assert caught.value.hint
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    store.put("a/b", [b"content"])
    assert store.get("a/b") == b"content"


@pytest.mark.scenario(4)
@pytest.mark.parametrize("call", ["fdatasync", "fsync", "link"])
def test_a_failed_sync_writes_again_to_another_file_and_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    told: list[str] = []
    store = DirectoryStore(tmp_path, on_notice=lambda code, message: told.append(code))
    store.put("a/first", [b""])
    opened: list[str] = []
    real_open = os.open

    def noting_open(path: Any, *args: Any, **options: Any) -> int:
        if ".tmp-" in str(path):
            opened.append(str(path))
        return real_open(path, *args, **options)

    monkeypatch.setattr(os, "open", noting_open)
    monkeypatch.setattr(os, call, _failing(getattr(os, call), errno.EIO, 1))
    store.put("a/b", [b"content"])
    assert store.get("a/b") == b"content"
    assert told == ["STORE_REWRITE"]
    assert len(set(opened)) == 2


@pytest.mark.scenario(4)
def test_a_disk_that_never_syncs_is_unavailable_and_nothing_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(tmp_path, on_notice=lambda code, message: None)
    monkeypatch.setattr(os, "fdatasync", _failing(os.fdatasync, errno.EIO, 99))
    with pytest.raises(Unavailable, match="durably"):
        store.put("a/b", [b"content"])
    assert list(store.list("")) == []


@pytest.mark.scenario(6)
def test_a_store_that_was_unmounted_is_unavailable_and_not_empty(tmp_path: Path) -> None:
    place = tmp_path / "mounted"
    store = DirectoryStore(place, create=True)
    store.put("a/b", [b"content"])
    place.rename(tmp_path / "elsewhere")
    place.mkdir()
    for use in (
        lambda: list(store.list("")),
        lambda: store.put("a/c", [b""]),
        lambda: store.put("d/e", [b""]),
    ):
        with pytest.raises(Unavailable, match="unmounted") as refused:
            use()
        assert "STORE_GONE" == refused.value.reason, "nothing is tried again there"
    assert list(place.iterdir()) == []


def test_leftovers_of_the_dead_are_swept_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b", [b"x"])
    (tmp_path / "a" / ".tmp-dead").write_bytes(b"half")
    alive = tmp_path / "a" / ".tmp-alive"
    with alive.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert store.sweep() == 1
        assert alive.exists()
    assert [stored.name for stored in store.list("")] == ["a/b"]


def test_a_temporary_of_somebody_else_is_not_written_to(tmp_path: Path) -> None:
    """Machines made from one snapshot may draw one name."""
    folder = tmp_path / "a"
    folder.mkdir()
    theirs = folder / f"{TEMPORARY}{bytes(8).hex()}"
    theirs.write_bytes(b"theirs")
    drawn = iter([bytes(8), bytes([1]) * 8])
    told: list[str] = []
    store = DirectoryStore(
        tmp_path, entropy=lambda _: next(drawn), on_notice=lambda code, _: told.append(code)
    )
    store.put("a/b", [b"ours"])
    assert (b"theirs", b"ours", ["STORE_REWRITE"]) == (theirs.read_bytes(), store.get("a/b"), told)


def test_a_folder_that_somebody_removed_is_made_again_and_that_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    store = DirectoryStore(tmp_path, on_notice=lambda code, _: told.append(code))
    store.put("a/b/c", [b"content"])
    shutil.rmtree(tmp_path / "a")
    store.put("a/b/d", [b"content"])
    assert (b"content", ["STORE_REWRITE"]) == (store.get("a/b/d"), told)


@pytest.mark.scenario(13)
@pytest.mark.parametrize(("others", "expected"), [(True, DataLoss), (False, Unavailable)])
def test_one_file_that_cannot_be_read_is_damage_and_all_of_them_are_a_disk_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: bool, expected: type[XenkeepError]
) -> None:
    store = DirectoryStore(tmp_path)
    store.put("packs/p", [b"content"])
    if others:
        store.put("xenkeep-repository.json", [b"{}"])
    monkeypatch.setattr(os, "pread", _failing(os.pread, errno.EIO, 1))
    with pytest.raises(expected, match="Input/output error"):
        store.get("packs/p")


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Inodes of the directories that were synced."""
    found: list[int] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        fsync(descriptor)
        found.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", noting)
    return found


@pytest.mark.scenario(2)
def test_the_directories_that_are_made_for_a_store_are_there_after_a_power_cut(
    tmp_path: Path, synced: list[int]
) -> None:
    DirectoryStore(tmp_path / "a" / "b" / "c", create=True)
    assert [path.stat().st_ino for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")] == synced


@pytest.mark.scenario(2)
def test_a_folder_is_settled_with_all_that_it_is_in(tmp_path: Path, synced: list[int]) -> None:
    store = DirectoryStore(tmp_path)
    store.put("a/b/c", [b"content"])
    synced.clear()
    store.settle("a/b/")
    folders = {path.stat().st_ino for path in (tmp_path / "a" / "b", tmp_path / "a", tmp_path)}
    assert folders <= {*synced}
    synced.clear()
    store.settle("a/")
    assert folders <= {*synced}, "what lies below is listed under it too"


def test_nobody_else_on_the_machine_reads_what_is_stored(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        DirectoryStore(tmp_path / "new" / "store", create=True).put("a/b/c", [b"content"])
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "new").rglob("*") if path.is_dir()}
    assert ({0o700}, 0o600) == (modes, (tmp_path / "new/store/a/b/c").stat().st_mode & 0o777)


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOTSUP])
def test_where_there_are_no_locks_leftovers_are_swept_and_a_put_they_were_of_starts_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    told: list[str] = []
    store = DirectoryStore(tmp_path, on_notice=lambda code, _: told.append(code))
    monkeypatch.setattr(fcntl, "flock", _failing(fcntl.flock, error, 99))
    swept: list[int] = []
    link = os.link

    def late(source: Any, target: Any) -> None:
        if not swept:
            swept.append(DirectoryStore(tmp_path).sweep())
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    store.put("points/a", [b"content"])
    assert ([1], ["STORE_REWRITE"]) == (swept, told)
    assert b"content" == store.get("points/a")


def test_a_temporary_that_cannot_be_locked_for_another_reason_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(tmp_path)
    (tmp_path / ".tmp-dead").write_bytes(b"half")
    monkeypatch.setattr(fcntl, "flock", _failing(fcntl.flock, errno.EIO, 1))
    with pytest.raises(Unavailable, match="sweep"):
        store.sweep()
    assert (tmp_path / ".tmp-dead").exists()


def test_a_leftover_is_opened_so_that_a_network_file_system_can_lock_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS makes of flock a lock of bytes, and takes none for writing on what is open for reading."""
    store = DirectoryStore(tmp_path)
    (tmp_path / ".tmp-dead").write_bytes(b"half")
    flock = fcntl.flock

    def nfs(descriptor: int, how: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", nfs)
    assert 1 == store.sweep()


@pytest.mark.scenario(9)
def test_a_link_that_worked_but_reported_failure_is_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DirectoryStore(tmp_path)
    real = os.link

    def link_twice(source: Any, target: Any) -> None:
        real(source, target)
        real(source, target)

    monkeypatch.setattr(os, "link", link_twice)
    store.put("a/b", [b"content"])
    assert store.get("a/b") == b"content"


@pytest.mark.scenario(1)
def test_a_kill_at_any_system_call_leaves_the_object_whole_or_absent(
    tmp_path: Path, injections: Injections
) -> None:
    content = [b"x" * 100_000, b"y" * 100_000]
    survived = False
    step = 0
    while not survived:
        folder = tmp_path / str(step)
        folder.mkdir()
        pid = fork()
        if pid == 0:
            die_at_system_call(step)
            DirectoryStore(folder).put("a/b", content)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        survived = os.WIFEXITED(status)
        store = DirectoryStore(folder)
        present = [stored.name for stored in store.list("")] == ["a/b"]
        assert present or not survived
        if present:
            assert store.get("a/b") == b"".join(content)
        store.sweep()
        assert [p.name for p in folder.rglob("*") if p.is_file()] == (["b"] if present else [])
        if not present:
            store.put("a/b", content)
        injections.held()
        step += 1
    assert step > 8


def test_a_temporary_that_is_swept_before_it_is_locked_is_made_again_and_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    store = DirectoryStore(tmp_path, on_notice=lambda code, _: told.append(code))
    lock, swept = fcntl.flock, list[int]()

    def late(descriptor: int, how: int) -> None:
        if not swept:
            swept.append(0)
            swept[0] = DirectoryStore(tmp_path).sweep()
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    store.put("points/a", [b"content"])
    assert [1] == swept and [] == told
    assert b"content" == store.get("points/a")
    assert ["a"] == [path.name for path in (tmp_path / "points").iterdir()]
