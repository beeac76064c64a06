"""The client of the running command."""

from pathlib import Path
from typing import Annotated

import click
import typer

from xenkeep.client import Client
from xenkeep.errors import Error
from xenkeep.home import Home

SecretFile = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, readable=True, help="File with the secret; asked for without."),
]


def home_path() -> Path:
    """The home folder of ``--home``, ``XENKEEP_HOME`` or the user."""
    chosen = click.get_current_context().find_root().obj
    return Path(chosen) if chosen else Home.default_path()


def client() -> Client:
    """A client for the home folder in force."""
    return Client(Home.open(home_path()))


def secret(file: Path | None, prompt: str, *, confirm: bool = False) -> str:
    """A secret from a file (its last line break removed) or typed unseen; never an argument."""
    if file is None:
        return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True))
    text = file.read_text(encoding="utf-8").removesuffix("\n")
    if not text:
        raise Error("InvalidInput", "SECRET_EMPTY", f"{file} is empty.", "Write the secret into it.")
    return text
