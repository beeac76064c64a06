"""What a restore without services tells of a point and its disks: in lists, and in ``restored.json``."""

from typing import Any

from services.chassis.errors import DataLoss
from services.mover.app.point_records import read_point
from services.mover.domain.point import MissingDisk, Point, PointDisk
from services.mover.repository import VM_CONFIGURATION, Repository

CONFIGURATION_FILE = "vm-configuration"
NOT_CHOSEN = "NOT_CHOSEN"
NOT_IN_POINT = "NOT_IN_POINT"
Told = dict[str, Any]


def listed(repository: Repository, point_id: str) -> Told:
    """A point as the list shows it, its disks included; of one that cannot be read why not."""
    try:
        recorded = repository.get_point(point_id)
        damage = repository.known_damage(point_id)
    except DataLoss as error:
        return {"point": point_id, "damage": error.message}
    point = read_point(repository.repository_id, recorded)
    return {
        "point": point_id,
        "asset": dict(recorded.asset),
        "snapshot_time": recorded.snapshot_time,
        "consistency": recorded.consistency,
        "size_bytes": sum(disk.size_bytes for disk in recorded.disks),
        "damage": damage,
        "disks": [
            {
                **disk_told(disk, file),
                "damage": repository.known_damage(point_id, [disk.disk_id]) if damage else "",
            }
            for disk, file in disk_files(point).items()
        ],
        "files": [{"file": each.name, "size_bytes": each.size_bytes} for each in point.streams],
        "vm_configuration": CONFIGURATION_FILE if VM_CONFIGURATION in recorded.streams else None,
        "missing_disks": [missing_told(disk) for disk in point.missing_disks],
    }


def disk_files(point: Point) -> dict[PointDisk, str]:
    """The file of each disk: the same one whichever disks are chosen."""
    return {disk: f"disk-{number}.raw" for number, disk in enumerate(point.disks)}


def disk_told(disk: PointDisk, file: str) -> Told:
    """``device`` and ``content_root`` are null where the point does not say."""
    return {
        "file": file,
        "disk": disk.disk_id,
        "label": disk.display_name,
        "device": disk.device or None,
        "size_bytes": disk.size_bytes,
        "content_root": disk.content_root or None,
    }


def missing_told(disk: MissingDisk) -> Told:
    """A disk that the backup could not read."""
    return {
        "disk": disk.disk_id,
        "label": disk.display_name,
        "device": disk.device or None,
        "reason": NOT_IN_POINT,
        "message": disk.message,
    }


def left_disk(disk: PointDisk) -> Told:
    """A disk that is there and was not chosen."""
    return {
        "disk": disk.disk_id,
        "label": disk.display_name,
        "device": disk.device or None,
        "size_bytes": disk.size_bytes,
        "reason": NOT_CHOSEN,
        "message": "It was not chosen.",
    }


def left_file(name: str, reason: str, message: str) -> Told:
    """A file that is part of the point and was not written."""
    return {"file": name, "reason": reason, "message": message}
