"""A process that plays one scene and kills itself at the worst moment: ``scene directory url pki``."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nats.aio.msg import Msg
from xenkeep.catalog.v1.events_pb2 import RestorePointRemoved

from services.chassis.bus import consumer
from services.chassis.bus.cloudevents import Meta
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.outbox import Outbox
from services.chassis.sql import Database, Transaction
from tests.support.notes import note, removed, store
from tests.support.pki import tls_for


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DiesAfterPublishing(Bus):
    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str], message_id: str) -> bool:
        await super().publish(subject, body, headers, message_id)
        die()
        return False


class DiesBeforeAcknowledging(Bus):
    async def acknowledge(self, message: Msg) -> None:
        die()


class LeavesAfterAcknowledging(Bus):
    async def acknowledge(self, message: Msg) -> None:
        await super().acknowledge(message)
        raise SystemExit(0)


async def write(database: Database, *, die_inside: bool = False) -> None:
    async with database.begin() as tx:
        await note(tx, "restorePoints/p1")
        await tx.publish(removed("p1"), subject_id="restorePoints/p1")
        if die_inside:
            die()


async def consume(database: Database, bus: Bus, *, die_inside: bool = False) -> None:
    async def seen(tx: Transaction, event: Any, meta: Meta) -> None:
        await note(tx, f"seen {event.restore_point}")
        if die_inside:
            die()

    consumer.LEASE_S = 1.0
    await consumer.Consumer(bus, database, "catalog", {RestorePointRemoved: seen}).run()


async def play(scene: str, directory: Path, url: str, pki: Path) -> None:
    tls = tls_for(pki, "catalog")
    async with store(directory) as database:
        match scene:
            case "die-before-commit":
                await write(database, die_inside=True)
            case "die-after-commit":
                await write(database)
                die()
            case "die-after-publish":
                await write(database)
                async with DiesAfterPublishing([url], tls, "catalog") as bus:
                    await Outbox(database, bus).flush()
            case "consume-and-die-before-commit":
                async with Bus([url], tls, "catalog") as bus:
                    await consume(database, bus, die_inside=True)
            case "consume-and-die-after-commit":
                async with DiesBeforeAcknowledging([url], tls, "catalog") as bus:
                    await consume(database, bus)
            case "consume-until-idle":
                async with LeavesAfterAcknowledging([url], tls, "catalog") as bus:
                    await consume(database, bus)


if __name__ == "__main__":
    scene, directory, url, pki = sys.argv[1:]
    asyncio.run(play(scene, Path(directory), url, Path(pki)))
