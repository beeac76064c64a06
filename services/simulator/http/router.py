"""Which handler a request goes to: its method, then the longest prefix of its path."""

from collections.abc import Mapping

from services.simulator.http.exchange import Exchange
from services.simulator.http.request import BadRequest
from services.simulator.http.server import Handler

Routes = Mapping[tuple[str, str], Handler]


class Router:
    """``routes`` maps (method, path prefix) to handlers (xapi: ocaml/libs/http-lib/http_svr.ml,
    ``handle_one``).
    """

    def __init__(self, routes: Routes) -> None:
        self._routes = sorted(routes.items(), key=lambda route: -len(route[0][1]))

    async def handle(self, exchange: Exchange) -> None:
        head = exchange.head
        if head.method == "OPTIONS":
            await exchange.reply_options()
            return
        if head.method not in ("GET", "PUT", "POST", "CONNECT"):
            raise BadRequest(501)
        for (method, prefix), handler in self._routes:
            if method == head.method and head.path.startswith(prefix):
                await handler(exchange)
                return
        if head.method != "GET":
            raise BadRequest(403)
        await exchange.reply_error(403)
