"""A restore point into a directory: raw images, the VM's configuration, and what they are."""

from collections.abc import Callable
from typing import Any

from services.chassis.errors import InvalidInput, NotFound
from services.mover.adapters.raw_image import RawImage
from services.mover.adapters.restore_folder import RestoreFolder
from services.mover.repository import VM_CONFIGURATION, Disk, Repository, RestoreOptions, RestorePoint

CONFIGURATION_FILE = "vm-configuration"
Say = Callable[[dict[str, Any]], None]
"""Hears of progress: one JSON object per step."""


def chosen_point(repository: Repository, wanted: str) -> str:
    """The id of the point whose id begins with ``wanted``; raises NotFound, InvalidInput when several do."""
    points = repository.list_points()
    found = [point for point in points if point == wanted] or [p for p in points if p.startswith(wanted)]
    if not found or not wanted:
        raise NotFound(
            f"The repository holds no restore point {wanted!r}; it holds {len(points)}.",
            reason="POINT_MISSING",
            hint="Leave the point out to list them.",
        )
    if len(found) > 1:
        raise InvalidInput(
            f"{wanted!r} is the beginning of {len(found)} restore points.",
            reason="POINT_AMBIGUOUS",
            hint=f"Give more of it: {', '.join(found[:5])}.",
        )
    return found[0]


def restore_point(
    repository: Repository, point: RestorePoint, folder: RestoreFolder, options: RestoreOptions, say: Say
) -> dict[str, Any]:
    """Write and prove every disk; what was restored, as ``restored.json`` tells it.

    Raises DataLoss before the first byte when the point is known to be damaged.
    """
    repository.require_restorable(point.point_id)
    files = {disk.disk_id: f"disk-{number}.raw" for number, disk in enumerate(point.disks)}
    exported = [name for name in sorted(point.streams) if name != VM_CONFIGURATION]
    folder.require_free_names(exported, {CONFIGURATION_FILE, *files.values()})
    streams = sum(point.streams[name].length for name in exported)
    folder.require_room(_needed(repository, point, folder, files) + streams)
    for disk in point.disks:
        _restore_disk(repository, point, disk, files[disk.disk_id], folder, options, say)
    has_configuration = VM_CONFIGURATION in point.streams
    if has_configuration:
        folder.write(CONFIGURATION_FILE, b"".join(repository.read_stream(point.point_id, VM_CONFIGURATION)))
    for name in exported:
        say({"doing": "writing", "file": name, "size_bytes": point.streams[name].length})
        folder.write_pieces(name, repository.read_stream(point.point_id, name))
    result = {
        "repository": repository.repository_id,
        "point": point.point_id,
        "asset": dict(point.asset),
        "snapshot_time": point.snapshot_time,
        "consistency": point.consistency,
        "vm_configuration": CONFIGURATION_FILE if has_configuration else None,
        "disks": [_told(point, disk, files[disk.disk_id]) for disk in point.disks],
        "files": exported,
        "notices": [{"code": code, "message": message} for code, message in repository.notices],
    }
    folder.finish(result)
    return result


def _needed(repository: Repository, point: RestorePoint, folder: RestoreFolder, files: dict[str, str]) -> int:
    return sum(
        extent.length
        for disk in point.disks
        if not folder.has(files[disk.disk_id])
        for extent in repository.data_extents(point.point_id, disk.disk_id)
    )


def _restore_disk(
    repository: Repository,
    point: RestorePoint,
    disk: Disk,
    file: str,
    folder: RestoreFolder,
    options: RestoreOptions,
    say: Say,
) -> None:
    """A file that an earlier attempt finished is only proven again."""
    about = {"disk": disk.disk_id, "file": file, "size_bytes": disk.size_bytes}
    finished = folder.has(file)
    path = folder.path / file if finished else folder.partial(file)
    with RawImage(path, disk.size_bytes, fresh=not finished) as image:
        if not finished:
            say({"doing": "writing", **about})
            repository.restore_disk(point.point_id, disk.disk_id, image, options=options)
        image.sync()
        say({"doing": "proving", **about})
        image.require_shape(disk.size_bytes, repository.data_extents(point.point_id, disk.disk_id))
        repository.compare_disk(point.point_id, disk.disk_id, image)
    if not finished:
        folder.complete(file)


def _told(point: RestorePoint, disk: Disk, file: str) -> dict[str, Any]:
    devices = point.document.get("devices") if isinstance(point.document, dict) else None
    return {
        "file": file,
        "disk": disk.disk_id,
        "label": disk.label,
        "device": devices.get(disk.disk_id) if isinstance(devices, dict) else None,
        "size_bytes": disk.size_bytes,
        "content_root": disk.root.hex() if disk.root else None,
    }
