"""Files of the CLI are there whole or not at all."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from xenkeep.cli.whole_file import remove_abandoned, whole_file
from xenkeep.errors import Error


def test_a_file_is_there_when_all_of_it_is_and_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"older")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"older"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [path] == list(tmp_path.iterdir())


def test_what_fails_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"older"
    assert [path] == list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(Error) as refused, whole_file(tmp_path / "none" / "out"):
        raise AssertionError("there is no file to write")
    assert "FILE_NOT_WRITTEN" == refused.value.reason
    assert str(tmp_path / "none" / "out") in refused.value.message


_WRITER = """
import sys
from pathlib import Path
from xenkeep.cli.whole_file import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


@contextmanager
def writer(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has written half of a file."""
    command = [sys.executable, "-c", _WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        try:
            yield process
        finally:
            process.kill()


def partials(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".*.partial"))


def test_what_a_killed_command_left_is_removed_by_the_next_one_and_what_a_living_one_has_is_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"older")
    with writer(path):
        pass  # SIGKILL
    (left,) = partials(tmp_path)
    assert path.read_bytes() == b"older" and (tmp_path / left).read_bytes() == b"half"
    with writer(path) as living:
        assert 1 == len(partials(tmp_path)) and left not in partials(tmp_path)
        with whole_file(path) as file:
            file.write(b"new")
        assert path.read_bytes() == b"new"
        assert 1 == len(partials(tmp_path)), "it is still written"
        assert b"" == living.communicate()[0]
    assert 0 == living.returncode
    assert path.read_bytes() == b"half"
    assert [path] == list(tmp_path.iterdir())


def test_what_is_not_as_we_leave_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".out.notes.partial").write_bytes(b"somebody's")
    (tmp_path / ".out.abcd1234.partial").write_bytes(b"readable by others")
    (tmp_path / ".out.abcd1234.partial").chmod(0o644)
    (tmp_path / ".out.abcd0000.partial").symlink_to(tmp_path / ".out.abcd1234.partial")
    os.mkfifo(tmp_path / ".out.abcd1111.partial", 0o600)
    (tmp_path / ".other.abcd1234.partial").touch(0o600)
    everything = set(tmp_path.iterdir())
    with whole_file(tmp_path / "out") as file:
        file.write(b"new")
    assert everything | {tmp_path / "out"} == set(tmp_path.iterdir())
    remove_abandoned(tmp_path)
    assert (everything | {tmp_path / "out"}) - {tmp_path / ".other.abcd1234.partial"} == set(
        tmp_path.iterdir()
    )


def test_the_name_is_made_durable_after_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[Path, bool]] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append((Path(os.readlink(f"/proc/self/fd/{descriptor}")), (tmp_path / "out").exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with whole_file(tmp_path / "out") as file:
        file.write(b"new")
    (content, early), (folder, late) = synced
    assert content.suffix == ".partial" and not early
    assert folder == tmp_path and late


def test_a_file_that_is_taken_for_abandoned_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, late = fcntl.flock, [True]

    def flock(descriptor: int, how: int) -> None:
        if late:
            late.clear()
            remove_abandoned(tmp_path)
            assert [] == list(tmp_path.iterdir())
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with whole_file(tmp_path / "out") as file:
        file.write(b"new")
    assert b"new" == (tmp_path / "out").read_bytes()
    assert [tmp_path / "out"] == list(tmp_path.iterdir())
