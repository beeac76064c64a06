"""The control API on a Unix socket that only its owner may use."""

import os
from pathlib import Path
from types import TracebackType

import grpc
from xenkeep.simulator.v1.simulator_pb2_grpc import add_SimulatorServiceServicer_to_server

from services.simulator.control.api import SimulatorApi
from services.simulator.pool.pool import Pool

STOP_GRACE_S = 1.0
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class ControlServer:
    """Serves ``SimulatorService`` for the length of its context."""

    def __init__(self, pool: Pool, socket: Path) -> None:
        self._pool = pool
        self._socket = socket
        self._server: grpc.aio.Server | None = None

    async def __aenter__(self) -> "ControlServer":
        limits = [("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)]
        self._server = grpc.aio.server(options=limits)
        add_SimulatorServiceServicer_to_server(SimulatorApi(self._pool), self._server)
        before = os.umask(0o177)
        try:
            self._server.add_insecure_port(f"unix:{self._socket.absolute()}")
        finally:
            os.umask(before)
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            await self._server.stop(STOP_GRACE_S)
        self._socket.unlink(missing_ok=True)
