"""Another pool, as a XenServer speaks to it: calls and transfers over HTTPS (xapi: ocaml/xapi/helpers.ml)."""

import http.client
import json
import ssl
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

from services.simulator.failure import XapiFailure
from services.simulator.wire.xmlrpc import decode_value

HTTPS_PORT = 443
_TIMEOUT_S = 60.0
_PATIENCE_S = 5.0
_UNREACHABLE = "CANNOT_CONTACT_HOST"


def url(address: str, port: int, path: str = "/") -> str:
    """Where a host answers; the port is left out where it is the usual one."""
    return f"https://{address}{path}" if port in (0, HTTPS_PORT) else f"https://{address}:{port}{path}"


class RemotePool:
    """``location`` is the URL of a member. Certificates are not checked, as xapi does not between pools.

    It blocks, so use it in threads. Raises ``CANNOT_CONTACT_HOST``, and failures as the other pool tells
    them.
    """

    def __init__(self, location: str, session: str = "") -> None:
        parts = urlsplit(location)
        if not parts.hostname:
            raise XapiFailure("INTERNAL_ERROR", "Not_found")
        self.address = parts.hostname
        self.session = session
        self._port = parts.port or HTTPS_PORT

    def log_in(self, name: str, password: str) -> None:
        """Use a session of this user from now on."""
        self.session = str(self._request("session.login_with_password", [name, password, "1.0", "pool.join"]))

    def call(self, method: str, *params: Any) -> Any:
        """The result of a call; moments are text, numbers are numbers."""
        return self._request(method, [self.session, *params])

    def put(self, path: str, query: dict[str, str], pieces: Iterable[bytes], length: int) -> Any:
        """Send a body of ``length`` bytes under a task of the other pool; what the task succeeded with."""
        task = self.call("task.create", f"PUT {path}", "")
        asked = urlencode({**query, "session_id": self.session, "task_id": task})
        try:
            try:
                self._send("PUT", f"{path}?{asked}", pieces, length)
            except XapiFailure as failure:
                self._wait_for(task)  # until then the other side holds what it was writing to
                if failure.code == _UNREACHABLE:
                    self._raise_for(task)  # it may have hung up for a reason
                raise
            return self._raise_for(task)
        finally:
            self.call("task.destroy", task)

    def _wait_for(self, task: str) -> None:
        """Until the task has ended, or for so long that whoever should end it never heard of it."""
        token, patience = "", time.monotonic() + _PATIENCE_S
        while self.call("task.get_status", task) == "pending" and time.monotonic() < patience:
            token = self.call("event.from", [f"task/{task}"], token, _PATIENCE_S)["token"]

    def _raise_for(self, task: str) -> Any:
        """What a task succeeded with. Raises why it failed."""
        record = self.call("task.get_record", task)
        if record["status"] == "failure":
            raise XapiFailure(*record["error_info"])
        if record["status"] != "success":
            raise XapiFailure(_UNREACHABLE, self.address)
        return decode_value(record["result"].encode()) if record["result"] else None

    def _request(self, method: str, params: list[Any]) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 0}).encode()
        try:
            answer = json.loads(self._send("POST", "/jsonrpc", [body], len(body)))
        except ValueError as garbage:  # whoever answers there is no XenServer
            raise XapiFailure(_UNREACHABLE, self.address) from garbage
        error = answer.get("error")
        if isinstance(error, list):  # a host in emergency mode
            raise XapiFailure(*error)
        if error is not None:
            raise XapiFailure(error["message"], *error["data"])
        return answer["result"]

    def _send(self, method: str, target: str, pieces: Iterable[bytes], length: int) -> bytes:
        """The body of the answer, whatever its status: how a transfer ended is in its task."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            self.address, self._port, timeout=_TIMEOUT_S, context=context
        )
        try:
            connection.putrequest(method, target)
            connection.putheader("Content-Length", str(length))
            connection.endheaders()
            for piece in pieces:
                connection.send(piece)
            return connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            raise XapiFailure(_UNREACHABLE, self.address) from error
        finally:
            connection.close()
