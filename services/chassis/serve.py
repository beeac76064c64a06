"""What every ``__main__`` does, so that a composition root says only what is particular::

def compose(base: Base[CatalogConfig]) -> list[Component]:
    database, bus = base.database("services.catalog.migrations"), base.bus()
    catalog = Catalog(SqlPoints(database), base.clock)
    return [
        database,
        bus,
        base.outbox(database, bus),
        base.consumer(database, bus, handlers(catalog)),
        base.rpc([(add_CatalogServiceServicer_to_server, CatalogApi(catalog), {"scheduler", "console"})]),
    ]

def main() -> None:
    serve("catalog", CatalogConfig, compose)
"""

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NoReturn, TypeVar

import grpc
import structlog
from google.protobuf.message import Message
from xenkeep import status

from services.chassis import config as configuration
from services.chassis import program
from services.chassis.bus.consumer import Consumer, Handler
from services.chassis.bus.nats_bus import Bus
from services.chassis.bus.outbox import Outbox
from services.chassis.clock import Clock, SystemClock
from services.chassis.config import BaseConfig
from services.chassis.core_dumps import forbid_core_dumps
from services.chassis.errors import XenkeepError
from services.chassis.ids import IdSource, RandomIds
from services.chassis.program import Component
from services.chassis.rpc.channel import channel
from services.chassis.rpc.server import RpcServer, Service
from services.chassis.sql import Database
from services.chassis.telemetry import MetricsPage, Tracing, set_up_logs
from services.chassis.tls import TlsFiles

C = TypeVar("C", bound=BaseConfig)
_log = structlog.get_logger("xenkeep.program")


@dataclass(frozen=True)
class Base(Generic[C]):
    """Makes what every service has from its configuration. Nothing is opened here: the program opens its
    components.
    """

    name: str
    config: C
    clock: Clock = field(default_factory=SystemClock)
    ids: IdSource = field(default_factory=RandomIds)

    @property
    def tls(self) -> TlsFiles:
        return TlsFiles.of(self.config)

    def database(self, migrations: str) -> Database:
        """The service's own store, with the revisions of the package ``migrations``."""
        self.config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        url = self.config.database(self.name)
        return Database(url, self.name, migrations, ids=self.ids, clock=self.clock)

    def bus(self) -> Bus:
        """The connection to NATS; entering it waits until there is one."""
        return Bus(self.config.nats_url, self.tls, self.name)

    def outbox(self, database: Database, bus: Bus) -> Outbox:
        """Publishes what ``database`` commits; list it before whatever writes."""
        return Outbox(database, bus, clock=self.clock)

    def consumer(self, database: Database, bus: Bus, handlers: Mapping[type[Message], Handler]) -> Consumer:
        """Reacts to events by the literal table ``handlers``."""
        return Consumer(bus, database, self.name, handlers, clock=self.clock)

    def channel(self, target: str) -> grpc.aio.Channel:
        """A channel to another service at ``target`` (host:port); a component as well."""
        return channel(target, self.tls)

    def rpc(self, services: Sequence[Service]) -> RpcServer:
        """The gRPC server on ``config.listen``; list it last, so that nobody is answered before everything
        stands.
        """
        grace = self.config.shutdown_grace / 2
        return RpcServer(self.config.listen, self.tls, services, grace=grace, ids=self.ids, clock=self.clock)


Compose = Callable[[Base[C]], Sequence[Component]]
"""Makes a service's components, in order of dependence."""


def serve(name: str, config: type[C], compose: Compose[C]) -> NoReturn:
    """Run the service ``name`` until it is told to stop, and exit: 0, or the exit code of the error it ended
    with.

    With ``--help`` it prints the environment variables it reads instead.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.stdout.write(usage(name, config))
        sys.exit(0)
    gc.freeze()  # what was imported stays: looking at it again would take most of the time of ending
    sys.exit(asyncio.run(run_service(name, config, compose, os.environ)))


async def run_service(name: str, config: type[C], compose: Compose[C], env: Mapping[str, str]) -> int:
    """The exit code the process should have; errors are in the log."""
    set_up_logs(name)
    try:
        forbid_core_dumps()
        chosen = configuration.load(config, env)
        set_up_logs(name, chosen.log_level, chosen.log_format)
        base = Base(name, chosen)
        telemetry: list[Component] = [Tracing(name, chosen.otlp_endpoint)]
        if chosen.metrics_listen:
            telemetry.append(MetricsPage(chosen.metrics_listen))
        await program.run(*telemetry, *compose(base), grace=chosen.shutdown_grace)
    except XenkeepError as error:
        _log.error("ended", reason=error.reason, error=error.message, hint=error.hint)
        return status.of_kind(error.kind).exit_code
    except Exception as error:  # noqa: BLE001 - the boundary: a defect becomes an exit code
        _log.error("ended", reason="INTERNAL", exc_info=error)
        return status.of_kind("Internal").exit_code
    return 0


def usage(name: str, config: type[BaseConfig]) -> str:
    """What ``--help`` prints."""
    lines = [f"xenkeep-{name} reads its configuration from the environment:", ""]
    for variable, default, meaning in configuration.describe(config):
        lines += [f"  {variable} ({default or 'optional'})", f"      {meaning}"]
    return "\n".join(lines) + "\n"
