"""The door of a service."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from services.chassis.clock import Clock, SystemClock
from services.chassis.errors import FailedPrecondition
from services.chassis.ids import IdSource, RandomIds
from services.chassis.rpc.call import Guarded
from services.chassis.rpc.deadline import deadline_required
from services.chassis.rpc.faults import answered
from services.chassis.rpc.identity import ANYONE, Callers, identity, methods_of
from services.chassis.rpc.observe import observed
from services.chassis.rpc.options import SERVER_OPTIONS
from services.chassis.tls import TlsFiles, server_credentials

Service = tuple[Callable[[Any, Any], None], Any, Callers]
"""(generated ``add_*Servicer_to_server``, the servicer, the callers allowed in)."""


class RpcServer:
    """grpc.aio with mutual TLS, health per service, reflection, and our guards around every call.

    An async context manager: serving inside, and on the way out NOT_SERVING first, then up to ``grace`` for
    the calls under way. Raises FailedPrecondition LISTEN_FAILED when the address is taken.
    """

    def __init__(
        self,
        listen: str,
        tls: TlsFiles,
        services: Sequence[Service],
        *,
        grace: timedelta = timedelta(seconds=20),
        ids: IdSource | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._listen = listen
        self._tls = tls
        self._services = services
        self._grace = grace
        self._ids = ids or RandomIds()
        self._clock = clock or SystemClock()
        self._health = health.HealthServicer()
        self.port = 0
        """The port listened on, also when ``listen`` asked for any (port 0)."""

    async def __aenter__(self) -> Self:
        names = _ServiceNames()
        for add, servicer, callers in self._services:
            add(servicer, names)
            if unknown := {method for method in methods_of(callers) if not hasattr(servicer, method)}:
                raise ValueError(f"{names.found[-1]} has no methods {sorted(unknown)} to allow anybody")
        allowed = dict(zip(names.found, (callers for _, _, callers in self._services), strict=True))
        system = [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
        guards = (
            observed(self._clock),
            answered(self._ids),
            identity(allowed | dict.fromkeys(system, ANYONE)),
            deadline_required,
        )
        self._server = grpc.aio.server(interceptors=[Guarded(*guards)], options=SERVER_OPTIONS)
        for add, servicer, _ in self._services:
            add(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection([*names.found, *system], self._server)
        try:
            self.port = self._server.add_secure_port(self._listen, server_credentials(self._tls))
        except RuntimeError as error:
            raise FailedPrecondition(
                f"Cannot listen on {self._listen}.",
                reason="LISTEN_FAILED",
                hint="Another process may hold the port, or the address is not of this machine.",
            ) from error
        await self._server.start()
        for name in ["", *names.found]:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._grace.total_seconds())


class _ServiceNames:
    """Stands in for a server to learn the full names that the generated functions register."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.ServiceRpcHandler]) -> None:
        self.found.extend(str(handler.service_name()) for handler in handlers)

    def add_registered_method_handlers(self, service: str, handlers: object) -> None:
        """Newer generated code registers twice; the first was enough."""
