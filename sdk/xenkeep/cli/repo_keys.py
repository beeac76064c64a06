"""``xenkeep repo key``."""

from collections.abc import Iterable
from typing import Annotated

import typer

from xenkeep.cli.following import follow_transfer
from xenkeep.cli.output import Json, as_data, console, details, show, show_all, show_data, size, word
from xenkeep.cli.secret_command import KeptSecretCommand
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
    passphrase_command: KeptSecretCommand = None,
    json_: Json = False,
) -> None:
    """Let another passphrase, or a new recovery key, open a repository. Proven by opening it."""
    if recovery and (use or passphrase_file is not None or passphrase_command is not None):
        raise Error(
            "InvalidInput",
            "OPTIONS_INVALID",
            "A recovery key is made for you, and movers do not use it.",
            "Leave --use, --passphrase-file and --passphrase-command out.",
        )
    passphrase = (
        ""
        if recovery
        else secret(
            passphrase_file, "--passphrase-file", "New passphrase", confirm=True, command=passphrase_command
        )
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


@app.command()
def rotate(repository: str, json_: Json = False) -> None:
    """Seal packs of later backups with a new data key. Older packs stay readable.

    This is for a data key that may be known. It changes no passphrase, and `retire` stores older packs again.
    """
    with client() as xenkeep:
        started = xenkeep.repositories.rotate_key(repository)
    show(started, lambda: details([("Epoch", str(started.epoch))]), json_=json_)


@app.command()
def epochs(repository: str, json_: Json = False) -> None:
    """List the epochs of data keys, and how much is sealed with each."""
    with client() as xenkeep:
        show_all(
            xenkeep.repositories.epochs(repository),
            ("EPOCH", "NEW PACKS", "PACKS", "BYTES"),
            lambda each: (
                str(each.epoch),
                "yes" if each.current else "",
                str(each.pack_count),
                size(each.pack_bytes),
            ),
            json_=json_,
        )


@app.command()
def retire(
    repository: str,
    through: Annotated[
        int, typer.Option(min=0, help="The newest epoch to retire; all but the current one without.")
    ] = 0,
    json_: Json = False,
) -> None:
    """Store again, under the current data key, what older ones seal, and remove those.

    A prune: backups, restores and other prunes may run meanwhile. Exit code 6 when packs are left: because of
    backups under way, locks or room. Copies that somebody took of the old packs are not changed by it.
    """
    before = -1
    with client() as xenkeep:
        while True:
            started = xenkeep.repositories.retire_epochs(repository, through)
            transfer = follow_transfer(xenkeep, started.name, json_=json_)
            pruned = transfer.result.prune
            if pruned.old_epoch_pack_count in (0, before):  # done, or no further than the time before
                break
            before = pruned.old_epoch_pack_count
    lines = [
        ("Retired", ", ".join(f"epoch {epoch}" for epoch in pruned.retired_epochs)),
        ("Left", f"{pruned.old_epoch_pack_count} packs" if pruned.old_epoch_pack_count else ""),
        *[("Notice", notice.message) for notice in transfer.result.notices],
    ]
    show(transfer, lambda: details(lines), json_=json_)
    if not pruned.retired_epochs:
        raise Error(
            "FailedPrecondition",
            "EPOCHS_LEFT",
            f"Old data keys of {repository} are still in use, by {pruned.old_epoch_pack_count} packs.",
            "When the backups that are under way have ended, and locks are over, retire them again.",
        )


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
