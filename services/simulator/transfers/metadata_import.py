"""PUT /import_metadata (xapi: ocaml/xapi/import.ml ``metadata_handler``)."""

import asyncio

from services.simulator.failure import internal_error
from services.simulator.http.exchange import Exchange
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool
from services.simulator.transfers import ova, tar
from services.simulator.transfers.access import Transfer, admitted
from services.simulator.transfers.restore import Restore, Wishes
from services.simulator.transfers.restored_disks import ExistingDisks

LIMIT = 64 * 1024 * 1024
"""Bytes of ``ova.xml`` that are taken in; more is a mistake or an attack."""


class MetadataImport:
    """VMs from ``ova.xml``, on disks by the map ``vdi:<old uuid>=<new uuid>`` or by location."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        name = "put_import_metadata"
        async with admitted(self._pool, self._host, exchange, name, "Import of VM metadata") as transfer:
            await exchange.begin(
                [
                    ("Connection", "close"),
                    ("Cache-Control", "no-cache, no-store"),
                    ("task-id", transfer.task),
                    ("content-type", "application/octet-stream"),
                ]
            )
            objects = ova.read(await _read_ova(transfer), self._pool.model.version)
            unmade = transfer.asks("live") and transfer.asks("dry_run")  # the disks have yet to come
            disks = ExistingDisks(self._pool, _map(transfer), force=transfer.asks("force") or unmade)
            restore = Restore(self._pool, objects, disks, wishes(transfer))
            restore.check()
            transfer.result = [] if transfer.asks("dry_run") else restore.apply()


def wishes(transfer: Transfer) -> Wishes:
    """What the query asks of a restore."""
    return Wishes(transfer.asks("restore"), transfer.asks("force"), transfer.task)


def _map(transfer: Transfer) -> dict[str, str]:
    return {name[4:]: value for name, value in transfer.query.items() if name.startswith("vdi:")}


async def _read_ova(transfer: Transfer) -> bytes:
    """The first member; what follows it in a whole XVA is not read. Raises ``INTERNAL_ERROR`` End_of_file."""
    reader = transfer.exchange.reader
    try:
        member = tar.parse_header(await reader.readexactly(tar.BLOCK))
        if member is None or member.name != "ova.xml" or member.size > LIMIT:
            raise internal_error("End_of_file")
        return await reader.readexactly(member.size)
    except (tar.BadTar, asyncio.IncompleteReadError):
        raise internal_error("End_of_file") from None
