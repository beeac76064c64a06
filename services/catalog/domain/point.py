"""Restore points and what they protect."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from services.catalog.domain.health import Health

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Of a point that cannot be read: older than all others."""


@dataclass(frozen=True, slots=True)
class Asset:
    """What is protected: ``asset_id`` stays over renames, the names are those of one moment."""

    asset_id: str
    display_name: str
    pool_id: str
    pool_display_name: str


@dataclass(frozen=True, slots=True)
class Point:
    """What a point says of itself. ``document`` is all of it, as it was written at its commit."""

    point_id: str
    repository_id: str
    asset: Asset
    snapshot_time: datetime
    document: bytes

    @property
    def readable(self) -> bool:
        """Whether more is known than its ids: it, or somebody who had read it, told what it protects."""
        return bool(self.asset.asset_id)


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """A point as the catalog knows it."""

    point: Point
    repository_display_name: str
    health: Health = field(default_factory=Health)


@dataclass(frozen=True, slots=True)
class ProtectedAsset:
    """An asset under its newest name."""

    asset: Asset
    point_count: int
    newest_snapshot_time: datetime


@dataclass(frozen=True, slots=True)
class Filter:
    """Which restore points: ``asset`` by UUID or any name it had, ``repository`` by UUID or name."""

    asset: str = ""
    repository: str = ""
