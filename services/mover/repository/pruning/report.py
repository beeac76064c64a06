"""What a prune is asked for, and what came of it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

WEEK_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class PruneOptions:
    """``grace_seconds``: how long deleted points stay in the trash.

    Packs of which less than ``repack_below`` is needed are stored again, and with ``merge`` small ones, many
    into one; at most ``repack_bytes`` in a prune; packs of epochs up to ``retire_through`` are, however full
    they are. A writer that does not move for ``patience_seconds`` while it is watched is taken for dead; 0
    does not watch. ``workers`` read maps, or delete packs, at once.
    """

    dry_run: bool = False
    grace_seconds: float = WEEK_SECONDS
    repack_below: float = 0.5
    repack_bytes: int = 16 << 30
    retire_through: int = 0
    merge: bool = True
    patience_seconds: float = 900.0
    workers: int = 4


@dataclass(slots=True)
class PruneReport:
    """Sizes in bytes. Of a dry run it says what would be done.

    ``stored_bytes`` were written anew to empty or merge ``repacked_packs``, which count as deleted too.
    ``kept_packs`` were planned and turned out to be needed. ``waiting_points`` are being made by writers
    that may rely on ``waiting_packs``: another prune deletes those. ``revoked_points`` were being made by
    dead writers. ``locked_packs`` would be deleted or repacked, and nobody may: the last of them until
    ``locked_until``.
    """

    deleted_packs: int = 0
    deleted_bytes: int = 0
    repacked_packs: int = 0
    stored_bytes: int = 0
    kept_packs: int = 0
    waiting_packs: int = 0
    waiting_points: tuple[str, ...] = ()
    revoked_points: tuple[str, ...] = ()
    purged_points: tuple[str, ...] = ()
    locked_packs: int = 0
    locked_bytes: int = 0
    locked_until: datetime | None = None
    retired_epochs: tuple[int, ...] = ()
    old_epoch_packs: int = 0
    """Packs that are still sealed with keys to be retired: another prune goes on."""
    notices: list[tuple[str, str]] = field(default_factory=list)

    def keep_locked(self, size: int, until: datetime) -> None:
        self.locked_packs += 1
        self.locked_bytes += size
        self.locked_until = max(until, self.locked_until or until)


class PruneListener(Protocol):
    """Hears what a prune is doing, and of how many planned bytes so many are deleted; must return quickly."""

    def __call__(self, activity: str, total: int, done: int, /) -> None: ...
