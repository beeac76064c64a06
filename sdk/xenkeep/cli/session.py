"""The client of the running command."""

from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

import typer

from xenkeep.cli.asking import ask_secret
from xenkeep.cli.secret_command import printed_secret
from xenkeep.client import Client
from xenkeep.errors import Error
from xenkeep.home import Home

SecretFile = Annotated[
    Path | None,
    typer.Option(help="File with the secret; asked for without."),
]


_chosen_home: ContextVar[Path | None] = ContextVar("chosen_home", default=None)


def choose_home(path: Path | None) -> None:
    """Use this home folder in the running command."""
    _chosen_home.set(path)


def home_path() -> Path:
    """The home folder of ``--home``, ``XENKEEP_HOME`` or the user."""
    return _chosen_home.get() or Home.default_path()


def client() -> Client:
    """A client for the home folder in force."""
    return Client(Home.open(home_path()))


def secret(
    file: Path | None, option: str, prompt: str, *, confirm: bool = False, command: str | None = None
) -> str:
    """A secret from a file (its last line break removed), printed by a command, or typed unseen.

    Never an argument. ``option`` is the one that names the file: whoever cannot type is told it.
    """
    if command is not None:
        if file is not None:
            raise Error(
                "InvalidInput",
                "OPTIONS_INVALID",
                "The secret is in a file or printed by a command, not both.",
                f"Leave {option} out, or the command.",
            )
        return printed_secret(command)
    if file is None:
        return ask_secret(prompt, option, confirm=confirm)
    try:
        text = file.read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise _unreadable(file, error.strerror or "it cannot be read") from None
    except UnicodeDecodeError:
        raise _unreadable(file, "it is not text in UTF-8") from None
    if not text:
        raise Error("InvalidInput", "SECRET_EMPTY", f"{file} is empty.", "Write the secret into it.")
    return text


def _unreadable(file: Path, why: str) -> Error:
    return Error(
        "InvalidInput",
        "SECRET_UNREADABLE",
        f"The secret cannot be read from {file}: {why}.",
        "Name a file that holds the secret and nothing else.",
    )
