"""One XenAPI call over JSON-RPC 2.0 (xapi: ocaml/xapi/api_server.ml).

JSON rather than XML: integers are integers, and an inventory of thousands of records needs no XML parser.
"""

import json
from typing import Any

from services.hypervisor.adapters.pinned_https import ConnectionLost, PinnedHttps

THUMBPRINT_REQUEST = "x-xenapi-request-host-certificate-thumbprint"
THUMBPRINT_RESPONSE = "x-xenapi-response-host-certificate-thumbprint"
"""A supporter asked with the first header vouches for its coordinator with the second one."""


class XapiFailure(Exception):
    """The pool's answer is an error: ``code`` and its parameters."""

    def __init__(self, code: str, params: list[str], coordinator_sha256: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.params = params
        self.coordinator_sha256 = coordinator_sha256

    @property
    def words(self) -> str:
        """The pool's own words, without references (a session's is a secret)."""
        told = [param for param in self.params if param and "OpaqueRef:" not in param]
        return f"{self.code} ({'; '.join(told)})" if told else self.code


async def rpc(https: PinnedHttps, method: str, params: list[Any], timeout_s: float) -> Any:
    """The call's result; raises XapiFailure or what PinnedHttps raises."""
    request = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        THUMBPRINT_REQUEST: "sha-256:master",
    }
    response = await https.request("POST", "/jsonrpc", headers, json.dumps(request).encode(), timeout_s)
    if response.status != 200:
        raise ConnectionLost(f"the host answered {method} with HTTP status {response.status}")
    try:
        answer = json.loads(response.body)
        error = answer.get("error")
    except (ValueError, AttributeError, RecursionError) as broken:
        raise ConnectionLost(f"the host answered {method} with something that is not JSON-RPC") from broken
    if error is None:
        return answer.get("result")
    vouched = response.headers.get(THUMBPRINT_RESPONSE, "").replace(":", "").lower()
    if isinstance(error, list) and error:  # the shape of JSON-RPC 1.0: in emergency mode, and for bad input
        raise XapiFailure(str(error[0]), [str(param) for param in error[1:]], vouched)
    if isinstance(error, dict):
        data = error.get("data")
        params_of_error = [str(param) for param in data] if isinstance(data, list) else []
        raise XapiFailure(str(error.get("message")), params_of_error, vouched)
    raise ConnectionLost(f"the host answered {method} with an error of an unknown shape")
