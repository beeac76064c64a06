"""Folders of processes that were killed are removed by the next one, and nothing else is."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from xenkeep.working_folder import WorkingFolder

PREFIX = "xenkeep-test-"
OTHER = """
import sys
from pathlib import Path
from xenkeep.working_folder import WorkingFolder
with WorkingFolder("xenkeep-test-", lambda left: None) as folder:
    (folder.path / "deep").mkdir()
    (folder.path / "deep" / "file").write_bytes(b"x" * 9999)
    (folder.path / "link").symlink_to(sys.argv[1])
    print(folder.path, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.fixture
def treasure(tmp_path: Path) -> Path:
    """What links lead to."""
    treasure = tmp_path / "treasure"
    treasure.mkdir(mode=0o700)
    (treasure / "gold").write_bytes(b"gold")
    return treasure


def _removed(place: Path) -> set[str]:
    """By the next run, which leaves nothing itself."""
    removed: list[Path] = []
    before = set(os.listdir(place))
    with WorkingFolder(PREFIX, removed.append) as folder:
        assert 0o700 == folder.path.stat().st_mode & 0o777
    names = {path.name for path in removed}
    assert before - names == set(os.listdir(place))
    return names


@pytest.mark.scenario(1)
def test_a_folder_stays_while_its_process_lives_and_goes_after_it_was_killed(
    place: Path, treasure: Path
) -> None:
    command = [sys.executable, "-c", OTHER, str(treasure)]
    environment = os.environ | {"TMPDIR": str(place)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as other:
        assert other.stdout is not None
        folder = Path(other.stdout.readline().decode().strip())
        assert set() == _removed(place)
        assert 9999 == (folder / "deep" / "file").stat().st_size
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert folder.exists()
    assert {folder.name} == _removed(place)
    assert b"gold" == (treasure / "gold").read_bytes()


def test_what_is_no_folder_of_ours_stays(place: Path, treasure: Path) -> None:
    (place / f"{PREFIX}aaaaaaaa").symlink_to(treasure)
    (place / f"{PREFIX}bbbbbbbb").write_bytes(b"a file")
    (place / f"{PREFIX}cccccccc").mkdir(mode=0o755)
    (place / f"{PREFIX}notes-of-mine").mkdir(mode=0o700)
    (place / "elsewhere").mkdir(mode=0o700)
    assert set() == _removed(place)
    assert b"gold" == (treasure / "gold").read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of somebody else's")
def test_a_folder_of_another_user_stays(place: Path) -> None:
    theirs = place / f"{PREFIX}aaaaaaaa"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, 65534, 65534)
    assert set() == _removed(place)


def test_a_folder_that_was_taken_for_abandoned_before_it_was_locked_is_made_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = tempfile.mkdtemp, list[str]()

    def swept_at_once(**options: str) -> str:
        made.append(real(**options))
        if len(made) == 1:
            assert {Path(made[0]).name} == _removed(place)
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", swept_at_once)
    with WorkingFolder(PREFIX, lambda left: None) as folder:
        assert made[-1] == str(folder.path) and folder.path.is_dir()
    assert [] == os.listdir(place)


def test_a_folder_that_was_removed_while_its_lock_was_waited_for_is_made_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = fcntl.flock, list[str]()

    def flock(folder: int, how: int) -> None:
        if not removed:
            removed.append(os.readlink(f"/proc/self/fd/{folder}"))
            os.rmdir(removed[0])
        real(folder, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with WorkingFolder(PREFIX, lambda left: None) as folder:
        assert removed[0] != str(folder.path) and folder.path.is_dir()
