"""Blocking migrations of a VM (see ports.care.Migrations; xapi: VM.blocked_operations).

``VDI.pool_migrate`` of a VM's disk is a ``migrate_send`` of the VM (xapi: ocaml/xapi/xapi_vdi.ml), so
two entries block every way. The text of an entry, which whoever is refused gets to read, says whose it is.
"""

import re

from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.care import Moves

_OF_DISKS = "migrate_send"
_OPERATIONS = {Moves.ANY: ("pool_migrate", _OF_DISKS), Moves.OF_DISKS: (_OF_DISKS,)}
_TEXT = "Xenkeep is backing this VM up; it takes this block off by itself (source {}, installation {})."
_OURS = re.compile(re.escape(_TEXT).replace(r"\{\}", "([0-9a-f-]+)"))


class XapiMigrations:
    """Blocks on one session."""

    def __init__(self, session: XapiSession, objects: XapiObjects, installation: str) -> None:
        self._session = session
        self._objects = objects
        self._installation = installation

    async def block_migrations(self, vm_id: str, source_id: str, moves: Moves) -> None:
        """See ports.care.Migrations."""
        with translating(f"blocking migrations of VM {vm_id}"):
            ref = await self._objects.ref("VM", vm_id)
            vm = await self._objects.fields("VM", ref, ["blocked_operations"]) if ref else None
            if ref is None or vm is None:
                return
            free = [each for each in _OPERATIONS[moves] if each not in vm["blocked_operations"]]
            for operation in free:
                await self._add(ref, operation, _TEXT.format(source_id, self._installation))
            if free:
                await self._objects.renew_allowed_operations(ref)

    async def is_off(self, vm_id: str) -> bool:
        """See ports.care.Migrations."""
        with translating(f"asking whether VM {vm_id} is off"):
            ref = await self._objects.ref("VM", vm_id)
            vm = await self._objects.fields("VM", ref, ["power_state"]) if ref else None
        return vm is not None and vm["power_state"] == "Halted"

    async def allow_migrations(self, vm_id: str, source_id: str) -> None:
        """See ports.care.Migrations."""
        with translating(f"allowing migrations of VM {vm_id} again"):
            ref = await self._objects.ref("VM", vm_id)
            vm = await self._objects.record("VM", ref) if ref else None
            if ref is None or vm is None:
                return
            mine = [
                name for name, text in vm["blocked_operations"].items() if self._source(text) == source_id
            ]
            for operation in mine:
                await self._session.call("VM.remove_from_blocked_operations", ref, operation)
            if mine:
                await self._objects.renew_allowed_operations(ref)

    async def moves_disks(self, vm_id: str) -> bool:
        """See ports.care.Migrations."""
        with translating(f"asking whether VM {vm_id} is being migrated"):
            ref = await self._objects.ref("VM", vm_id)
            vm = await self._objects.fields("VM", ref, ["current_operations"]) if ref else None
        return vm is not None and _OF_DISKS in vm["current_operations"].values()

    async def migration_blocks(self) -> frozenset[tuple[str, str]]:
        """See ports.care.Migrations."""
        with translating("looking for blocked migrations"):
            vms = await self._objects.where("VM", 'field "is_a_snapshot"="false"')
        return frozenset(
            (str(vm["uuid"]), source_id)
            for vm in vms.values()
            for text in vm["blocked_operations"].values()
            if (source_id := self._source(text))
        )

    async def _add(self, ref: str, operation: str, text: str) -> None:
        try:
            await self._session.call("VM.add_to_blocked_operations", ref, operation, text)
        except XapiFailure as failure:
            if failure.code != "MAP_DUPLICATE_KEY":  # an answer that was lost, or somebody was faster
                raise

    def _source(self, text: str) -> str:
        match = _OURS.fullmatch(text)
        return match[1] if match and match[2] == self._installation else ""


def is_migrating(vm: Record) -> bool:
    """Whether a VM, or a disk of it, is on the move, as its record says."""
    return not set(_OPERATIONS[Moves.ANY]).isdisjoint(vm["current_operations"].values())
