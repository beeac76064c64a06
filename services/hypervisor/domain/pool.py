"""Pools and their hosts."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from services.hypervisor.domain.vm import Vm


class PoolState(Enum):
    """How we get on with a pool; names as in the contract."""

    ONLINE = "ONLINE"
    UNREACHABLE = "UNREACHABLE"
    CERTIFICATE_CHANGED = "CERTIFICATE_CHANGED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    CONTESTED = "CONTESTED"


@dataclass(frozen=True)
class Host:
    """A member of a pool, as the pool sees it."""

    host_id: str
    display_name: str
    address: str
    live: bool
    fingerprint: str = ""
    """Of the certificate the pool says it presents; empty where the pool does not tell."""


@dataclass(frozen=True)
class Member:
    """Where a host is spoken to, and the certificate it must present there (PEM)."""

    host_id: str
    address: str
    certificate_pem: str


@dataclass(frozen=True)
class Certificate:
    """What a host presents: fingerprint of the DER form in lower-case hexadecimal."""

    sha256: str
    subject: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True)
class Pool:
    """A pool that was added: what must survive a restart. The password is kept apart, sealed."""

    pool_id: str
    display_name: str
    product: str
    username: str
    port: int
    """HTTPS port of every member: redirects within a pool carry an address alone."""
    coordinator: str
    members: tuple[Member, ...]
    hosts: tuple[Host, ...]
    missing_rights: tuple[str, ...]
    state: PoolState
    state_message: str
    created: datetime
    dispute: str = ""
    """What its hosts say while more than one leads it; empty otherwise."""


@dataclass(frozen=True)
class Picture:
    """Everything the inventory knows of a pool at one moment. Unchanged VMs stay the same objects."""

    display_name: str
    product: str
    coordinator: str
    hosts: tuple[Host, ...]
    vms: dict[str, Vm] = field(default_factory=dict)
    """VMs and own templates that can be protected, by UUID."""
    storage_changes: int = 0
    """Grows whenever the pool tells of a disk or a storage repository, or that a migration has ended."""
