"""What commands say where nobody can be asked, as under cron."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = str(Path(sys.executable).with_name("xenkeep"))


def without_terminal(home: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and what is said, of a command that has neither a terminal nor input."""
    ran = subprocess.run(
        [PROGRAM, *arguments],
        env=os.environ | {"XENKEEP_HOME": str(home), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("repo", "create", "main"), "--passphrase-file"),
        (("repo", "import", "main"), "--secret-file"),
        (("repo", "key", "add", "main"), "--passphrase-file"),
        (("restore", "a-point", "--repository"), "--secret-file"),
    ],
)
def test_a_secret_that_cannot_be_typed_unseen_is_asked_for_by_its_option(
    tmp_path: Path, arguments: tuple[str, ...], option: str
) -> None:
    more = ["--to-directory", str(tmp_path / "files")] if arguments[0] == "restore" else []
    place = str(tmp_path / "repository")

    code, said = without_terminal(tmp_path, *arguments, *([] if "key" in arguments else [place]), *more)

    assert 2 == code, said
    assert "\nError: There is no terminal to ask on" in said
    assert f"Name a file that holds it with {option}." in said
    assert "GetPassWarning" not in said
    assert not (tmp_path / "repository").exists()
