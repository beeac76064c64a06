"""``xenkeep repo stats``."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from xenkeep.cli.output import Json, as_data, complaints, console, details, show_data, size, table
from xenkeep.cli.session import client
from xenkeep.cli.whole_file import whole_file
from xenkeep.mover.v1 import repository_pb2

COLUMNS = (
    "row",
    "id",
    "name",
    "kind",
    "time",
    "level",
    "points",
    "logical_bytes",
    "read_bytes",
    "stored_bytes",
    "unique_bytes",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would take for a formula: names come from pools."""


@dataclass
class _Statistics:
    total: repository_pb2.RepositoryStatistics = field(default_factory=repository_pb2.RepositoryStatistics)
    assets: list[repository_pb2.AssetStatistics] = field(default_factory=list)
    points: list[repository_pb2.PointStatistics] = field(default_factory=list)
    days: list[repository_pb2.DayStatistics] = field(default_factory=list)


def stats(
    name: str,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", help="Write a file with a row for each VM or pool, restore point and day."),
    ] = None,
    json_: Json = False,
) -> None:
    """What takes how much room in a repository: logical, stored and unique bytes, growth, dead share.

    Unique bytes would be freed if that point, or all points of that VM, went. Walks every restore point.
    """
    found = _read(name, hidden=json_)
    if csv_file is not None:
        _write(csv_file, found)
    if json_:
        show_data(
            {
                "total": as_data(found.total),
                "assets": [as_data(each) for each in found.assets],
                "points": [as_data(each) for each in found.points],
                "days": [as_data(each) for each in found.days],
            }
        )
        return
    console.print(details(_lines(found.total)))
    console.print(
        table(
            ("NAME", "KIND", "POINTS", "LOGICAL", "READ", "STORED", "UNIQUE"),
            (
                (
                    asset.display_name or asset.asset_id,
                    asset.kind,
                    str(asset.point_count),
                    *map(
                        size, (asset.logical_bytes, asset.read_bytes, asset.stored_bytes, asset.unique_bytes)
                    ),
                )
                for asset in found.assets
            ),
        )
    )


def _read(name: str, *, hidden: bool) -> _Statistics:
    found = _Statistics()
    with client() as xenkeep, complaints.status("looking at restore points") as status:
        if hidden:
            status.stop()
        for part in xenkeep.repositories.statistics(name):
            match part.WhichOneof("part"):
                case "progress":
                    status.update(f"{part.progress.done_count} of {part.progress.total_count} restore points")
                case "total":
                    found.total = part.total
                case "asset":
                    found.assets.append(part.asset)
                case "point":
                    found.points.append(part.point)
                case "day":
                    found.days.append(part.day)
    return found


def _lines(total: repository_pb2.RepositoryStatistics) -> list[tuple[str, str]]:
    growth = f"{size(total.added_bytes_per_day)} a day, over {total.growth_days} days"
    lines = [
        ("Points", f"{total.point_count} of {total.asset_count} VMs and pools"),
        ("Logical", size(total.logical_bytes)),
        ("Stored", f"{size(total.stored_bytes)} in {total.pack_count} packs"),
        ("Ratio", f"{total.ratio:.2f} logical bytes for a stored one"),
        ("Needed", f"{size(total.needed_bytes)}, of which VMs share {size(total.shared_bytes)}"),
        ("In the trash", size(total.trash_bytes) if total.trash_bytes else ""),
        ("Unfinished", size(total.unfinished_bytes) if total.unfinished_bytes else ""),
        ("Dead", f"{size(total.dead_bytes)}, {total.dead_share:.1%}: see `xenkeep repo prune --dry-run`"),
        ("Added", growth if total.growth_days else ""),
        ("Free", size(total.free_bytes) if total.HasField("free_bytes") else ""),
    ]
    if total.unreadable_point_ids:
        lost = f"{len(total.unreadable_point_ids)} points, which could not be walked: what only they need"
        lines.append(("Damaged", f"{lost} counts as dead"))
    return lines


def _write(path: Path, found: _Statistics) -> None:
    with whole_file(path) as file:
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        rows = csv.writer(text)
        rows.writerow(COLUMNS)
        rows.writerows(_rows(found))
        text.detach()


def _rows(found: _Statistics) -> Iterator[Sequence[str | int]]:
    total = found.total
    yield (
        *("repository", "", "", "", "", "", total.point_count),
        *(total.logical_bytes, "", total.stored_bytes, total.needed_bytes),
    )
    for asset in found.assets:
        yield (
            *("asset", asset.asset_id, _safe(asset.display_name), asset.kind, "", "", asset.point_count),
            *(asset.logical_bytes, asset.read_bytes, asset.stored_bytes, asset.unique_bytes),
        )
    for point in found.points:
        yield (
            *("point", point.point_id, _safe(point.asset_display_name), point.asset_kind),
            *(point.commit_time.ToJsonString(), point.level, 1),
            *(point.logical_bytes, point.read_bytes, point.stored_bytes, point.unique_bytes),
        )
    for day in found.days:
        yield (
            *("day", "", "", "", day.day, "", day.point_count),
            *(day.logical_bytes, "", day.stored_bytes, ""),
        )


def _safe(name: str) -> str:
    return f"'{name}" if name.startswith(FORMULA) else name
