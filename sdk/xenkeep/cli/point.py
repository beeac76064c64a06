"""``xenkeep point``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from xenkeep.catalog.v1 import catalog_pb2
from xenkeep.cli import point_export
from xenkeep.cli.output import (
    Json,
    as_data,
    complain,
    console,
    details,
    last_part,
    level,
    moment,
    short,
    show,
    show_all,
    show_data,
    size,
    table,
    word,
)
from xenkeep.cli.session import client
from xenkeep.common.v1 import capture_pb2, point_pb2

app = typer.Typer(help="Restore points.", no_args_is_help=True)


@app.command("list")
def list_(
    vm: Annotated[str, typer.Option(help="Only of this VM, by name or UUID.")] = "",
    repository: Annotated[str, typer.Option(help="Only in this repository.")] = "",
    json_: Json = False,
) -> None:
    """List restore points, newest first."""
    with client() as xenkeep:
        show_all(
            xenkeep.restore_points.list(vm, repository, complain),
            ("POINT", "VM", "TAKEN", "LEVEL", "CONSISTENCY", "SIZE", "STORED", "STATE", "REPOSITORY"),
            lambda each: (
                short(each.name),
                _asset(each.point),
                moment(each.point.snapshot_time),
                word(capture_pb2.Level, each.point.level),
                word(capture_pb2.Consistency, each.point.consistency),
                _size(each.point, each.point.logical_bytes),
                _size(each.point, each.point.stored_bytes),
                _state(each),
                each.repository_display_name,
            ),
            json_=json_,
        )


@app.command("show")
def show_one(point: str, json_: Json = False) -> None:
    """Show a restore point, its disks and what was less than asked."""
    with client() as xenkeep:
        found = xenkeep.restore_points.get(point)
    show(found, lambda: _render(found), json_=json_)


@app.command()
def delete(
    point: str,
    keep: Annotated[
        int, typer.Option(min=0, help="So many other good points of the VM have to be left.")
    ] = 1,
    purge: Annotated[bool, typer.Option("--purge", help="For good: it cannot be taken back.")] = False,
    json_: Json = False,
) -> None:
    """Delete a restore point. Until a prune frees its space and empties the trash it can be taken back."""
    with client() as xenkeep:
        found = xenkeep.restore_points.get(point)
        point_id, repository = found.point.point_id, found.repository_display_name
        xenkeep.repositories.delete_point(found.point.repository_id, point_id, keep=keep, purge=purge)
    if json_:
        show_data({"point": point_id, "repository": repository, "recoverable": not purge})
        return
    console.print(f"{point_id} is deleted. Its space is free after `xenkeep repo prune {repository}`.")
    if not purge:
        console.print(f"Take it back with `xenkeep point undelete {point_id} --repository {repository}`.")


@app.command()
def undelete(
    point: Annotated[str, typer.Argument(help="UUID, as `xenkeep repo trash` tells it.")],
    repository: Annotated[str, typer.Option(help="The repository it was in.")],
    json_: Json = False,
) -> None:
    """Take a deleted restore point back out of the trash of its repository."""
    with client() as xenkeep:
        found = xenkeep.repositories.undelete_point(repository, point)
    if json_:
        show_data(as_data(found))
    else:
        console.print(f"{found.point_id} of {found.asset.display_name} is back.")


@app.command()
def export(
    point: Annotated[str, typer.Argument(help="Restore point: its UUID or the beginning of it.")],
    to: Annotated[Path, typer.Option(help="Directory, new or empty.")],
    json_: Json = False,
) -> None:
    """Write what a restore point of a pool's metadata holds into a directory."""
    with client() as xenkeep:
        found = xenkeep.restore_points.get(point)
        files = point_export.export(xenkeep, found, to)
    if json_:
        show_data({"directory": str(to), "files": files})
        return
    console.print(f"Wrote {', '.join(files)} to {to}.", soft_wrap=True)
    if hint := point_export.restore_hint(found, to):
        console.print(hint, soft_wrap=True)


@app.command()
def sync(
    repository: Annotated[str, typer.Argument(help="Repository; all without.")] = "", json_: Json = False
) -> None:
    """Make the catalog agree with what the repositories hold."""
    with client() as xenkeep:
        done = xenkeep.restore_points.sync(repository)
    data = {"points": done.point_count, "added": done.added_count, "removed": done.removed_count}
    if json_:
        show_data(data)
    else:
        console.print(f"{done.point_count} points; {done.added_count} added, {done.removed_count} removed.")


def _is_known(point: point_pb2.Point) -> bool:
    """Whether it could be read once; of one that could not, nothing is made up."""
    return bool(point.asset.asset_id)


def _size(point: point_pb2.Point, number: int) -> str:
    return size(number) if _is_known(point) else ""


def _is_pool(point: point_pb2.Point) -> bool:
    return point.asset.kind == point_pb2.ASSET_KIND_POOL


def _asset(point: point_pb2.Point) -> str:
    return f"pool {point.asset.display_name}" if _is_pool(point) else point.asset.display_name


def _state(found: catalog_pb2.RestorePoint) -> str:
    state = word(catalog_pb2.RestorePoint.State, found.state)
    return f"{state}, incomplete" if found.point.missing_disks else state


def _together(group: capture_pb2.GroupMoment) -> str:
    if not group.group_id:
        return ""
    others = group.vm_count - 1
    who = f"with {others} other VM{'s' if others != 1 else ''}"
    return f"{who}, at most {group.spread_milliseconds} ms apart (group {group.group_id})"


def _render(found: catalog_pb2.RestorePoint) -> RenderableType:
    point = found.point
    head = details(
        [
            ("Point", last_part(found.name)),
            (
                "Pool metadata" if _is_pool(point) else "VM",
                f"{point.asset.display_name} ({point.asset.asset_id})" if _is_known(point) else "",
            ),
            ("Pool", point.asset.pool_display_name),
            ("State", _state(found)),
            ("", found.state_message),
            ("Taken", moment(point.snapshot_time)),
            ("Committed", moment(point.commit_time)),
            ("Method", word(capture_pb2.Method, point.method)),
            ("Consistency", word(capture_pb2.Consistency, point.consistency)),
            ("Together", _together(point.group)),
            ("Repository", found.repository_display_name),
            ("Size", _size(point, point.logical_bytes)),
            ("Read", _size(point, point.read_bytes)),
            ("Stored", _size(point, point.stored_bytes)),
            ("Compression", f"zstd {point.compression_level}" if point.HasField("compression_level") else ""),
            ("Policy", point.policy),
            ("Verified", moment(found.verify_time)),
            *[
                ("Missing", f"Disk {disk.device} ({disk.display_name}, {disk.disk_id}): {disk.message}")
                for disk in point.missing_disks
            ],
            *[("Notice", notice.message) for notice in point.notices],
        ]
    )
    if _is_pool(point):
        files = table(("FILE", "SIZE"), [(each.name, size(each.size_bytes)) for each in point.streams])
        return Group(head, files)
    disks = table(
        ("DEVICE", "DISK", "SIZE", "LEVEL", "CHANGED", "READ"),
        [
            (
                disk.device,
                disk.display_name,
                size(disk.size_bytes),
                level(disk.level, disk.full_reason),
                size(disk.changed_bytes),
                size(disk.read_bytes),
            )
            for disk in point.disks
        ],
    )
    if not point.vm_snapshots:
        return Group(head, disks)
    names = {each.snapshot_id: each.display_name for each in point.vm_snapshots}
    snapshots = table(
        ("SNAPSHOT", "TAKEN", "AFTER", "DISKS"),
        [
            (
                each.display_name,
                moment(each.snapshot_time),
                names.get(each.parent_id, each.parent_id),
                "saved" if each.saved else "not saved",
            )
            for each in point.vm_snapshots
        ],
    )
    return Group(head, disks, snapshots)
