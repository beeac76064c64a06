"""What the mover remembers: repositories in service, transfers."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from services.mover.domain.facts import Fact
from services.mover.domain.repository import Registration
from services.mover.domain.transfer import Transfer


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """What opens a repository, readable only with this site's sealing key."""

    value: bytes

    def __repr__(self) -> str:
        return "SealedSecret(***)"


class RepositoryBook(Protocol):
    """The repositories in service."""

    async def get(self, repository_id: str) -> Registration | None: ...

    async def find(self, display_name: str) -> Registration | None: ...

    async def at(self, url: str) -> Registration | None: ...

    async def page(self, after: str, size: int) -> Sequence[Registration]:
        """The first ``size`` by display name whose name is greater than ``after``."""
        ...

    async def put(self, registration: Registration, secret: SealedSecret) -> None: ...

    async def change_secret(self, repository_id: str, secret: SealedSecret) -> None:
        """What the repository is opened with from now on."""
        ...

    async def secret(self, repository_id: str) -> SealedSecret:
        """Raises NotFound."""
        ...


class TransferBook(Protocol):
    """The transfers this site has met."""

    async def get(self, transfer_id: str) -> Transfer | None: ...

    async def page(self, before: str, size: int) -> Sequence[Transfer]:
        """Newest first; those made before the transfer ``before`` if given."""
        ...

    async def put(self, transfer: Transfer) -> None:
        """Keep it, in place of the one with its id."""
        ...

    async def refuse(self, transfer_id: str) -> None:
        """Remember that this transfer, not met yet, is not wanted."""
        ...

    async def is_refused(self, transfer_id: str) -> bool: ...


class Work(Protocol):
    """A unit of work: what is put and told in it happens together, or none of it does."""

    @property
    def repositories(self) -> RepositoryBook: ...

    @property
    def transfers(self) -> TransferBook: ...

    async def tell(self, fact: Fact) -> None:
        """Announce a fact, or hand work to the site's queue, when this commits."""
        ...


class Books(Protocol):
    """Opens the books. Units that write run one after the other."""

    def writing(self) -> AbstractAsyncContextManager[Work]:
        """Commits at the end; rolls back when the block raises."""
        ...

    def reading(self) -> AbstractAsyncContextManager[Work]:
        """For looking only."""
        ...


class Ear(Protocol):
    """One listener."""

    async def next(self) -> None:
        """Return at the next change; at once when there was one since the last call."""
        ...


class Changes(Protocol):
    """Wakes whoever waits for a change of the books by this process."""

    def listen(self) -> AbstractContextManager[Ear]: ...
