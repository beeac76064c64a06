"""RPC over HTTP: XML-RPC on almost every path, JSON-RPC on its own."""

from services.simulator.dispatch.dispatcher import Dispatcher, EmergencyMode
from services.simulator.failure import XapiFailure
from services.simulator.http.exchange import Exchange, Headers
from services.simulator.http.request import BadRequest
from services.simulator.pool.host import Host
from services.simulator.wire import jsonrpc, xmlrpc

THUMBPRINT_REQUEST = "x-xenapi-request-host-certificate-thumbprint"
THUMBPRINT_RESPONSE = "x-xenapi-response-host-certificate-thumbprint"
"""xapi: ocaml/xapi/api_server.ml ``create_thumbprint_header``."""
BODY_LIMIT = 300 * 1024
"""xapi: ocaml/xapi-consts/constants.ml ``http_limit_max_rpc_size``."""


class Rpc:
    """The RPC handlers of one host."""

    def __init__(self, host: Host, dispatcher: Dispatcher) -> None:
        self._host = host
        self._dispatcher = dispatcher

    async def xml(self, exchange: Exchange) -> None:
        body = await exchange.read_body(BODY_LIMIT)
        try:
            method, params = xmlrpc.decode_call(body)
        except xmlrpc.MalformedCall as error:
            raise BadRequest(500, str(error)) from error
        extra: Headers = ()
        if method == "system.listMethods":
            answer = xmlrpc.bare(self._dispatcher.method_names)
        else:
            try:
                answer = xmlrpc.success(await self._dispatcher.dispatch(self._host, method, params))
            except XapiFailure as failure:
                answer = xmlrpc.failure(failure.description)
                extra = self._vouching(exchange, failure)
        await exchange.reply(answer.encode(), "text/xml", extra=extra)

    async def json(self, exchange: Exchange) -> None:
        body = await exchange.read_body(BODY_LIMIT)
        try:
            request = jsonrpc.decode(body)
        except jsonrpc.MalformedRequest as error:
            raise BadRequest(500, str(error)) from error
        wrong = jsonrpc.unspeakable(request.params)
        if wrong is not None:
            description = ["INVALID_VALUE", "Invalid UTF-8 string in parameter", f"S({wrong})"]
            await self._json_without_dispatch(exchange, description)
            return
        extra: Headers = ()
        try:
            answer = await self._json_answer(request)
        except EmergencyMode as failure:
            await self._json_without_dispatch(exchange, failure.description)
            return
        except XapiFailure as failure:
            answer = jsonrpc.failure(request, failure.description)
            extra = self._vouching(exchange, failure)
        await exchange.reply(answer.encode(), "application/json", extra=extra)

    def _vouching(self, exchange: Exchange, failure: XapiFailure) -> Headers:
        """A supporter tells whoever asks for it which certificate its coordinator has."""
        if failure.description[0] != "HOST_IS_SLAVE" or exchange.head.header(THUMBPRINT_REQUEST) is None:
            return ()
        return [(THUMBPRINT_RESPONSE, self._dispatcher.coordinator_fingerprint)]

    @staticmethod
    async def _json_without_dispatch(exchange: Exchange, description: list[str]) -> None:
        body = jsonrpc.failure_before_dispatch(description).encode("utf-8", "surrogateescape")
        await exchange.reply(body, "application/json", for_browsers=False)

    async def _json_answer(self, request: jsonrpc.Request) -> str:
        if request.method == "system.listMethods":
            return jsonrpc.success(request, self._dispatcher.method_names)
        dispatch = self._dispatcher.dispatch
        return jsonrpc.success(request, await dispatch(self._host, request.method, request.params))
