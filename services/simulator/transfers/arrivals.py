"""What a host takes in of a VM that comes from another pool, beside its records and the bytes of its disks.

A real one gets memory and the relations of snapshots by protocols of its own (xapi: ocaml/xenopsd,
``SR.update_snapshot_info_dest``); here they are small documents, of use between simulated pools only.
"""

from contextlib import AbstractAsyncContextManager
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure, internal_error
from services.simulator.http.exchange import Exchange
from services.simulator.pool import attachments, domains, gpus, placement
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Guest, Pool
from services.simulator.transfers.access import Transfer, admitted
from services.simulator.wire.datetimes import DateTime

SNAPSHOTS, MEMORY, MESSAGES = "/services/SM", "/services/xenops", "/messages"
_LIMIT = 1024 * 1024
T = TypeVar("T")


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SnapshotTold(_Told):
    """A disk that is a snapshot, by references of the pool that takes it in."""

    vdi: str
    snapshot_of: str
    time: str


class GuestTold(_Told):
    """As ``Guest``."""

    tools: bool
    os_name: str
    vss: bool


class MemoryTold(_Told):
    """A VM that runs or is paused, and what runs in it, if that is known."""

    power_state: Literal["Running", "Paused"]
    guest: GuestTold | None


class MessageTold(_Told):
    """A message about the VM."""

    name: str
    priority: int
    time: str
    body: str


_MESSAGES = TypeAdapter(list[MessageTold])
_SNAPSHOTS = TypeAdapter(list[SnapshotTold])
_MEMORY = TypeAdapter(MemoryTold)


def snapshots_document(snapshots: list[Row], there: dict[str, str]) -> bytes:
    """Which disks are snapshots, of which others and when; ``there`` has the references of the other pool."""
    return _SNAPSHOTS.dump_json(
        [
            SnapshotTold(
                vdi=there[row.ref], snapshot_of=there[row["snapshot_of"]], time=str(row["snapshot_time"])
            )
            for row in snapshots
        ]
    )


def memory_document(pool: Pool, vm: Row) -> bytes:
    """What runs in a VM."""
    guest = pool.guests.get(vm["uuid"])
    about = None
    if guest is not None:
        about = GuestTold(tools=guest.tools, os_name=guest.os_name, vss=guest.vss)
    return _MEMORY.dump_json(MemoryTold(power_state=vm["power_state"], guest=about))


def messages_document(pool: Pool, vm_id: str) -> bytes:
    """What was told of a VM, the oldest first."""
    rows = [row for row in pool.db.rows("message") if row["obj_uuid"] == vm_id]
    return _MESSAGES.dump_json(
        [
            MessageTold(
                name=row["name"], priority=row["priority"], time=str(row["timestamp"]), body=row["body"]
            )
            for row in sorted(rows, key=lambda row: row.created)
        ]
    )


class Arrivals:
    """All need the session that ``host.migrate_receive`` gave, and a task that tells how it ended."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def snapshots(self, exchange: Exchange) -> None:
        """PUT /services/SM"""
        async with self._admitted(exchange, "put_services_sm", "update_snapshot_info") as transfer:
            for told in await _document(transfer, _SNAPSHOTS):
                snapshot, original = (self._pool.db.row("VDI", ref) for ref in (told.vdi, told.snapshot_of))
                about = {"snapshot_of": original.ref, "snapshot_time": DateTime(told.time)}
                self._pool.db.update("VDI", snapshot.ref, is_a_snapshot=True, **about)
            await exchange.reply(b"", "application/json")

    async def memory(self, exchange: Exchange) -> None:
        """PUT /services/xenops?vm=&host=: the VM runs here from now on. Raises what a start would."""
        async with self._admitted(exchange, "put_services_xenops", "VM.receive_memory") as transfer:
            told = await _document(transfer, _MEMORY)
            vm = self._pool.db.row("VM", transfer.query.get("vm", ""))
            host = self._pool.db.row("host", transfer.query.get("host", ""))
            await self._take_in(vm, host.ref, told)
            await exchange.reply(b"", "application/json")

    async def messages(self, exchange: Exchange) -> None:
        """PUT /messages?uuid=: what was told of a VM that is here now (xapi: xapi_message.ml ``handler``)."""
        async with self._admitted(exchange, "put_messages", "put_messages") as transfer:
            told = await _document(transfer, _MESSAGES)
            vm = self._pool.db.by_uuid("VM", transfer.query.get("uuid", ""))
            for each in told:
                about = {"name": each.name, "priority": each.priority, "body": each.body}
                about |= {"uuid": self._pool.ids.new(), "cls": "VM", "obj_uuid": vm["uuid"]}
                values = about | {"timestamp": DateTime(each.time)}
                self._pool.db.create("message", self._pool.new_ref(), values)
            await exchange.reply(b"", "application/json")

    async def _take_in(self, vm: Row, host: str, told: MemoryTold) -> None:
        pool, flags = self._pool, vm["last_boot_CPU_flags"]
        needed = vm["memory_static_max"] + placement.memory_overhead(vm)
        free = placement.free_memory(pool, host)
        if needed > free:
            raise XapiFailure("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(free))
        gpus.check(pool.db, host, vm)
        if told.guest is not None:
            pool.guests[vm["uuid"]] = Guest(**told.guest.model_dump())
        await attachments.attach_disks(pool, vm.ref)
        await domains.started(pool, vm.ref, host, told.power_state)
        pool.db.set("VM", vm.ref, "last_boot_CPU_flags", flags)

    def _admitted(self, exchange: Exchange, name: str, label: str) -> AbstractAsyncContextManager[Transfer]:
        return admitted(self._pool, self._host, exchange, name, label)


async def _document(transfer: Transfer, form: TypeAdapter[T]) -> T:
    body = await transfer.exchange.read_body(_LIMIT)
    try:
        return form.validate_json(body)
    except ValidationError as error:
        raise internal_error(f"not what a migration sends: {error.error_count()} errors") from error
