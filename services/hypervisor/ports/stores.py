"""What survives a restart. Each method is one transaction; events it is given are published with it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from services.chassis.config import Secret
from services.hypervisor.domain.care import Hindered
from services.hypervisor.domain.events import PoolEvent
from services.hypervisor.domain.group import Group
from services.hypervisor.domain.intervention import Intervention
from services.hypervisor.domain.pool import Picture, Pool
from services.hypervisor.domain.reconcile import Changes
from services.hypervisor.domain.source import Source
from services.hypervisor.domain.target import Target


class PoolStore(Protocol):
    """The pools that were added, and what was last known of their VMs."""

    async def save(self, pool: Pool, password: Secret, events: Sequence[PoolEvent] = ()) -> None:
        """Adds the pool or replaces what is kept of it; the password is sealed."""
        ...

    async def update(
        self, pool: Pool, events: Sequence[PoolEvent] = (), changes: Changes | None = None
    ) -> None:
        """Replaces what is kept of the pool (not the password) and applies ``changes`` to its VMs; does
        nothing when the pool has been removed meanwhile."""
        ...

    async def remove(self, pool: Pool, events: Sequence[PoolEvent] = ()) -> None: ...

    async def all(self) -> tuple[Pool, ...]: ...

    async def password(self, pool_id: str) -> Secret:
        """Raises DataLoss SECRET_UNREADABLE when the key file is not the one it was sealed with."""
        ...

    async def picture(self, pool: Pool) -> Picture:
        """What was last known of the pool."""
        ...


class HinderedStore(Protocol):
    """VMs whose snapshot was refused. A pool that is removed takes its own along."""

    async def of(self, pool_id: str) -> tuple[Hindered, ...]:
        """All of the pool, by VM."""
        ...

    async def note(self, pool: Pool, hindered: Hindered, events: Sequence[PoolEvent]) -> None:
        """Stores it; publishes the events if nothing was known of the VM."""
        ...

    async def forget(self, pool: Pool, vm_id: str, events: Sequence[PoolEvent] = ()) -> None:
        """Publishes the events if there was something to forget."""
        ...


class SourceStore(Protocol):
    """Backup sources, and what would be costly or impossible to ask the pool again."""

    async def add(self, source: Source) -> Source:
        """Stores it unless there is one of that id; returns what is stored."""
        ...

    async def save(self, source: Source) -> None: ...

    async def open(self, source: Source, configuration: bytes, bitmaps: dict[str, bytes]) -> None:
        """Stores it with the VM's configuration (sealed) and bitmaps by disk, if it is OPENING still; raises
        Aborted SOURCE_CLOSED when it was closed meanwhile."""
        ...

    async def note_share(self, source_id: str, share: tuple[tuple[str, int], ...], now: datetime) -> None:
        """Notes what an OPEN source may use of each host from now on; nothing happens to any other."""
        ...

    async def revise(self, source_id: str, revised: Callable[[Source], Source]) -> Source:
        """Stores what ``revised`` makes of a source that is not CLOSED; what is stored then. Raises NotFound
        SOURCE_NOT_OPEN."""
        ...

    async def close(self, source: Source) -> None:
        """Stores it and drops configuration and bitmaps."""
        ...

    async def get(self, source_id: str) -> Source | None: ...

    async def unfinished(self, pool_id: str) -> tuple[Source, ...]:
        """All of the pool that are not CLOSED."""
        ...

    async def configuration(self, source_id: str) -> bytes: ...

    async def bitmap(self, source_id: str, disk_id: str) -> bytes: ...


class GroupStore(Protocol):
    """VMs captured at one moment."""

    async def add(self, group: Group) -> Group:
        """Stores it unless there is one of that id; returns what is stored."""
        ...

    async def save(self, group: Group) -> None: ...

    async def get(self, group_id: str) -> Group | None: ...


class InterventionStore(Protocol):
    """What was done to VMs for their snapshots; hooks are secrets and sealed."""

    async def save(self, intervention: Intervention) -> None: ...

    async def get(self, source_id: str) -> Intervention | None:
        """Raises DataLoss SECRET_UNREADABLE when the key file is not the one it was sealed with."""
        ...

    async def forget(self, source_id: str) -> None: ...


class TargetStore(Protocol):
    """Restore targets."""

    async def add(self, target: Target, configuration: bytes) -> Target:
        """Stores it, the configuration sealed, unless there is one of that id; returns what is stored."""
        ...

    async def save(self, target: Target) -> None:
        """Stores it; drops the configuration when it is COMMITTED or ABORTED."""
        ...

    async def get(self, target_id: str) -> Target | None: ...

    async def unfinished(self, pool_id: str) -> tuple[Target, ...]:
        """All of the pool that are neither COMMITTED nor ABORTED."""
        ...

    async def configuration(self, target_id: str) -> bytes: ...
