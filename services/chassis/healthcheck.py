"""``python -m services.chassis.healthcheck``: does the service of this environment serve?

Asks it by gRPC (grpc.health.v1) on this machine, with its own certificate, as everybody else has to. Prints
one line; exits 0 when it serves and 1 when it does not.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis.config import is_address, load, option
from services.chassis.errors import XenkeepError
from services.chassis.tls import TlsFiles, channel_credentials

TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class HealthcheckConfig:
    """The part of a service's configuration that says where it answers and to whom."""

    listen: str = field(metadata=option("host:port on which gRPC is served", check=is_address))
    tls_ca: Path = field(metadata=option("PEM file with the authority"))
    tls_cert: Path = field(metadata=option("PEM file with the service's certificate"))
    tls_key: Path = field(metadata=option("PEM file with the private key of tls_cert"))


def main(environment: Mapping[str, str]) -> int:
    try:
        config = load(HealthcheckConfig, environment)
        state = ask(config)
    except XenkeepError as error:
        state = str(error)
    sys.stdout.write(f"{state}\n")
    return 0 if state == "SERVING" else 1


def ask(config: HealthcheckConfig) -> str:
    """``SERVING``, another state of the protocol, or why there was no answer. Raises FailedPrecondition for
    unreadable TLS files.
    """
    target = f"localhost:{config.listen.rpartition(':')[2]}"
    credentials = channel_credentials(TlsFiles.of(config))
    with grpc.secure_channel(target, credentials) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S, wait_for_ready=True
            )
        except grpc.RpcError as error:
            return f"{target} did not answer: {error.details()}"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


if __name__ == "__main__":
    sys.exit(main(os.environ))
