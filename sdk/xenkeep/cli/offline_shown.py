"""What a repository alone holds and what was restored from it, for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType

from xenkeep.cli.output import details, size, table

_NAMED = 4
"""Disks in a list of points."""
Told = dict[str, Any]


def points_shown(points: Sequence[Told]) -> RenderableType:
    columns = ("RESTORE POINT", "VM", "TAKEN", "DISKS", "SIZE", "DAMAGE")
    return table(columns, map(_point_row, points))


def point_shown(point: Told) -> RenderableType:
    """With its disks, as ``--disk`` takes them."""
    head = details(
        [
            ("Restore point", point["point"]),
            ("VM", point.get("asset", {}).get("name", "")),
            ("Taken", point.get("snapshot_time", "")),
            ("Consistency", point.get("consistency", "")),
            ("Configuration", _configuration(point)),
            *(("File", f"{each['file']} {size(int(each['size_bytes']))}") for each in point.get("files", ())),
            ("Damage", point["damage"]),
            *(("Missing", f"{_disk(disk)}: {disk['message']}") for disk in point.get("missing_disks", ())),
        ]
    )
    if not point.get("disks"):
        return head
    rows = (
        (disk["device"] or "", disk["label"], disk["disk"], size(int(disk["size_bytes"])), disk["damage"])
        for disk in point["disks"]
    )
    return Group(head, table(("DEVICE", "DISK", "UUID", "SIZE", "DAMAGE"), rows))


def restored_shown(restored: Told, directory: Path | None) -> RenderableType:
    return details(
        [
            ("Restored", restored["point"]),
            ("VM", restored["asset"].get("name", "")),
            ("Into", str(directory)),
            *((disk["file"], f"{_disk(disk)} {size(int(disk['size_bytes']))}") for disk in restored["disks"]),
            ("Configuration", restored["vm_configuration"] or "none was written"),
            *(("Left out", f"{_left(each)}: {each['message']}") for each in restored["left_out"]),
            *(("Notice", notice["message"]) for notice in restored["notices"]),
        ]
    )


def _point_row(point: Told) -> Sequence[str]:
    disks = point.get("disks", ())
    more = f" and {len(disks) - _NAMED} more" if len(disks) > _NAMED else ""
    return (
        point["point"],
        point.get("asset", {}).get("name", ""),
        point.get("snapshot_time", ""),
        ", ".join(map(_disk, disks[:_NAMED])) + more,
        size(int(point.get("size_bytes", 0))),
        point["damage"],
    )


def _configuration(point: Told) -> str:
    if "vm_configuration" not in point:  # it could not be read
        return ""
    return point["vm_configuration"] or "none was stored"


def _left(each: Told) -> str:
    return str(each["file"]) if "file" in each else f"disk {_disk(each)}"


def _disk(disk: Told) -> str:
    return " ".join(filter(None, (disk["device"], disk["label"]))) or str(disk["disk"])
