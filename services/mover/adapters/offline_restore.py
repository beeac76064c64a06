"""A restore point into a directory: raw images, the VM's configuration, and what they are."""

import threading
from collections.abc import Callable, Collection
from typing import Any, Final

from services.chassis.errors import DataLoss, InvalidInput, NotFound
from services.mover.adapters.offline_told import (
    CONFIGURATION_FILE,
    NOT_CHOSEN,
    disk_files,
    disk_told,
    left_disk,
    left_file,
    missing_told,
)
from services.mover.adapters.raw_image import RawImage
from services.mover.adapters.restore_folder import RestoreFolder
from services.mover.app.point_records import read_point
from services.mover.repository import (
    VM_CONFIGURATION,
    Disk,
    Progress,
    Reached,
    Repository,
    RestoreOptions,
    RestorePoint,
)

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
    repository: Repository,
    point: RestorePoint,
    folder: RestoreFolder,
    options: RestoreOptions,
    say: Say,
    chosen: Collection[str] | None = None,
) -> dict[str, Any]:
    """Write and prove every disk; what was restored, as ``restored.json`` tells it.

    With ``chosen`` only the disks with these ids and the VM's configuration: what else the point holds is
    left out, and told. Raises DataLoss before the first byte when a disk that is wanted is known to be lost.
    """
    _require_restorable(repository, point, chosen)
    read = read_point(repository.repository_id, point)
    files = {disk.disk_id: (disk, file) for disk, file in disk_files(read).items()}
    writing = {d.disk_id: files[d.disk_id][1] for d in point.disks if chosen is None or d.disk_id in chosen}
    streams = [name for name in sorted(point.streams) if name != VM_CONFIGURATION]
    exported = streams if chosen is None else []
    folder.require_free_names(exported, {CONFIGURATION_FILE, *writing.values()})
    total = sum(point.streams[name].length for name in exported)
    folder.require_room(_needed(repository, point, folder, writing) + total)
    for disk in point.disks:
        if disk.disk_id in writing:
            _restore_disk(repository, point, disk, writing[disk.disk_id], folder, options, say)
    left = [left_disk(disk) for disk, _ in files.values() if disk.disk_id not in writing]
    left += [left_file(name, NOT_CHOSEN, "Disks were chosen.") for name in streams if name not in exported]
    configured = _write_configuration(repository, point, folder, left, spared=chosen is not None)
    for name in exported:
        say({"doing": "writing", "file": name, "size_bytes": point.streams[name].length})
        folder.write_pieces(name, repository.read_stream(point.point_id, name))
    result = {
        "repository": repository.repository_id,
        "point": point.point_id,
        "asset": dict(point.asset),
        "snapshot_time": point.snapshot_time,
        "consistency": point.consistency,
        "vm_configuration": CONFIGURATION_FILE if configured else None,
        "disks": [disk_told(*files[disk_id]) for disk_id in writing],
        "files": exported,
        "left_out": [*left, *map(missing_told, read.missing_disks)],
        "notices": [{"code": code, "message": message} for code, message in repository.notices],
    }
    folder.finish(result)
    return result


def _require_restorable(repository: Repository, point: RestorePoint, chosen: Collection[str] | None) -> None:
    try:
        repository.require_restorable(point.point_id, chosen)
    except DataLoss as error:
        if chosen is not None or not point.disks:
            raise
        way = "What is whole can be chosen with --disk; leave the directory out to see it."
        raise DataLoss(
            error.message,
            reason=error.reason,
            hint=f"{error.hint} {way}".strip(),
            metadata=error.metadata,
        ) from error


def _write_configuration(
    repository: Repository,
    point: RestorePoint,
    folder: RestoreFolder,
    left: list[dict[str, Any]],
    *,
    spared: bool,
) -> bool:
    """Whether there is one and it was written; where it can be ``spared``, one that is lost is ``left``."""
    if VM_CONFIGURATION not in point.streams:
        return False
    try:
        configuration = b"".join(repository.read_stream(point.point_id, VM_CONFIGURATION))
    except DataLoss as error:
        if not spared:
            raise
        left.append(left_file(CONFIGURATION_FILE, error.reason, error.message))
        return False
    folder.write(CONFIGURATION_FILE, configuration)
    return True


def _needed(repository: Repository, point: RestorePoint, folder: RestoreFolder, files: dict[str, str]) -> int:
    """What unfinished files have already is not needed again."""
    needed = 0
    for disk_id, file in files.items():
        if not folder.has(file):
            extents = repository.data_extents(point.point_id, disk_id)
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
