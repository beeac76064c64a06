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
    hook_ca: Path | None = field(
        default=None,
        metadata=option("PEM file with authorities that hooks' servers may have besides the system's"),
    )
    crash_at: str = field(
        default="",
        metadata=option("for tests of crashes: the step after which this process kills itself"),
    )
