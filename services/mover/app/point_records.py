"""What a repository's restore point keeps for us, and what we read out of it again.

The engine keeps words and figures of its own; what only Xenkeep knows (devices, run, policy, pool) goes into
the point's document, so that a clean machine with the repository alone knows it too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from services.mover.domain.capture import (
    Consistency,
    DiskKind,
    FullReason,
    GroupMoment,
    Level,
    Method,
    Remark,
)
from services.mover.domain.point import (
    Asset,
    AssetKind,
    MissingDisk,
    Point,
    PointDisk,
    PointStream,
    VmSnapshot,
)
from services.mover.domain.source import Source
from services.mover.domain.transfer import Backup
from services.mover.repository import VM_CONFIGURATION, Disk, PointDescription, RestorePoint
from services.mover.repository import Notice as RecordedNotice

WordT = TypeVar("WordT", bound=StrEnum)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_ZSTD_LEVEL, _MAX_ZSTD_LEVEL = -(1 << 17), 22


def rfc3339(moment: datetime) -> str:
    """In UTC, whole seconds: texts compare as the moments do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe(
    source: Source,
    spec: Backup,
    asset: Asset,
    changed_bytes: Mapping[str, int],
    remarks: list[Remark],
    now: str,
    *,
    compression_level: int,
) -> PointDescription:
    """What the engine writes down with the data. ``now`` is RFC 3339, ``compression_level`` zstd's."""
    return PointDescription(
        asset={
            "id": asset.asset_id,
            "kind": AssetKind.VM.value,
            "name": asset.display_name,
            "pool": asset.pool_id,
            "pool_name": asset.pool_display_name,
        },
        method=source.method.value,
        consistency=source.consistency.value,
        snapshot_time=rfc3339(source.snapshot_time),
        commit_time=now,
        document={
            "devices": {disk.disk_id: disk.device for disk in source.disks},
            "kinds": {disk.disk_id: disk.kind.value for disk in source.disks if disk.kind != DiskKind.DATA},
            "changed_bytes": dict(changed_bytes),
            "compression_level": compression_level,
            "policy": spec.policy,
            "run": spec.run,
            **_group_words(source.group),
            **_beside(source),
        },
        notices=tuple(RecordedNotice(remark.code, remark.message) for remark in dict.fromkeys(remarks)),
    )


def read_point(repository_id: str, point: RestorePoint) -> Point:
    """The point as the rest of Xenkeep sees it.

    What a foreign writer left out, or says in words of its own, is empty, or the least that can be true.
    """
    document: Mapping[str, Any] = point.document if isinstance(point.document, dict) else {}
    devices = _mapping(document, "devices")
    changed = _mapping(document, "changed_bytes")
    kinds = _mapping(document, "kinds")
    disks = [
        PointDisk(
            disk_id=disk.disk_id,
            device=str(devices.get(disk.disk_id, "")),
            display_name=disk.label,
            size_bytes=disk.size_bytes,
            level=_word(Level, disk.level, Level.FULL),
            full_reason=_word(FullReason, disk.reason, FullReason.NONE),
            read_bytes=disk.statistics.get("read_bytes", 0),
            changed_bytes=_whole(changed.get(disk.disk_id)),
            tracking_ref=disk.tracking_ref,
            content_root=disk.root.hex() if disk.root else "",
            kind=_word(DiskKind, str(kinds.get(disk.disk_id, "")), DiskKind.DATA),
        )
        for disk in point.disks
    ]
    asset = point.asset
    streams = tuple(
        PointStream(name, ref.length)
        for name, ref in sorted(point.streams.items())
        if name != VM_CONFIGURATION
    )
    return Point(
        point_id=point.point_id,
        repository_id=repository_id,
        asset=Asset(
            asset.get("id", ""),
            asset.get("name", ""),
            asset.get("pool", ""),
            asset.get("pool_name", ""),
            _word(AssetKind, asset.get("kind", ""), AssetKind.VM),
        ),
        snapshot_time=_moment(point.snapshot_time),
        commit_time=_moment(point.commit_time),
        method=_word(Method, point.method, Method.NORMAL),
        level=_word(Level, point.level, Level.FULL),
        consistency=_word(Consistency, point.consistency, Consistency.UNKNOWN),
        base_point_id=point.base_point or "",
        disks=tuple(disks),
        read_bytes=sum(disk.read_bytes for disk in disks) + sum(each.size_bytes for each in streams),
        stored_bytes=point.statistics.get("stored_bytes", 0),
        notices=tuple(Remark(notice.code, notice.message) for notice in point.notices),
        policy=str(document.get("policy", "")),
        run=str(document.get("run", "")),
        group=_group(_mapping(document, "group")),
        missing_disks=tuple(map(_missing_disk, _mappings(document, "missing_disks"))),
        streams=streams,
        vm_snapshots=tuple(map(_vm_snapshot, _mappings(document, "vm_snapshots"))),
        compression_level=_zstd_level(document.get("compression_level")),
    )


def _group_words(group: GroupMoment | None) -> dict[str, Any]:
    if group is None:
        return {}
    return {"group": {"id": group.group_id, "vms": group.vm_count, "spread_ms": group.spread_ms}}


def _group(words: Mapping[str, Any]) -> GroupMoment | None:
    if not words.get("id"):
        return None
    return GroupMoment(str(words["id"]), _small(words.get("vms")), _small(words.get("spread_ms")))


def _beside(source: Source) -> dict[str, Any]:
    """What is missing, and what is described only; nothing where there is none."""
    missing = [asdict(disk) for disk in source.missing_disks]
    snapshots = [
        asdict(each) | {"snapshot_time": rfc3339(each.snapshot_time)} for each in source.vm_snapshots
    ]
    lists = {"missing_disks": missing, "vm_snapshots": snapshots}
    return {name: words for name, words in lists.items() if words}


def _missing_disk(words: Mapping[str, Any]) -> MissingDisk:
    return MissingDisk(*(str(words.get(key, "")) for key in ("disk_id", "device", "display_name", "message")))


def _vm_snapshot(words: Mapping[str, Any]) -> VmSnapshot:
    return VmSnapshot(
        snapshot_id=str(words.get("snapshot_id", "")),
        display_name=str(words.get("display_name", "")),
        description=str(words.get("description", "")),
        snapshot_time=_moment(str(words.get("snapshot_time", ""))),
        parent_id=str(words.get("parent_id", "")),
        with_memory=words.get("with_memory") is True,
        saved=words.get("saved") is True,
    )


def _mappings(document: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    listed = document.get(key)
    return (each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, dict))


def lasting_disks(point: RestorePoint) -> tuple[Disk, ...]:
    """Those the next point may have too: an image of the VM's memory is another one in every point."""
    document: Mapping[str, Any] = point.document if isinstance(point.document, dict) else {}
    kinds = _mapping(document, "kinds")
    lasting = (None, DiskKind.OWN_SNAPSHOT.value)
    return tuple(disk for disk in point.disks if kinds.get(disk.disk_id) in lasting)


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _word(kind: type[WordT], text: str, otherwise: WordT) -> WordT:
    return next((word for word in kind if word.value == text), otherwise)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return EPOCH
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _zstd_level(value: object) -> int | None:
    """None for what no level can be (ZSTD_minCLevel, ZSTD_maxCLevel)."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if _MIN_ZSTD_LEVEL <= value <= _MAX_ZSTD_LEVEL else None


def _whole(value: object) -> int:
    """A JSON number that fits the contract."""
    return value if isinstance(value, int) and 0 <= value < 1 << 63 else 0


def _small(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0
