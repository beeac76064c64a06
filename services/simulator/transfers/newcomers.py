"""What a coordinator takes in of a host that joins its pool: see ``pool.membership``."""

from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from services.simulator.failure import XapiFailure, internal_error
from services.simulator.http.exchange import Exchange
from services.simulator.pool import membership
from services.simulator.pool.host import Host
from services.simulator.pool.pool import Pool
from services.simulator.transfers.access import Transfer, admitted

MEMBER, HELLO = "/services/member", "/services/hello"
_LIMIT = 64 * 1024 * 1024
T = TypeVar("T", bound=BaseModel)


class Newcomers:
    """Both need a session of a pool operator, and a task that tells how it ended."""

    def __init__(self, pool: Pool, host: Host) -> None:
        self._pool = pool
        self._host = host

    async def member(self, exchange: Exchange) -> None:
        """PUT /services/member: the task succeeds with the host's reference."""
        async with self._admitted(exchange, "host.create") as transfer:
            told = await _document(transfer, membership.MemberTold)
            transfer.result = await membership.take_in(self._pool, told)
            await exchange.reply(b"", "application/json")

    async def hello(self, exchange: Exchange) -> None:
        """PUT /services/hello: the host has stopped answering by itself and boots as a member."""
        async with self._admitted(exchange, "pool.hello") as transfer:
            told = await _document(transfer, membership.HelloTold)
            try:
                await membership.welcome(self._pool, told)
            except OSError as error:
                raise XapiFailure("HOST_OFFLINE", told.host) from error
            await exchange.reply(b"", "application/json")

    def _admitted(self, exchange: Exchange, label: str) -> AbstractAsyncContextManager[Transfer]:
        return admitted(self._pool, self._host, exchange, "put_member", label)


async def _document(transfer: Transfer, form: type[T]) -> T:
    body = await transfer.exchange.read_body(_LIMIT)
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        raise internal_error(f"not what a joining host sends: {error.error_count()} errors") from error
