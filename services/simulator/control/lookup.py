"""What a command names, found in the pool, or an answer that says what there is."""

from __future__ import annotations

import asyncio

import grpc

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool
from services.simulator.storage.errors import StorageError
from services.simulator.storage.ports import Disk

Context = grpc.aio.ServicerContext[object, object]


async def named_host(pool: Pool, context: Context, name: str) -> Host:
    """By uuid or name; aborts with NOT_FOUND."""
    try:
        return pool.host_named(name)
    except KeyError:
        known = ", ".join(host.name for host in pool.hosts.values())
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no host {name}; there are {known}")


async def named(pool: Pool, context: Context, cls: str, name: str) -> Row:
    """By uuid or by a name that only one has; aborts with NOT_FOUND."""
    try:
        return pool.named(cls, name)
    except KeyError:
        known = ", ".join(row["name_label"] for row in pool.db.rows(cls) if not row.get("is_a_snapshot"))
        await context.abort(grpc.StatusCode.NOT_FOUND, f"{name} is not one {cls}; there are {known}")


async def disk_record(pool: Pool, context: Context, uuid: str) -> Row:
    """A disk's record; aborts with NOT_FOUND."""
    try:
        return pool.db.by_uuid("VDI", uuid)
    except XapiFailure as error:
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no disk {uuid}: {error}")


async def open_disk(pool: Pool, context: Context, uuid: str) -> Disk:
    """A disk's contents; aborts with NOT_FOUND."""
    vdi = await disk_record(pool, context, uuid)
    try:
        return await asyncio.to_thread(pool.repositories[vdi["SR"]].disk, uuid)
    except StorageError as error:
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no disk {uuid} to open: {error}")
