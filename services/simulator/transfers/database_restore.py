"""PUT /pool/xmldbdump: a pool's database from a dump (xapi: ocaml/xapi/pool_db_backup.ml).

Of the hosts only the coordinator comes back: it is this machine now. The database changes when the host boots
again, which follows at once.
"""

import asyncio
from typing import Any
from xml.etree import ElementTree

from services.simulator.database.stored import database_name, parse_stored
from services.simulator.failure import XapiFailure, internal_error
from services.simulator.http.exchange import Exchange
from services.simulator.model.schema import Model
from services.simulator.pool.database_image import DatabaseImage
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool
from services.simulator.transfers.access import Transfer, admitted
from services.simulator.transfers.database_dump import NOT_DUMPED
from services.simulator.transfers.stream import received

LIMIT = 256 * 1024 * 1024
"""Bytes of a dump; more is a mistake or an attack."""


class DatabaseRestore:
    """For pool administrators. ``dry_run`` only checks that the dump fits this machine."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        name, label = "put_pool_xml_db_sync", "Restore database backup"
        async with admitted(self._pool, self._host, exchange, name, label) as transfer:
            if exchange.head.content_length is None:
                await exchange.bare_status(400)
                return
            await exchange.begin([("Connection", "close"), ("Cache-Control", "no-cache, no-store")])
            image = await asyncio.to_thread(_read, self._pool.model, await _body(transfer))
            image.check(self._pool, self._host)
            if not transfer.asks("dry_run"):
                self._pool.background(self._pool.failures.restore_database(self._host, image))


async def _body(transfer: Transfer) -> bytes:
    length = transfer.exchange.head.content_length or 0
    if length > LIMIT:
        raise internal_error(f"a dump of {length} bytes is too large")
    return b"".join([piece async for piece in received(transfer, length)])


def _read(model: Model, text: bytes) -> DatabaseImage:
    """Raises ``INTERNAL_ERROR`` for what is no dump, ``RESTORE_INCOMPATIBLE_VERSION`` for that of another
    schema.
    """
    if not text:
        raise internal_error('Xmlm.Error(1:1, "unexpected end of input")')
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - expat bounds entities
    except ElementTree.ParseError as error:
        line, column = error.position
        raise internal_error(f'Xmlm.Error({line}:{column + 1}, "malformed character stream")') from error
    if root.tag != "database":
        raise internal_error(f'Db_xml.Unmarshall_error("Unexpected tag: {root.tag}")')
    manifest = {pair.get("key"): pair.get("value") for pair in root.iterfind("manifest/pair")}
    schema = [manifest.get("schema_major_vsn"), manifest.get("schema_minor_vsn")]
    if schema != [str(number) for number in model.schema]:
        raise XapiFailure("RESTORE_INCOMPATIBLE_VERSION")
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for table in root.iterfind("table"):
        cls = table.get("name", "")
        if cls in model.classes and cls not in NOT_DUMPED:
            rows[cls] = {row.get("ref", ""): _row(model, cls, row) for row in table.iterfind("row")}
    return DatabaseImage(rows)


def _row(model: Model, cls: str, row: ElementTree.Element) -> dict[str, Any]:
    """Fields that this release knows."""
    names = {database_name(name): field for name, field in model.classes[cls].fields.items()}
    try:
        return {
            names[key].name: parse_stored(names[key].type, value)
            for key, value in row.attrib.items()
            if key in names
        }
    except ValueError as error:
        raise internal_error(f'Db_xml.Unmarshall_error("{cls}: {error}")') from error
