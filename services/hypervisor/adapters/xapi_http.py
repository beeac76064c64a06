"""The pool's HTTP handlers for metadata (xapi: ocaml/xapi/xapi_http.ml, export.ml, import.ml).

The session goes as a query parameter: addresses here are secrets and never part of an error. An answer's
status is not the outcome: only the task is.
"""

from collections.abc import AsyncIterator
from urllib.parse import urlencode

from services.chassis.clock import Clock
from services.hypervisor.adapters import xapi_tasks
from services.hypervisor.adapters.pinned_https import ConnectFailed, ConnectionLost, WrongCertificate
from services.hypervisor.adapters.xapi_link_errors import outcome_unknown, unreachable
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession

TIMEOUT_S = 300.0
_AFTER_BREAK_S = 30.0
_TRIES = 3


class XapiHttp:
    """GET and PUT at the coordinator, each with a task of ours."""

    def __init__(self, session: XapiSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock

    async def get(self, path: str, query: dict[str, str], label: str) -> bytes:
        """The whole body, complete by its length and by its task. Raises XapiFailure, Unavailable."""
        last = ""
        for _ in range(_TRIES):
            task = await xapi_tasks.create(self._session, label)
            link = await self._session.link()
            target = f"{path}?{urlencode({**query, 'session_id': link.ref, 'task_id': task})}"
            try:
                response = await link.https.request("GET", target, {}, b"", TIMEOUT_S)
                if response.status == 200 and "content-length" in response.headers:
                    await xapi_tasks.finished(self._session, task)
                    return response.body
                await self._raise_failure(task)
                if response.status != 401:
                    raise XapiFailure("HTTP_STATUS", [str(response.status), path])
                last = f"HTTP status 401 for {path}"
                self._session.forget(link)
            except (ConnectFailed, ConnectionLost, WrongCertificate) as error:
                last = str(error)
            except xapi_tasks.TaskVanished:
                last = f"the task of {path} vanished"
            finally:
                await xapi_tasks.discard(self._session, task)
        raise unreachable(self._session.pool, last)

    async def put(
        self,
        path: str,
        query: dict[str, str],
        body: bytes | AsyncIterator[bytes],
        label: str,
        size_bytes: int = 0,
    ) -> list[str]:
        """The values of the task's result. Not repeated once it may have been executed. A body that is
        iterated has ``size_bytes``.

        Raises XapiFailure when the pool refused it, Unavailable POOL_OUTCOME_UNKNOWN when nobody knows.
        """
        task = await xapi_tasks.create(self._session, label)
        link = await self._session.link()
        target = f"{path}?{urlencode({**query, 'session_id': link.ref, 'task_id': task})}"
        try:
            patience = TIMEOUT_S
            try:
                headers = {} if isinstance(body, bytes) else {"Content-Length": str(size_bytes)}
                response = await link.https.request("PUT", target, headers, body, TIMEOUT_S)
                if response.status != 200:
                    await self._raise_failure(task)
                    raise XapiFailure("HTTP_STATUS", [str(response.status), path])
            except ConnectionLost:
                # Also after success: the server closes without reading what follows the archive.
                patience = _AFTER_BREAK_S
            except (ConnectFailed, WrongCertificate) as error:
                self._session.forget(link)
                raise unreachable(self._session.pool, str(error)) from error
            return await self._clock.wait(xapi_tasks.finished(self._session, task), patience)
        except (TimeoutError, xapi_tasks.TaskVanished) as error:
            raise outcome_unknown(self._session.pool, path) from error
        finally:
            await xapi_tasks.discard(self._session, task)

    async def _raise_failure(self, task: str) -> None:
        """What the task says went wrong; nothing when it does not know (it may stay pending for ever)."""
        try:
            await xapi_tasks.state(self._session, task)
        except xapi_tasks.TaskVanished:
            return
