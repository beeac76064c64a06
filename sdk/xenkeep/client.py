"""The client: one attribute per noun."""

import time
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from xenkeep.calls import Caller
from xenkeep.channels import Channels
from xenkeep.errors import Error, translated
from xenkeep.home import SERVICES, Home
from xenkeep.policies import Policies
from xenkeep.pools import Pools
from xenkeep.repositories import Repositories
from xenkeep.restore_points import RestorePoints
from xenkeep.runs import Runs
from xenkeep.transfers import Transfers
from xenkeep.vms import Vms


class Client:
    """Talks to the services a home folder names, as ``identity`` (``admin`` for people).

    Every method raises ``xenkeep.Error``. Not safe to share between processes; safe between threads.
    """

    def __init__(self, home: Home | None = None, identity: str = "admin") -> None:
        self.home = home or Home.open()
        self._callers = {name: Caller(self.home, name, identity) for name in SERVICES}
        self.pools = Pools(self._callers["hypervisor"])
        self.vms = Vms(self._callers["hypervisor"])
        self.repositories = Repositories(self._callers["mover"])
        self.transfers = Transfers(self._callers["mover"])
        self.restore_points = RestorePoints(self._callers["catalog"])
        self.policies = Policies(self._callers["scheduler"])
        self.runs = Runs(self._callers["scheduler"])
        self.channels = Channels(self._callers["notifier"])

    def health(self, service: str, timeout: float = 5.0) -> str:
        """``serving``, or what is wrong with the service, in a few words."""
        stub = health_pb2_grpc.HealthStub(self._callers[service].channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.RpcError as error:
            return str(error.details() if isinstance(error, grpc.Call) else error).splitlines()[0]
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)).lower()

    def wait_until_serving(self, service: str, timeout: float) -> None:
        """Return when the service answers; raises Error DeadlineExceeded after ``timeout`` seconds.

        A service that is being started again in the meantime is waited for.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self._watch_until_serving(service, max(0.1, deadline - time.monotonic()))
            except Error as error:
                if error.kind != "Unavailable" or time.monotonic() > deadline:
                    raise

    def _watch_until_serving(self, service: str, timeout: float) -> None:
        caller = self._callers[service]
        stub = health_pb2_grpc.HealthStub(caller.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=timeout, wait_for_ready=True)
        with translated(service, caller.target):
            for answer in watch:
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    watch.cancel()
                    return

    def close(self) -> None:
        for caller in self._callers.values():
            caller.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
