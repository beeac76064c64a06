"""What the operator of the hypervisor service chooses."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from services.chassis.config import BaseConfig, is_address, option


@dataclass(frozen=True, kw_only=True)
class HypervisorConfig(BaseConfig):
    """XENKEEP_… variables of this service."""

    listen: str = field(
        default="127.0.0.1:7101",
        metadata=option("host:port on which gRPC is served", check=is_address),
    )
    pool_patience: timedelta = field(
        default=timedelta(seconds=25),
        metadata=option("how long an outage of a pool is bridged before a request fails"),
    )
    canvass_every: timedelta = field(
        default=timedelta(seconds=10),
        metadata=option(
            "how often eight hosts of a pool are asked which coordinator they follow",
            check=lambda every: None if every.total_seconds() > 0 else "must be more than nothing",
        ),
    )
    nbd_spare: int = field(
        default=4,
        metadata=option(
            "NBD connections of each host's 16 that backups leave to others",
            check=lambda count: None if 0 <= count < 16 else "must be 0 to 15",
        ),
    )
    longest_chain: int = field(
        default=24,
        metadata=option(
            "images below a disk from which no snapshot of it is taken",
            check=lambda count: None if 1 <= count <= 30 else "must be 1 to 30",
        ),
    )
    most_uncoalesced: int = field(
        default=3,
        metadata=option(
            "images below a disk that may wait to be coalesced when a snapshot of it is taken",
            check=lambda count: None if 0 <= count <= 30 else "must be 0 to 30",
        ),
    )
    sr_reserve_percent: int = field(
        default=2,
        metadata=option(
            "part of a storage repository that a snapshot must leave free, in percent",
            check=lambda count: None if 0 <= count < 100 else "must be 0 to 99",
        ),
    )
    hook_ca: Path | None = field(
        default=None,
        metadata=option("PEM file with authorities that hooks' servers may have besides the system's"),
    )
    crash_at: str = field(
        default="",
        metadata=option("for tests of crashes: the step after which this process kills itself"),
    )
