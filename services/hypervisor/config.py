"""What the operator of the hypervisor service chooses."""

from dataclasses import dataclass, field
from datetime import timedelta

from services.chassis.config import BaseConfig, is_address, option


@dataclass(frozen=True, kw_only=True)
class HypervisorConfig(BaseConfig):
    """XENKEEP_… variables of this service."""

    listen: str = field(
        default="0.0.0.0:7441",
        metadata=option("host:port on which gRPC is served", check=is_address),
    )
    pool_patience: timedelta = field(
        default=timedelta(seconds=25),
        metadata=option("how long an outage of a pool is bridged before a request fails"),
    )
    crash_at: str = field(
        default="",
        metadata=option("for tests of crashes: the step after which this process kills itself"),
    )
