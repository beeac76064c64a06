"""Where a disk can be read."""

from dataclasses import dataclass, field

from services.chassis.errors import InvalidInput

_LONGEST_NAME = 4096


@dataclass(frozen=True, slots=True)
class NbdEndpoint:
    """One host's NBD server and the name of a disk there.

    ``export_name`` is a secret: whoever knows it can read the disk. ``certificate_pem`` is the certificate
    the server must show; an empty one means that the server speaks no TLS. ``server_name`` goes into the
    handshake. ``max_connections`` is what the reader of the disk may have open at the host; 0 is no limit.
    """

    host_id: str
    address: str
    port: int
    export_name: str = field(repr=False)
    certificate_pem: str = field(repr=False)
    server_name: str = ""
    max_connections: int = 0

    def __post_init__(self) -> None:
        """``InvalidInput`` for what cannot be an address, a port or an export name (NBD: at most 4,096
        bytes).
        """
        address_fits = self.address.isascii() and self.address.isprintable() and 0 < len(self.address) < 254
        name_fits = len(self.export_name.encode(errors="replace")) <= _LONGEST_NAME
        if address_fits and " " not in self.address and 0 < self.port < 65536 and name_fits:
            return
        raise InvalidInput(
            f"The NBD endpoint of host {self.host_id} is not one.",
            reason="NBD_ENDPOINT_INVALID",
            hint="It needs an address, a port and an export name.",
        )

    @property
    def peer(self) -> str:
        """The host for messages to people, without the secret."""
        return f"host {self.host_id} ({self.address}:{self.port})"
