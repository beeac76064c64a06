"""``xenkeep repo prune`` and ``xenkeep repo trash``."""

import re
from datetime import timedelta
from typing import Annotated

import typer

from xenkeep.cli.following import follow_transfer
from xenkeep.cli.output import Json, details, moment, show, show_all, size
from xenkeep.cli.session import client
from xenkeep.mover.v1 import transfer_pb2

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise typer.BadParameter("Give a number and a unit, such as 90m, 12h or 7d.")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def prune(
    name: str,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    grace: Annotated[
        timedelta | None,
        typer.Option(
            parser=_duration,
            metavar="TIME",
            help="Deleted points that are older go for good: 90m, 12h, 7d. The mover's setting without.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Delete what no restore point needs. Backups, restores and other prunes may run meanwhile.

    What backups that began earlier may rely on is left to the next prune.
    """
    with client() as xenkeep:
        started = xenkeep.repositories.prune(name, dry_run=dry_run, grace=grace)
        transfer = follow_transfer(xenkeep, started.name, json_=json_)
    show(transfer, lambda: details(_outcome(transfer.result, dry_run=dry_run)), json_=json_)


def trash(name: str, json_: Json = False) -> None:
    """List deleted restore points that can still be taken back with `xenkeep point undelete`."""
    with client() as xenkeep:
        show_all(
            xenkeep.repositories.trash(name),
            ("POINT", "DELETED"),
            lambda each: (each.point_id, moment(each.delete_time)),
            json_=json_,
        )


def _outcome(result: transfer_pb2.TransferResult, *, dry_run: bool) -> list[tuple[str, str]]:
    pruned = result.prune
    deleted = f"{pruned.deleted_pack_count} packs, {_size(pruned.deleted_bytes)}"
    lines = [("Would delete" if dry_run else "Deleted", deleted)]
    if pruned.repacked_pack_count:
        again = (
            f"of these, {pruned.repacked_pack_count} held little: {_size(pruned.stored_bytes)} stored again"
        )
        lines.append(("", again))
    if pruned.purged_point_ids:
        lines.append(("From the trash", f"{len(pruned.purged_point_ids)} restore points"))
    if pruned.waiting_pack_count:
        left = f"{pruned.waiting_pack_count} packs, to the next prune"
        if pruned.waiting_point_ids:
            left += f": {len(pruned.waiting_point_ids)} backups that are under way may rely on them"
        lines.append(("Left", left))
    if pruned.locked_pack_count:
        kept = f"{pruned.locked_pack_count} packs, {_size(pruned.locked_bytes)}, the last of them until"
        lines.append(("Locked", f"{kept} {moment(pruned.locked_until_time)}"))
    if pruned.revoked_point_ids:
        lines.append(("Stopped", f"{len(pruned.revoked_point_ids)} backups that gave no sign of life"))
    return [*lines, *[("Notice", notice.message) for notice in result.notices]]


def _size(number: int) -> str:
    return size(number) or "0 B"
