"""Which disks of a restore point a person means."""

from collections.abc import Sequence

from services.chassis.errors import InvalidInput, NotFound, XenkeepError
from services.mover.domain.capture import DiskKind
from services.mover.domain.point import MissingDisk, Point, PointDisk

BEGINNING = 8
"""So much of a UUID at least: a device that the point lacks is never taken for the beginning of one."""
_NAMED = 16
"""Disks that an error names; there may be hundreds."""


def chosen_disks(point: Point, wanted: Sequence[str]) -> tuple[PointDisk, ...]:
    """The disks that ``wanted`` names, each once and in the point's order.

    A disk is named by its device (``0``, which a guest calls ``xvda``), its name, its UUID, or eight
    characters and more that its UUID begins with. Raises NotFound for a name that no disk has and
    InvalidInput for one that several have; the error tells which disks there are.
    """
    meant = {_the_one(point, name).disk_id for name in wanted}
    return tuple(disk for disk in point.disks if disk.disk_id in meant)


def described(disk: PointDisk | MissingDisk) -> str:
    """A disk in words that choose it: ``0 (system, 8f2e…)``."""
    known = ", ".join(filter(None, (disk.display_name, disk.disk_id)))
    return f"{disk.device} ({known})" if disk.device else known


def _the_one(point: Point, wanted: str) -> PointDisk:
    found = [disk for disk in point.disks if wanted == disk.disk_id]  # whatever others are called
    found = found or [disk for disk in point.disks if wanted in _names(disk)]
    if not found and len(wanted) >= BEGINNING:
        found = [disk for disk in point.disks if disk.disk_id.startswith(wanted)]
    if not found:
        raise _unknown(point, wanted)
    if len(found) > 1:
        raise InvalidInput(
            f"{wanted!r} names {len(found)} disks of restore point {point.point_id}: {_listed(found)}.",
            reason="DISK_AMBIGUOUS",
            hint="Choose by the whole UUID.",
        )
    return found[0]


def _names(disk: PointDisk) -> set[str]:
    names = {disk.display_name, disk.device}
    if disk.kind == DiskKind.DATA and disk.device.isascii() and disk.device.isdecimal():
        names.add(_in_guest(int(disk.device)))
    return names - {""}


def _in_guest(number: int) -> str:
    """What a Linux guest calls the disk at this position (XenAPI: VBD.userdevice and VBD.device)."""
    letters = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return f"xvd{letters}"


def _unknown(point: Point, wanted: str) -> XenkeepError:
    for disk in point.missing_disks:
        if wanted and wanted in (disk.disk_id, disk.display_name, disk.device):
            return NotFound(
                f"Disk {described(disk)} is not in restore point {point.point_id}: {disk.message}",
                reason="DISK_NOT_IN_POINT",
                hint="Look for it in another restore point.",
            )
    there = f"it has {_listed(point.disks)}" if point.disks else "it has none"
    return NotFound(
        f"Restore point {point.point_id} has no disk {wanted[:100]!r}; {there}.",
        reason="DISK_NOT_IN_POINT",
        hint="Choose by device, name or UUID as they are listed.",
    )


def _listed(disks: Sequence[PointDisk]) -> str:
    more = len(disks) - _NAMED
    named = [described(disk) for disk in disks[:_NAMED]]
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
