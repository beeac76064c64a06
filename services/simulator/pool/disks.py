"""Records of disks, kept in step with what their SR holds."""

import asyncio
from typing import Any

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.pool import allowed_operations, image_formats
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.storage.ports import Node

COALESCING_PAUSE_S = 0.5
"""Between a change and the storage manager's garbage collector."""


class Disks:
    """One SR's records. Changes to an SR are followed by ``follow``, which is safe to call at any time."""

    def __init__(self, pool: Pool, sr: str) -> None:
        self._pool = pool
        self._sr = sr
        self._following = asyncio.Lock()
        self._coalescing = False
        self._stalled = False

    async def follow(self, *, adopt: bool = False) -> None:
        """Sizes and parents as they are, hidden parents as unmanaged VDIs, the SR's space.

        ``adopt``: also records for disks that have none, and none for disks that are gone; and the formats of
        images that do not tell theirs (xcp-ng/sm: drivers/SR.py, ScanRecord).
        """
        repository = self._pool.repository(self._sr)
        async with self._following:
            nodes = {node.uuid: node for node in await disk_work(repository.nodes)}
            usage = await disk_work(repository.usage)
            self._follow_nodes(nodes, adopt)
            self._pool.db.update(
                "SR",
                self._sr,
                physical_size=usage.physical_size,
                physical_utilisation=usage.physical_utilisation,
                virtual_allocation=usage.virtual_allocation,
            )

    def coalesce_soon(self) -> None:
        """Let the storage manager merge what it can, in the background."""
        if not self._coalescing and not self._stalled:
            self._coalescing = True
            self._pool.background(self._coalesce())

    def stall(self, stalled: bool) -> None:
        """Chains are not merged any more, or again: a storage manager whose garbage collector hangs."""
        self._stalled = stalled
        self.coalesce_soon()

    def _follow_nodes(self, nodes: dict[str, Node], adopt: bool) -> None:
        db = self._pool.db
        known: dict[str, Row] = {row["uuid"]: row for row in map(self._vdi, db.row("SR", self._sr)["VDIs"])}
        for uuid, row in known.items():
            if uuid not in nodes and (adopt or not row["managed"]):
                db.delete("VDI", row.ref)
        for uuid, node in nodes.items():
            if uuid not in known:
                if node.hidden:
                    self._add_hidden(node)
                elif adopt:
                    type_ = "cbt_metadata" if node.metadata_only else "user"
                    add_vdi(self._pool, self._sr, node, type=type_, sm_config=self._format(node))
            else:
                sm_config = (
                    self._format(node) | known[uuid]["sm_config"] if adopt else known[uuid]["sm_config"]
                )
                db.update("VDI", known[uuid].ref, **_facts(node, sm_config))

    def _format(self, node: Node) -> dict[str, str]:
        return {} if node.metadata_only else image_formats.told(self._pool, self._sr, node.image_format)

    def _vdi(self, ref: str) -> Row:
        return self._pool.db.row("VDI", ref)

    def _add_hidden(self, node: Node) -> None:
        self._pool.create(
            "VDI",
            uuid=node.uuid,
            name_label="base copy",
            SR=self._sr,
            type="user",
            location=node.uuid,
            managed=False,
            on_boot="persist",
            **_facts(node, {}),
        )

    async def _coalesce(self) -> None:
        try:
            await self._pool.clock.sleep(COALESCING_PAUSE_S)
            try:
                repository = self._pool.repository(self._sr)
            except XapiFailure:
                return  # no host has the SR attached, so none cleans it up
            try:
                while not self._stalled and await disk_work(repository.coalesce_step):
                    pass
            except XapiFailure as failure:
                self._tell_of(failure)
            await self.follow()
        finally:
            self._coalescing = False

    def _tell_of(self, failure: XapiFailure) -> None:
        """Chains stay as they are until the next try (sm: libs/sm/core/cleanup.py, SM_GC_NO_SPACE)."""
        sr = self._pool.db.row("SR", self._sr)
        body = f"Unable to perform data coalesce in SR {sr['name_label']}: {failure}"
        self._pool.messages.create("SM_GC_NO_SPACE", "SR", sr["uuid"], body, 3)


def _facts(node: Node, sm_config: dict[str, str]) -> dict[str, Any]:
    others = {key: value for key, value in sm_config.items() if key != "vhd-parent"}
    return {
        "virtual_size": node.virtual_size,
        "physical_utilisation": node.physical_utilisation,
        "cbt_enabled": node.cbt_enabled,
        "sm_config": {**others, "vhd-parent": node.parent} if node.parent else others,
    }


def add_vdi(pool: Pool, sr: str, node: Node, **values: Any) -> str:
    """A record for a disk that a client may use; the reference."""
    ref = pool.create(
        "VDI",
        **{
            "uuid": node.uuid,
            "SR": sr,
            "location": node.uuid,
            "managed": True,
            "on_boot": "persist",
            **values,
            **_facts(node, values.get("sm_config", {})),
        },
    )
    allowed_operations.refresh(pool.db, "VDI", ref)
    return ref
