"""The hypervisor service may be started again at any moment: its verbs are repeated until it answers."""

from collections.abc import AsyncIterator, Sequence

from services.mover.adapters.patience import Patience
from services.mover.domain import Extent
from services.mover.domain.capture import FullReason, Method, Remark
from services.mover.domain.placement import Placement
from services.mover.domain.source import Base, Source, Target
from services.mover.ports.neighbours import Hypervisor


class PatientHypervisor:
    """``ports.neighbours.Hypervisor`` around another one. Every verb of the port may be repeated.

    Raises Unavailable when there is no answer for as long as ``patience`` has it, of a review at once.
    """

    def __init__(self, hypervisor: Hypervisor, patience: Patience) -> None:
        self._hypervisor = hypervisor
        self._patience = patience

    async def open_source(
        self,
        source_id: str,
        vm: str,
        method: Method,
        bases: Sequence[Base],
        reason: FullReason,
        options: bytes = b"",
        group: bytes = b"",
        lineage: str = "",
    ) -> Source:
        return await self._patience.until_answered(
            lambda: self._hypervisor.open_source(
                source_id, vm, method, bases, reason, options, group, lineage
            )
        )

    async def extents(self, source: str, disk_id: str) -> AsyncIterator[Extent]:
        async def all_of_them() -> list[Extent]:
            return [extent async for extent in self._hypervisor.extents(source, disk_id)]

        for extent in await self._patience.until_answered(all_of_them):
            yield extent

    async def review_source(self, source: str) -> Sequence[Remark]:
        """Asked once: a restore point of which every byte is there does not wait to be committed."""
        return await self._hypervisor.review_source(source)

    async def close_source(self, source: str, *, committed: bool) -> Sequence[Remark]:
        return await self._patience.until_answered(
            lambda: self._hypervisor.close_source(source, committed=committed)
        )

    async def prepare_target(
        self,
        target_id: str,
        placement: Placement,
        vm_configuration: bytes,
        disks: Sequence[tuple[str, int, str]],
    ) -> Target:
        return await self._patience.until_answered(
            lambda: self._hypervisor.prepare_target(target_id, placement, vm_configuration, disks)
        )

    async def commit_target(self, target: str) -> Target:
        return await self._patience.until_answered(lambda: self._hypervisor.commit_target(target))

    async def abort_target(self, target: str) -> None:
        await self._patience.until_answered(lambda: self._hypervisor.abort_target(target))
