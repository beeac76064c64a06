"""Where a disk can be written."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services.chassis.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class WriteEndpoint:
    """An HTTPS URL that takes a disk as framed raw data, and the certificate its server must show.

    ``url`` is a secret: whoever knows it can write the disk.
    """

    host_id: str
    url: str = field(repr=False)
    certificate_pem: str = field(repr=False)
    address: str = field(init=False)
    port: int = field(init=False)
    target: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Take the URL apart. ``InvalidInput`` when it is not an HTTPS URL, or could break out of a request
        line.
        """
        try:
            parts = urlsplit(self.url)
            address, port = parts.hostname or "", parts.port or 443
        except ValueError:
            address = ""
        clean = self.url.isascii() and self.url.isprintable() and " " not in self.url
        if not clean or not address or parts.scheme != "https" or "@" in parts.netloc or parts.fragment:
            raise InvalidInput(
                f"The write endpoint of host {self.host_id} is not an HTTPS URL.",
                reason="WRITE_ENDPOINT_INVALID",
                hint="It needs the form https://host/path.",
            ) from None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        for name, value in (("address", address), ("port", port), ("target", target)):
            object.__setattr__(self, name, value)

    @property
    def peer(self) -> str:
        """The host for messages to people, without the secret."""
        return f"host {self.host_id} ({self.address}:{self.port})"
