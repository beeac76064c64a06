"""``xenkeep repo key``."""

from collections.abc import Iterable
from typing import Annotated

import typer

from xenkeep.cli.output import Json, as_data, console, show_all, show_data, word
from xenkeep.cli.session import SecretFile, client, secret
from xenkeep.errors import Error
from xenkeep.mover.v1 import repository_pb2

app = typer.Typer(help="Keys: passphrases and recovery keys that open a repository.", no_args_is_help=True)


@app.command("list")
def list_(repository: str, json_: Json = False) -> None:
    """List the keys of a repository, never the secrets themselves."""
    with client() as xenkeep:
        _show(xenkeep.repositories.keys(repository), json_=json_)


@app.command()
def add(
    repository: str,
    recovery: Annotated[bool, typer.Option("--recovery", help="Make a recovery key, printed once.")] = False,
    use: Annotated[bool, typer.Option("--use", help="Movers open the repository with this one.")] = False,
    label: Annotated[str, typer.Option(help="What to note about it; not secret.")] = "",
    passphrase_file: SecretFile = None,
    json_: Json = False,
) -> None:
    """Let another passphrase, or a new recovery key, open a repository. Proven by opening it."""
    if recovery and (use or passphrase_file is not None):
        raise Error(
            "InvalidInput",
            "OPTIONS_INVALID",
            "A recovery key is made for you, and movers do not use it.",
            "Leave --use and --passphrase-file out.",
        )
    passphrase = (
        "" if recovery else secret(passphrase_file, "--passphrase-file", "New passphrase", confirm=True)
    )
    with client() as xenkeep:
        added = (
            xenkeep.repositories.add_recovery_key(repository, label)
            if recovery
            else xenkeep.repositories.add_passphrase(repository, passphrase, label, use=use)
        )
    if json_:
        show_data(as_data(added))
        return
    console.print(f"Added {added.key.key_id}.")
    if added.recovery_key:
        console.print("\nRecovery key (shown once; print it and keep it apart from this machine):")
        console.print(f"  {added.recovery_key}", style="bold", soft_wrap=True)


@app.command()
def remove(
    repository: str,
    key: Annotated[str, typer.Argument(help="Id of the key, as `list` shows it.")],
    json_: Json = False,
) -> None:
    """Make a key useless. Two must be left, and the one the movers use.

    Whoever opened the repository with it and kept a copy of what it unlocked can still read.
    """
    with client() as xenkeep:
        left = xenkeep.repositories.remove_key(repository, key)
    _show(left, json_=json_)


def _show(keys: Iterable[repository_pb2.RepositoryKey], *, json_: bool) -> None:
    show_all(
        keys,
        ("KEY", "KIND", "USED BY MOVERS", "LABEL"),
        lambda key: (
            key.key_id,
            word(repository_pb2.RepositoryKey.Kind, key.kind),
            "yes" if key.in_use else "",
            key.label,
        ),
        json_=json_,
    )
