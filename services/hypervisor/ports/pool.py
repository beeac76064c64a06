"""A connected pool, as a sum of small ports. Everything is named by UUID; references stay in the adapters.

Every method bridges a lost session, a moved coordinator or a dead member for a bounded time by itself, and is
safe to repeat unless it says otherwise. Besides what is written there, each raises

- Unavailable POOL_UNREACHABLE when no member answers, POOL_CONTESTED when more than one leads,
- Unauthenticated POOL_CREDENTIALS_REFUSED, FailedPrecondition CERTIFICATE_CHANGED,
- any other kind when the pool refuses, with the pool's code in ``metadata["pool_code"]``.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from services.chassis.config import Secret
from services.hypervisor.domain.leadership import Leadership
from services.hypervisor.domain.pool import Certificate, Member, Picture, Pool
from services.hypervisor.ports.care import Migrations, Storage
from services.hypervisor.ports.guests import GuestPower
from services.hypervisor.ports.leavings import Leavings
from services.hypervisor.ports.metadata import PoolMetadata
from services.hypervisor.ports.readers import Readers
from services.hypervisor.ports.restores import Restores
from services.hypervisor.ports.snapshots import Snapshots


@dataclass(frozen=True)
class Introduction:
    """What a pool says of itself when it is added."""

    pool_id: str
    display_name: str
    product: str
    coordinator: str
    members: tuple[Member, ...]
    missing_rights: tuple[str, ...]


class Inventory(Protocol):
    """What the pool consists of, as it changes."""

    def learn(self, members: tuple[Member, ...], coordinator: str) -> None:
        """Where the hosts are to be found from now on, and what they present."""
        ...

    def watch(self) -> AsyncIterator[Picture]:
        """A first complete picture, then one after every change, within 2 s of the pool's own event.

        A lost session or a moved coordinator leads to a complete new look, not to the end. Ends by raising.
        """
        ...

    async def leadership(self, *, sampled: bool = False) -> Leadership:
        """Whom the hosts follow, asked of each. When ``sampled`` a few are asked, whatever the pool's size,
        others each time and all in turn; and each when one of them follows somebody else.

        A pool in which two lead, and neither most of its hosts, is not used from then on: Unavailable
        POOL_CONTESTED.
        """
        ...

    async def members(self) -> tuple[Member, ...]:
        """The hosts and their certificates, learned from the coordinator."""
        ...


class PoolConnection(
    Inventory,
    Snapshots,
    Readers,
    GuestPower,
    Storage,
    Migrations,
    Restores,
    Leavings,
    PoolMetadata,
    Protocol,
):
    """A pool we are logged in to, or will be at the first call."""

    async def close(self) -> None:
        """Logs out as far as possible; never raises."""
        ...


class PoolGateway(Protocol):
    """The way to pools."""

    async def probe(self, address: str) -> Certificate:
        """The certificate presented at ``host`` or ``host:port``; Unavailable POOL_UNREACHABLE."""
        ...

    async def introduce(
        self, address: str, username: str, password: Secret, certificate_sha256: str
    ) -> tuple[Introduction, int]:
        """Logs in at any member that presents that certificate; (what the pool says, HTTPS port).

        Raises FailedPrecondition CERTIFICATE_CHANGED before anything is sent when another one is presented,
        FailedPrecondition COORDINATOR_UNTRUSTED when a supporter cannot vouch for its coordinator.
        """
        ...

    def connect(self, pool: Pool, password: Secret) -> PoolConnection:
        """A connection that logs in when it is first used."""
        ...
