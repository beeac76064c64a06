"""One way to call every service: mutual TLS, a deadline, errors that can be read."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc

from xenkeep.errors import Error, translated
from xenkeep.home import Home

Resource = TypeVar("Resource")

DEADLINE_SECONDS = 60.0
"""For a question or a command; long work is a resource that is watched."""


class Caller:
    """A channel to one service."""

    def __init__(self, home: Home, service: str, identity: str) -> None:
        self.service = service
        self.target = home.addresses[service]
        self.channel = grpc.secure_channel(
            self.target,
            _credentials(home, identity),
            options=[("grpc.max_receive_message_length", 16 << 20)],
        )

    def unary(
        self, method: Callable[..., Resource], request: object, timeout: float = DEADLINE_SECONDS
    ) -> Resource:
        """Call once; raises Error."""
        with translated(self.service, self.target):
            return method(request, timeout=timeout)

    def stream(
        self, method: Callable[..., Iterator[Resource]], request: object, timeout: float | None = None
    ) -> Iterator[Resource]:
        """Call and yield the answers; raises Error. Without ``timeout``: as long as the server goes on."""
        with translated(self.service, self.target):
            yield from method(request, timeout=timeout)

    def close(self) -> None:
        self.channel.close()


def _credentials(home: Home, identity: str) -> grpc.ChannelCredentials:
    ca, certificate, key = home.certificate(identity)
    try:
        return grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), certificate.read_bytes())
    except OSError as error:
        raise Error(
            "Unauthenticated",
            "CERTIFICATE_MISSING",
            f"The certificate of {identity} cannot be read: {error.filename}: {error.strerror}.",
            "Make it with `xenkeep init`.",
        ) from None
