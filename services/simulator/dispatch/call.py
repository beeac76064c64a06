"""One call on its way through the simulator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.simulator.database.database import Database
from services.simulator.model.defaults import NULL_REF
from services.simulator.model.schema import Message

if TYPE_CHECKING:
    from services.simulator.pool.host import Host
    from services.simulator.pool.pool import Pool


@dataclass(frozen=True)
class Call:
    """``host`` is where it arrived, ``session`` the caller's reference ("" for calls without one),
    ``task`` the task it runs under, ``OpaqueRef:NULL`` when it has none."""

    pool: Pool
    host: Host
    message: Message | None
    session: str
    task: str = NULL_REF

    @property
    def db(self) -> Database:
        return self.pool.db


CallFunction = Callable[..., Awaitable[Any]]
"""Takes the call, then the message's parameters in order; returns the result; raises ``XapiFailure``."""
