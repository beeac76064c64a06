"""What a repository's restore point keeps for us, and what we read out of it again.

The engine keeps words and figures of its own; what only Xenkeep knows (devices, run, policy, pool) goes into
the point's document, so that a clean machine with the repository alone knows it too.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.mover.domain.capture import Consistency, FullReason, Level, Method, Remark
from services.mover.domain.point import Asset, Point, PointDisk
from services.mover.domain.source import Source
from services.mover.domain.transfer import Backup
from services.mover.repository import Notice as RecordedNotice
from services.mover.repository import PointDescription, RestorePoint


def describe(
    source: Source,
    spec: Backup,
    asset: Asset,
    changed_bytes: Mapping[str, int],
    remarks: list[Remark],
    now: str,
) -> PointDescription:
    """What the engine writes down with the data. ``now`` is RFC 3339."""
    return PointDescription(
        asset={
            "id": asset.asset_id,
            "kind": "vm",
            "name": asset.display_name,
            "pool": asset.pool_id,
            "pool_name": asset.pool_display_name,
        },
        method=source.method.value,
        consistency=source.consistency.value,
        snapshot_time=source.snapshot_time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        commit_time=now,
        document={
            "devices": {disk.disk_id: disk.device for disk in source.disks},
            "changed_bytes": dict(changed_bytes),
            "policy": spec.policy,
            "run": spec.run,
        },
        notices=tuple(RecordedNotice(remark.code, remark.message) for remark in remarks),
    )


def read_point(repository_id: str, point: RestorePoint) -> Point:
    """The point as the rest of Xenkeep sees it; what a foreign writer left out is empty."""
    document: Mapping[str, Any] = point.document if isinstance(point.document, dict) else {}
    devices = _mapping(document, "devices")
    changed = _mapping(document, "changed_bytes")
    disks = [
        PointDisk(
            disk_id=disk.disk_id,
            device=str(devices.get(disk.disk_id, "")),
            display_name=disk.label,
            size_bytes=disk.size_bytes,
            level=Level(disk.level),
            full_reason=_reason(disk.reason),
            read_bytes=disk.statistics.get("read_bytes", 0),
            changed_bytes=_whole(changed.get(disk.disk_id)),
            tracking_ref=disk.tracking_ref,
            content_root=disk.root.hex() if disk.root else "",
        )
        for disk in point.disks
    ]
    asset = point.asset
    return Point(
        point_id=point.point_id,
        repository_id=repository_id,
        asset=Asset(
            asset.get("id", ""), asset.get("name", ""), asset.get("pool", ""), asset.get("pool_name", "")
        ),
        snapshot_time=datetime.fromisoformat(point.snapshot_time),
        commit_time=datetime.fromisoformat(point.commit_time),
        method=Method(point.method),
        level=Level(point.level),
        consistency=Consistency(point.consistency),
        base_point_id=point.base_point or "",
        disks=tuple(disks),
        read_bytes=sum(disk.read_bytes for disk in disks),
        stored_bytes=point.statistics.get("stored_bytes", 0),
        notices=tuple(Remark(notice.code, notice.message) for notice in point.notices),
        policy=str(document.get("policy", "")),
        run=str(document.get("run", "")),
    )


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _reason(text: str) -> FullReason:
    return FullReason(text) if text in set(FullReason) else FullReason.NONE


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
