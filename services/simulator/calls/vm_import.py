"""VM.import: an XVA that the pool fetches itself (xapi: ocaml/xapi/xapi_vm.ml ``import``)."""

import asyncio
import base64
import http.client
import ssl
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.transfers.restore import Wishes
from services.simulator.transfers.xva_import import XvaContents

_PIECE = 1024 * 1024
_TIMEOUT_S = 60.0


async def import_(call: Call, url: str, sr: str, full_restore: bool, force: bool) -> list[str]:
    """References of the VMs. The server's certificate is not checked, as xapi does not.

    Raises ``IMPORT_ERROR_GENERIC`` when there is no file, and what an import raises.
    """
    wanted = Wishes(full_restore, force, call.task)
    return await XvaContents(call, call.db.row("SR", sr).ref, wanted, _fetch(url)).take_in()


async def _fetch(url: str) -> AsyncIterator[bytes]:
    connection, answer = await asyncio.to_thread(_open, url)
    try:
        while piece := await asyncio.to_thread(answer.read, _PIECE):
            yield piece
    finally:
        connection.close()


def _open(url: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise XapiFailure("IMPORT_ERROR_GENERIC", "the URL is neither http nor https")
    connection: http.client.HTTPConnection
    if parts.scheme == "http":
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_S)
    else:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=_TIMEOUT_S, context=context
        )
    headers = {}
    if parts.username is not None:
        known = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(known.encode()).decode()}"
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    try:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise XapiFailure("IMPORT_ERROR_GENERIC", f"{parts.hostname}: {error}") from error
    if answer.status != http.client.OK:
        connection.close()
        raise XapiFailure("IMPORT_ERROR_GENERIC", f"{parts.hostname}: HTTP {answer.status} {answer.reason}")
    return connection, answer
