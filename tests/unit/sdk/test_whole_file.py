"""Files of the CLI are there whole or not at all."""

from pathlib import Path

import pytest
from xenkeep.cli.whole_file import whole_file
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
