"""``xenkeep repo copy``."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from xenkeep.cli.following import follow_transfer
from xenkeep.cli.offline import url_of
from xenkeep.cli.output import Json, details, show, size
from xenkeep.cli.session import client
from xenkeep.errors import Error
from xenkeep.mover.v1 import transfer_pb2

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_SCALE = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SHOWN = 20


def _since(text: str) -> datetime:
    """A day, or how long ago."""
    ago = re.fullmatch(r"(\d{1,5})([hdw])", text)
    if ago is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("Give a date such as 2026-01-31, or an age such as 12h, 30d, 8w.") from None
    return moment if moment.tzinfo else moment.astimezone()


def _limit(text: str) -> transfer_pb2.RateLimit:
    """``08:00-18:00=10M``, or ``10M`` for all day."""
    match = re.fullmatch(r"(?:(\d\d):(\d\d)-(\d\d):(\d\d)=)?(\d{1,9})([KMG]?)", text)
    minutes = [int(each or 0) for each in match.groups()[:4]] if match else []
    if match is None or max(minutes[::2]) > 23 or max(minutes[1::2]) > 59:
        raise typer.BadParameter("Give bytes a second, if need be by the time of day: 10M, 08:00-18:00=2M.")
    return transfer_pb2.RateLimit(
        start_minute=60 * minutes[0] + minutes[1],
        end_minute=60 * minutes[2] + minutes[3],
        bytes_per_second=int(match[5]) * _SCALE[match[6]],
    )


def copy(
    name: str,
    to: Annotated[str, typer.Argument(help="Empty or copied before: directory, or URL (file:, s3:).")],
    asset: Annotated[
        list[str] | None,
        typer.Option(help="Only points of this VM or pool, by name or UUID; may be repeated."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=_since, metavar="TIME", help="Only points not older: 2026-01-31, 30d, 8w."),
    ] = None,
    newest: Annotated[int, typer.Option(min=0, help="Only so many newest points of each VM; 0: all.")] = 0,
    limit: Annotated[
        list[transfer_pb2.RateLimit] | None,
        typer.Option(
            parser=_limit,
            metavar="RATE",
            help="Bytes a second, for all limited copies of a mover together, if need be by the time of day: "
            "10M, 08:00-18:00=2M; may be repeated.",
        ),
    ] = None,
    time_zone: Annotated[str, typer.Option(help="IANA time zone of the limits; UTC without.")] = "",
    json_: Json = False,
) -> None:
    """Copy restore points to another place, sealed as they are. The keys of the repository open the copy.

    What is there is not sent again, and nothing is removed there. Exit code 12 when points were left out.
    """
    spec = transfer_pb2.CopySpec(
        repository=name,
        target_url=url_of(to),
        assets=asset or (),
        newest_count=newest,
        rate_limits=limit or (),
        time_zone=time_zone,
    )
    if since is not None:
        spec.since_time.FromDatetime(since)
    with client() as xenkeep:
        transfer = follow_transfer(xenkeep, xenkeep.repositories.copy(spec).name, json_=json_)
    show(transfer, lambda: details(_outcome(transfer.result)), json_=json_)
    left = transfer.result.copy.left_point_count
    if left:
        raise Error(
            "DataLoss",
            "COPY_INCOMPLETE",
            f"{left} restore points of {name} were not copied.",
            "The reasons are told for each; verify the repository if they speak of damage.",
        )


def _outcome(result: transfer_pb2.TransferResult) -> list[tuple[str, str]]:
    copied = result.copy
    sent = f"{copied.sent_pack_count} packs, {size(copied.sent_bytes) or '0 B'}"
    lines = [
        ("Copied", f"{copied.copied_point_count} restore points; {copied.known_point_count} were there"),
        ("Sent", sent),
    ]
    if result.resumed_from_bytes:
        lines.append(("", f"{size(result.resumed_from_bytes)} were there from an earlier copy"))
    lines += [("Left", f"{each.point_id}: {each.message}") for each in copied.left_points[:_SHOWN]]
    if copied.left_point_count > _SHOWN:
        lines.append(("", f"and {copied.left_point_count - _SHOWN} more"))
    return [*lines, *[("Notice", notice.message) for notice in result.notices]]
