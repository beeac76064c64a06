"""A restore point into a directory: raw images, the VM's configuration, and what they are."""

import threading
from collections.abc import Callable
from typing import Any, Final

from services.chassis.errors import DataLoss, InvalidInput, NotFound
from services.mover.adapters.raw_image import RawImage
from services.mover.adapters.restore_folder import RestoreFolder
from services.mover.repository import (
    VM_CONFIGURATION,
    Disk,
    Progress,
    Reached,
    Repository,
    RestoreOptions,
    RestorePoint,
)

CONFIGURATION_FILE = "vm-configuration"
NOTED_BYTES: Final = 1 << 30
"""How much of a disk lies between two notes of how far it is: so much is written again after a kill."""
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
    """What unfinished files have already is not needed again."""
    needed = 0
    for disk in point.disks:
        file = files[disk.disk_id]
        if not folder.has(file):
            extents = repository.data_extents(point.point_id, disk.disk_id)
            needed += max(0, sum(extent.length for extent in extents) - folder.held(file))
    return needed


def _restore_disk(
    repository: Repository,
    point: RestorePoint,
    disk: Disk,
    file: str,
    folder: RestoreFolder,
    options: RestoreOptions,
    say: Say,
) -> None:
    """A file that an earlier attempt finished is only proven again, one that it had begun is gone on with."""
    finished = folder.has(file)
    start = 0 if finished else folder.reached(file, disk.size_bytes)
    path = folder.path / file if finished else folder.partial(file)
    extents = repository.data_extents(point.point_id, disk.disk_id)
    total = sum(extent.length for extent in extents)

    def told(doing: str) -> _Percents:
        return _Percents(say, {"doing": doing, "file": file, "size_bytes": disk.size_bytes}, total)

    with RawImage(path, disk.size_bytes, fresh=not finished and not start, resumed=start > 0) as image:
        if not finished:
            noted, percents = start, told("writing")

            def listen(progress: Progress) -> None:
                percents(progress.resumed + progress.read)

            def settled(end: int) -> None:
                nonlocal noted
                if end >= noted + NOTED_BYTES:
                    image.sync()
                    folder.note_reached(file, min(end, disk.size_bytes))
                    noted = end

            repository.restore_disk(
                *(point.point_id, disk.disk_id, image),
                options=options,
                listener=listen,
                reached=Reached(start, settled),
            )
        image.sync()
        if not finished:
            folder.note_reached(file, disk.size_bytes)
        try:
            image.require_shape(disk.size_bytes, extents)
            repository.compare_disk(point.point_id, disk.disk_id, image, told("proving"))
        except DataLoss:
            if not finished:
                folder.note_reached(file, 0)  # where it differs is not written again otherwise
            raise
    if not finished:
        folder.complete(file)


class _Percents:
    """Says what is done once for each hundredth of it, from any thread."""

    def __init__(self, say: Say, about: dict[str, Any], total: int) -> None:
        self._say, self._about, self._total = say, about, total
        self._lock = threading.Lock()
        self._last = -1
        self(0)

    def __call__(self, done: int) -> None:
        with self._lock:
            percent = 100 * done // max(1, self._total)
            if percent > self._last:
                self._last = percent
                self._say({**self._about, "done_bytes": done, "total_bytes": self._total})


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
