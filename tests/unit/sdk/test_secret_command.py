"""A secret that a command prints: one line of it, or an error that tells no secret."""

import sys
from pathlib import Path

import pytest
from xenkeep.cli.secret_command import printed_secret
from xenkeep.cli.session import secret
from xenkeep.errors import Error

SECRET = "a passphrase that a KMS keeps"


def _command(code: str) -> str:
    return f"{sys.executable} -c '{code}'"


def test_what_the_command_prints_is_the_secret() -> None:
    assert SECRET == printed_secret(_command(f'print("{SECRET}")'))
    assert f" {SECRET} ü " == printed_secret(_command(f'print(" {SECRET} \\u00fc ", end="")'))
    assert SECRET == secret(None, "--secret-file", "Passphrase", command=_command(f'print("{SECRET}")'))


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    assert f"$HOME; touch {tmp_path}/x" == printed_secret(f"echo '$HOME;' touch {tmp_path}/x")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "reason", "told"),
    [
        (_command(f'print("{SECRET}"); raise SystemExit(3)'), "SECRET_COMMAND_FAILED", "ended with 3"),
        (_command(f'print("{SECRET}"); print("more")'), "SECRET_COMMAND_FAILED", "more than one line"),
        (_command(f'print("{SECRET}\\rmore")'), "SECRET_COMMAND_FAILED", "more than one line"),
        (_command("pass"), "SECRET_COMMAND_FAILED", "printed nothing"),
        (_command("print()"), "SECRET_COMMAND_FAILED", "printed nothing"),
        (
            _command('import sys; sys.stdout.buffer.write(b"\\xff")'),
            "SECRET_COMMAND_FAILED",
            "not text in UTF-8",
        ),
        (f"/no/such/program --token {SECRET}", "SECRET_COMMAND_FAILED", "No such file"),
        (f"'{SECRET}", "SECRET_COMMAND_INVALID", "a quote is open"),
        ("", "SECRET_COMMAND_INVALID", "nothing is there"),
    ],
)
def test_a_command_that_prints_no_secret_is_an_error_that_tells_none(
    command: str, reason: str, told: str
) -> None:
    with pytest.raises(Error) as failed:
        printed_secret(command)
    assert reason == failed.value.reason
    assert told in failed.value.message
    assert SECRET not in str(failed.value)
    assert failed.value.hint


def test_a_secret_comes_from_one_place() -> None:
    with pytest.raises(Error) as failed:
        secret(Path("x"), "--secret-file", "Passphrase", command="true")
    assert "OPTIONS_INVALID" == failed.value.reason
