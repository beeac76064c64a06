"""A restore point's public part and body (docs/repository-format.md, section 10)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.mover.repository.format import canonical
from services.mover.repository.format.damaged import damaged
from services.mover.repository.format.names import FORMAT_VERSION, MAX_DISK_BYTES, MAX_DISKS
from services.mover.repository.format.stream import StreamRef

VM_CONFIGURATION = "vm-configuration"


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk in a point. ``root`` is its map's root page, its integrity value; None is an all-zero disk."""

    disk_id: str
    label: str
    size_bytes: int
    root: bytes | None
    level: str
    reason: str = ""
    tracking_ref: str = ""
    statistics: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was less, or other, than asked."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """Everything a committed backup says of itself. Times RFC 3339, UTC."""

    point_id: str
    base_point: str | None
    asset: Mapping[str, str]
    method: str
    consistency: str
    level: str
    snapshot_time: str
    commit_time: str
    disks: tuple[Disk, ...]
    streams: Mapping[str, StreamRef]
    notices: tuple[Notice, ...]
    statistics: Mapping[str, int]
    document: Any
    locked_until: str = ""
    """Nobody can delete what it needs before, at ``locked_place``; empty where nothing is locked."""
    locked_place: str = ""
    """The store's location: a copy elsewhere is locked otherwise."""

    def disk(self, disk_id: str) -> Disk | None:
        return next((disk for disk in self.disks if disk.disk_id == disk_id), None)


def public_part(point_id: str, segments: list[str]) -> dict[str, Any]:
    return {"format": "xenkeep-point", "point": point_id, "segments": segments, "version": FORMAT_VERSION}


def encode_body(point: RestorePoint) -> bytes:
    return canonical.encode(
        {
            "asset": dict(point.asset),
            "base_point": point.base_point,
            "commit_time": point.commit_time,
            "consistency": point.consistency,
            "disks": [_disk_to_json(disk) for disk in point.disks],
            "document": point.document,
            "level": point.level,
            "method": point.method,
            "notices": [{"code": notice.code, "message": notice.message} for notice in point.notices],
            "point": point.point_id,
            "snapshot_time": point.snapshot_time,
            "statistics": dict(point.statistics),
            "streams": {name: stream_to_json(ref) for name, ref in point.streams.items()},
            **(
                {"locked_place": point.locked_place, "locked_until": point.locked_until}
                if point.locked_until
                else {}
            ),
        }
    )


def decode_body(data: bytes, what: str) -> RestorePoint:
    """Raises DataLoss naming ``what`` when a field is missing or of another kind."""
    fields = canonical.Fields(canonical.decode_object(data, what), what)
    disks = fields.inners("disks")
    if len(disks) > MAX_DISKS:
        raise damaged(what, f"it lists {len(disks)} disks")
    streams = fields.inner("streams")
    return RestorePoint(
        point_id=fields.text("point"),
        base_point=fields.optional_text("base_point"),
        asset=fields.strings("asset"),
        method=fields.text("method"),
        consistency=fields.text("consistency"),
        level=fields.text("level"),
        snapshot_time=fields.text("snapshot_time"),
        commit_time=fields.text("commit_time"),
        disks=tuple(map(_disk_from_json, disks)),
        streams={name: _stream_from_json(streams.inner(name)) for name in fields.mapping("streams")},
        notices=tuple(Notice(n.text("code"), n.text("message")) for n in fields.inners("notices")),
        statistics=fields.numbers("statistics"),
        document=fields.value("document"),
        locked_until=fields.optional_text("locked_until") or "",
        locked_place=fields.optional_text("locked_place") or "",
    )


def stream_to_json(ref: StreamRef) -> dict[str, Any]:
    told: dict[str, Any] = {
        "bytes": ref.length,
        "list": ref.list_id.hex() if ref.list_id is not None else None,
    }
    return told | {"kind": ref.kind} if ref.kind else told


def _stream_from_json(fields: canonical.Fields) -> StreamRef:
    return StreamRef(
        fields.number("bytes"), fields.optional_raw("list", 32), fields.optional_text("kind") or ""
    )


def _disk_to_json(disk: Disk) -> dict[str, Any]:
    return {
        "disk": disk.disk_id,
        "label": disk.label,
        "level": disk.level,
        "reason": disk.reason,
        "root": disk.root.hex() if disk.root is not None else None,
        "size_bytes": disk.size_bytes,
        "statistics": dict(disk.statistics),
        "tracking_ref": disk.tracking_ref,
    }


def _disk_from_json(fields: canonical.Fields) -> Disk:
    return Disk(
        disk_id=fields.text("disk"),
        label=fields.text("label"),
        size_bytes=fields.number("size_bytes", 0, MAX_DISK_BYTES),
        root=fields.optional_raw("root", 32),
        level=fields.text("level"),
        reason=fields.text("reason"),
        tracking_ref=fields.text("tracking_ref"),
        statistics=fields.numbers("statistics"),
    )
