"""A pool's database and its hosts' files over HTTP (xapi: ocaml/xapi/pool_db_backup.ml, xapi_host_backup.ml).

Neither says how long it is, and a cut looks like an end: complete is what the task says is.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from urllib.parse import urlencode

from services.chassis.clock import Clock
from services.chassis.errors import InvalidInput, NotFound
from services.hypervisor.adapters import xapi_tasks
from services.hypervisor.adapters.pinned_https import (
    ConnectFailed,
    ConnectionLost,
    PinnedHttps,
    WrongCertificate,
)
from services.hypervisor.adapters.xapi_description import describe
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_http import XapiHttp
from services.hypervisor.adapters.xapi_link_errors import unreachable
from services.hypervisor.adapters.xapi_objects import XapiObjects
from services.hypervisor.adapters.xapi_readers import XapiReaders
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession

MAX_DUMP_BYTES = 1 << 30
_DATABASE = "/pool/xmldbdump"
_TIMEOUT_S = 120.0
_REFUSALS = frozenset(
    {
        "RESTORE_INCOMPATIBLE_VERSION",
        "RESTORE_TARGET_MISSING_DEVICE",
        "RESTORE_TARGET_MGMT_IF_NOT_IN_BACKUP",
        "RESTORE_SCRIPT_FAILED",
        "INTERNAL_ERROR",
    }
)


class XapiPoolMetadata:
    """``ports.metadata.PoolMetadata`` on one session."""

    def __init__(
        self, session: XapiSession, objects: XapiObjects, readers: XapiReaders, http: XapiHttp, clock: Clock
    ) -> None:
        self._session = session
        self._objects = objects
        self._readers = readers
        self._http = http
        self._clock = clock

    async def hosts(self) -> tuple[tuple[str, str], ...]:
        """See ports.metadata."""
        with translating("listing the hosts"):
            live = await self._readers.live_hosts()
            names = [
                (uuid, await self._session.call("host.get_name_label", ref)) for ref, uuid in live.items()
            ]
        return tuple(sorted(names, key=lambda each: (each[1], each[0])))

    async def description(self) -> bytes:
        """See ports.metadata."""
        return await describe(self._session)

    async def database(self) -> AsyncIterator[bytes]:
        """See ports.metadata."""
        link = await self._session.link()
        with translating("reading the pool's database"):
            async with aclosing(self._read(link.https, _DATABASE, "the database")) as pieces:
                async for piece in pieces:
                    yield piece

    async def host_files(self, host_id: str) -> AsyncIterator[bytes]:
        """See ports.metadata. A host gives its own files only."""
        with translating(f"reading the files of host {host_id}"):
            ref = await self._objects.ref("host", host_id)
            if ref is None:
                raise NotFound(
                    f"Pool {self._session.pool} has no host {host_id}.",
                    reason="HOST_UNKNOWN",
                    hint="List the pool's parts again; hosts come and go.",
                )
            https = self._session.member(await self._session.call("host.get_address", ref))
            async with aclosing(self._read(https, "/host_backup", f"host {host_id}")) as pieces:
                async for piece in pieces:
                    yield piece

    async def check_database(self, size_bytes: int, dump: AsyncIterator[bytes]) -> str:
        """See ports.metadata."""
        if not 0 < size_bytes <= MAX_DUMP_BYTES:
            raise InvalidInput(
                f"A database dump cannot have {size_bytes} bytes.",
                reason="DUMP_SIZE_INVALID",
                hint="Give the file that was exported from a restore point.",
            )
        with translating("asking the pool whether it would take a dump back"):
            try:
                await self._http.put(
                    _DATABASE, {"dry_run": "true"}, dump, "Xenkeep checks a database dump", size_bytes
                )
            except XapiFailure as failure:
                if failure.code not in _REFUSALS:
                    raise
                return failure.words
        return ""

    async def _read(self, https: PinnedHttps, path: str, what: str) -> AsyncGenerator[bytes, None]:
        task = await xapi_tasks.create(self._session, f"Xenkeep reads {what}")
        link = await self._session.link()
        target = f"{path}?{urlencode({'session_id': link.ref, 'task_id': task})}"
        try:
            async with https.beginning(target, _TIMEOUT_S) as body:
                async for piece in body.rest():
                    yield piece
            await self._clock.wait(xapi_tasks.finished(self._session, task), _TIMEOUT_S)
        except (ConnectFailed, ConnectionLost, WrongCertificate) as error:
            await self._raise_failure(task)
            raise unreachable(self._session.pool, str(error)) from error
        except (TimeoutError, xapi_tasks.TaskVanished) as error:
            raise unreachable(self._session.pool, f"it did not say that {what} was complete") from error
        finally:
            await xapi_tasks.discard(self._session, task)

    async def _raise_failure(self, task: str) -> None:
        """What the task says went wrong, which tells more than a broken connection."""
        try:
            await xapi_tasks.state(self._session, task)
        except xapi_tasks.TaskVanished:
            return
