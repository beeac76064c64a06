"""A service that kills itself around one of its commits: ``DIE_AT`` is ``before:<n>`` or ``after:<n>``."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from services.chassis.bell import RingingDatabase
from services.chassis.bus import consumer
from services.chassis.sql import Transaction


def arrange(when: str, number: int) -> None:
    commits = 0
    begin = RingingDatabase.begin

    @asynccontextmanager
    async def mortal(database: RingingDatabase) -> AsyncIterator[Transaction]:
        nonlocal commits
        async with begin(database) as transaction:
            yield transaction
            commits += 1
            if when == "before" and commits == number:
                os.kill(os.getpid(), signal.SIGKILL)
        if when == "after" and commits == number:
            os.kill(os.getpid(), signal.SIGKILL)

    RingingDatabase.begin = mortal  # type: ignore[assignment,method-assign]


def live(service: str) -> None:
    """Be ``service`` until it is time to die."""
    consumer.LEASE_S = 2.0  # the next life gets an event the last one held this soon
    moment, _, count = os.environ.get("DIE_AT", "never:0").partition(":")
    arrange(moment, int(count))
    import_module(f"services.{service}.__main__").main()


def main() -> None:
    live(os.environ["MORTAL_SERVICE"])
