"""``xenkeep transfer``."""

import json
from itertools import islice

import typer

from xenkeep.cli.beginnings import beginning_with
from xenkeep.cli.following import follow_transfer, raise_unless_done
from xenkeep.cli.output import (
    Json,
    as_data,
    console,
    details,
    last_part,
    moment,
    show,
    show_all,
    size,
    word,
)
from xenkeep.cli.session import client
from xenkeep.client import Client
from xenkeep.errors import Error
from xenkeep.mover.v1 import transfer_pb2

app = typer.Typer(
    help="Transfers: what movers do, be it for a run or a `repo` command.", no_args_is_help=True
)
_UUID_LENGTH = 36
_KINDS = {"heal": "repair from a copy", "pool_backup": "backup of a pool's metadata"}


@app.command("list")
def list_(json_: Json = False) -> None:
    """List the transfers of this site, newest first."""
    with client() as xenkeep:
        show_all(
            xenkeep.transfers.list(),
            ("TRANSFER", "WHAT", "STATE", "DONE", "STARTED", "ENDED"),
            lambda each: (
                last_part(each.name),
                _what(each),
                word(transfer_pb2.Transfer.State, each.state),
                _done(each.progress),
                moment(each.start_time),
                moment(each.end_time),
            ),
            json_=json_,
        )


@app.command("show")
def show_one(transfer: str, json_: Json = False) -> None:
    """Show a transfer; with --json all that came out of it."""
    with client() as xenkeep:
        found = _found(xenkeep, transfer)
    show(found, lambda: details(_lines(found)), json_=json_)


@app.command()
def watch(transfer: str, json_: Json = False) -> None:
    """Follow a transfer until it ended; with --json one line per change."""
    with client() as xenkeep:
        found = _found(xenkeep, transfer)
        if json_:
            for found in xenkeep.transfers.watch(found.name):  # noqa: B020 - the last one is wanted
                typer.echo(json.dumps(as_data(found)))
        else:
            found = follow_transfer(xenkeep, found.name, json_=False)
            console.print(details(_lines(found)))
    raise_unless_done(found)


@app.command()
def cancel(transfer: str, json_: Json = False) -> None:
    """Ask a transfer to stop. Started again, its work goes on where that is possible."""
    with client() as xenkeep:
        found = xenkeep.transfers.cancel(_found(xenkeep, transfer).name)
    show(found, lambda: details(_lines(found)), json_=json_)


def _found(xenkeep: Client, wanted: str) -> transfer_pb2.Transfer:
    """By resource name, UUID or the beginning of its UUID."""
    wanted = last_part(wanted)
    if len(wanted) >= _UUID_LENGTH:
        return xenkeep.transfers.get(f"transfers/{wanted}")
    alike = beginning_with(wanted, xenkeep.transfers.list(), lambda each: last_part(each.name))
    found = list(islice(alike, 2))
    if len(found) == 1:
        return found[0]
    some = "Several transfers have a UUID that begins" if found else "No transfer has a UUID that begins"
    kind, reason = ("InvalidInput", "NAME_AMBIGUOUS") if found else ("NotFound", "TRANSFER_NOT_FOUND")
    raise Error(kind, reason, f"{some} with {wanted!r}.", "See `xenkeep transfer list`.")


def _what(transfer: transfer_pb2.Transfer) -> str:
    kind = transfer.spec.WhichOneof("kind") or ""
    return _KINDS.get(kind, kind)


def _done(progress: transfer_pb2.Progress) -> str:
    if not progress.total_bytes:
        return size(progress.done_bytes) if progress.done_bytes else ""
    return f"{size(progress.done_bytes)} of {size(progress.total_bytes)}"


def _lines(transfer: transfer_pb2.Transfer) -> list[tuple[str, str]]:
    return [
        ("Transfer", last_part(transfer.name)),
        ("What", _what(transfer)),
        ("State", word(transfer_pb2.Transfer.State, transfer.state)),
        ("Doing", "" if transfer.HasField("end_time") else transfer.progress.activity),
        ("Done", _done(transfer.progress)),
        ("Attempt", str(transfer.attempt) if transfer.attempt > 1 else ""),
        ("Started", moment(transfer.start_time)),
        ("Ended", moment(transfer.end_time)),
        ("Why", f"{transfer.failure.message} {transfer.failure.hint}".strip()),
        *[("Notice", notice.message) for notice in transfer.result.notices],
    ]
