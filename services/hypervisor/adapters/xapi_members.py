"""The hosts of one pool: where they are, what they present, connections to each, and what opens them."""

from collections.abc import Collection
from dataclasses import dataclass

from services.chassis.config import Secret
from services.hypervisor.adapters.pinned_https import PinnedHttps, fingerprint_of_pem
from services.hypervisor.domain.pool import Member

_API_VERSION = "2.20"
_ORIGINATOR = "xenkeep"


@dataclass(frozen=True)
class Credentials:
    """Of the account that we use in a pool."""

    username: str
    password: Secret

    def arguments(self) -> list[str]:
        """Those of ``session.login_with_password``. With an originator only our own sessions compete for its
        cap of 500."""
        return [self.username, self.password.reveal(), _API_VERSION, _ORIGINATOR]


class Members:
    """Known by address. Clients are kept as long as the certificate they are pinned to is the host's."""

    def __init__(self, members: Collection[Member], port: int) -> None:
        self.port = port
        self._clients: dict[tuple[str, str], PinnedHttps] = {}
        self._pins: dict[str, str] = {}
        self._certificates: dict[str, str] = {}
        self.learn(members)

    def learn(self, members: Collection[Member]) -> None:
        """As the trusted coordinator told."""
        self._pins = {each.address: fingerprint_of_pem(each.certificate_pem) for each in members}
        self._certificates = {each.host_id: each.certificate_pem for each in members}

    @property
    def addresses(self) -> Collection[str]:
        return self._pins.keys()

    def pin(self, address: str) -> str:
        """SHA-256 of what the host presents. Raises KeyError for an address that is no member's."""
        return self._pins[address]

    def certificate(self, host_id: str) -> str:
        """The certificate (PEM) a host presents; empty when it is not known."""
        return self._certificates.get(host_id, "")

    def https(self, address: str) -> PinnedHttps:
        """Connections to one host. Raises KeyError for an address that is no member's."""
        key = (address, self._pins[address])
        return self._clients.setdefault(key, PinnedHttps(address, self.port, self._pins[address]))

    async def close(self) -> None:
        for https in self._clients.values():
            await https.close()
        self._clients.clear()
