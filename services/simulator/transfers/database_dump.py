"""GET /pool/xmldbdump: the whole database as XML (xapi: ocaml/database/db_xml.ml). It holds secrets."""

from collections.abc import Iterator
from xml.sax.saxutils import quoteattr

from services.simulator.database.database import Database
from services.simulator.database.stored import database_name, stored_text
from services.simulator.failure import XapiFailure
from services.simulator.http.exchange import Exchange
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool
from services.simulator.transfers.access import admitted
from services.simulator.transfers.stream import PIECE, send

NOT_DUMPED = frozenset({"session", "task", "message", "event"})
"""They do not outlive the toolstack, or are kept elsewhere."""


class DatabaseDump:
    """For pool administrators: what a backup of the pool's own configuration holds."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def handle(self, exchange: Exchange) -> None:
        name, label = "get_pool_xml_db_sync", "Database dump"
        async with admitted(self._pool, self._host, exchange, name, label) as transfer:
            if self._host is not self._pool.coordinator:
                raise XapiFailure("HOST_IS_SLAVE", self._pool.coordinator.address)
            dump = "".join(_dump(self._pool.db)).encode()
            await exchange.begin([("Connection", "close"), ("Cache-Control", "no-cache, no-store")])
            for start in range(0, len(dump), PIECE):
                await send(transfer, dump[start : start + PIECE])


def _dump(db: Database) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<database><manifest>'
    pairs = {
        "schema_major_vsn": db.model.schema[0],
        "schema_minor_vsn": db.model.schema[1],
        "generation_count": db.generation,
    }
    for key, value in pairs.items():
        yield f'<pair key="{key}" value="{value}"/>'
    yield "</manifest>"
    for cls, table in sorted(db.tables.items()):
        if cls in NOT_DUMPED:
            continue
        yield f'<table name="{cls}">'
        for row in table:
            fields = {"__ctime": str(row.created), "__mtime": str(row.modified), "_ref": row.ref}
            fields |= {database_name(name): stored_text(value) for name, value in row.items()}
            attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in sorted(fields.items()))
            yield f'<row ref="{row.ref}" {attributes}/>'
        yield "</table>"
    yield "</database>"
