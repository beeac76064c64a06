"""Who may use a handler, and the task it works for (xapi: ocaml/xapi/xapi_http.ml)."""

import base64
import binascii
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.simulator.failure import XapiFailure, ocaml_failure
from services.simulator.http.exchange import Exchange
from services.simulator.http.request import BadRequest
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool.host import Host
from services.simulator.pool.permissions import may_use
from services.simulator.pool.pool import Pool


@dataclass
class Transfer:
    """One admitted request. ``result`` is what its task succeeds with; "" is no result at all.

    ``handed_over``: the client was sent to another host, so the task is not ours to end.
    """

    pool: Pool
    host: Host
    exchange: Exchange
    session: str
    task: str
    result: object = ""
    handed_over: bool = False

    @property
    def query(self) -> dict[str, str]:
        return self.exchange.head.query

    @property
    def image_format(self) -> str:
        """Of a raw transfer, in lower case (xapi: ocaml/xapi/importexport.ml ``Format.of_string``)."""
        return self.query.get("format", "raw").lower()

    def asks(self, name: str, default: bool = False) -> bool:
        """A yes-or-no parameter."""
        return self.query.get(name, "true" if default else "false") == "true"


class Unauthorised(BadRequest):
    """401, with the realm of the handler."""

    def __init__(self, realm: str) -> None:
        super().__init__(401)
        self.headers = [("WWW-Authenticate", f'Basic realm="{realm}"')]


@asynccontextmanager
async def admitted(
    pool: Pool, host: Host, exchange: Exchange, name: str, label: str
) -> AsyncIterator[Transfer]:
    """Check the caller, then hold a task for the length of the block.

    ``name`` is the handler's in ``pool.permissions``, ``label`` that of a task it makes itself. A failure in
    the block fails the task and becomes ``BadRequest``; a task of the server's own is gone afterwards.
    """
    session, temporary = await _session(pool, host, exchange, name)
    try:
        given = _parameter(exchange, "task_id")
        if given is not None and pool.db.find("task", given) is None:
            raise BadRequest(500, f"HANDLE_INVALID: [ task; {given} ]")
        _check_role(pool, session, name, given)
        task = given or pool.tasks.create(label, "", host.ref, session=session)
        transfer = Transfer(pool, host, exchange, session, task)
        try:
            async with _task(pool, transfer):
                yield transfer
        finally:
            if given is None:
                pool.tasks.discard(task)
    except XapiFailure as failure:
        raise BadRequest(500, _page_text(failure)) from failure
    finally:
        if temporary and pool.db.find("session", session) is not None:
            pool.sessions.end(session)


def _page_text(failure: XapiFailure) -> str:
    """As OCaml prints the exception behind it."""
    if failure.code == "INTERNAL_ERROR":
        return failure.params[0]
    return f"{failure.code}: [ {'; '.join(failure.params)} ]"


@asynccontextmanager
async def _task(pool: Pool, transfer: Transfer) -> AsyncIterator[None]:
    pool.tasks.start(transfer.task)
    try:
        yield
    except XapiFailure as failure:
        pool.tasks.fail(transfer.task, failure)
        raise
    except (ConnectionError, EOFError) as error:
        pool.tasks.fail(transfer.task, ocaml_failure(f"the connection broke: {type(error).__name__}"))
        raise
    except BadRequest:
        raise
    except Exception as error:
        pool.tasks.fail(transfer.task, ocaml_failure(repr(error)))
        raise
    else:
        if not transfer.handed_over:
            pool.tasks.succeed(transfer.task, transfer.result)


async def _session(pool: Pool, host: Host, exchange: Exchange, name: str) -> tuple[str, bool]:
    """The session, and whether it is for this request only."""
    given = _parameter(exchange, "session_id")
    if given is not None:
        try:
            pool.sessions.use(given)
        except XapiFailure:
            raise Unauthorised(name) from None
        return given, False
    scheme, _, credentials = (exchange.head.header("authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        raise Unauthorised(name)
    try:
        user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise BadRequest(500, "the Authorization header cannot be read") from None
    try:
        return await pool.sessions.log_in(host.ref, user, password, "http"), True
    except XapiFailure:
        raise Unauthorised(name) from None


def _check_role(pool: Pool, session: str, name: str, task: str | None) -> None:
    refusal = refusal_of(pool, session, name)
    if refusal is not None:
        pool.tasks.fail(task or NULL_REF, refusal)
        raise BadRequest(403)


def refusal_of(pool: Pool, session: str, handler: str) -> XapiFailure | None:
    """``RBAC_PERMISSION_DENIED`` when the session's role may not use a handler of ``pool.permissions``."""
    if pool.db.row("session", session)["is_local_superuser"] or may_use(pool.sessions.use(session), handler):
        return None
    return XapiFailure("RBAC_PERMISSION_DENIED", f"http/{handler}", "No permission in user session")


def _parameter(exchange: Exchange, name: str) -> str | None:
    return exchange.head.query.get(name) or exchange.head.cookies.get(name)


def found(pool: Pool, cls: str, given: str | None) -> str:
    """The reference of an object given by reference or uuid. Raises ``BadRequest``: its task stays
    pending.
    """
    if given is None:
        raise BadRequest(500, "Failure(Missing parameter)")
    row = pool.db.find(cls, given) or pool.db.tables[cls].by_uuid(given)
    if row is None:
        raise BadRequest(500, f'Db_exn.Read_missing_uuid("{cls}", "", "{given}")')
    return row.ref
