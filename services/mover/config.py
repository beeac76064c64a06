"""What the operator chooses for a mover."""

from dataclasses import dataclass, field

from services.chassis.config import BaseConfig, is_address, option


@dataclass(frozen=True, kw_only=True)
class MoverConfig(BaseConfig):
    """See ``BaseConfig`` for the rest."""

    listen: str = field(
        default="127.0.0.1:7102", metadata=option("host:port on which gRPC is served", check=is_address)
    )
    hypervisor: str = field(
        default="127.0.0.1:7101", metadata=option("host:port of the hypervisor service", check=is_address)
    )
    site: str = field(default="home", metadata=option("name of this mover's site"))
    transfers_at_once: int = field(default=4, metadata=option("transfers this mover works on at once"))
    compression_level: int = field(default=1, metadata=option("zstd level, 1 (fast) to 19 (small)"))
