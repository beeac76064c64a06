"""What the operator chooses for a mover."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from services.chassis.bus.subjects import token
from services.chassis.config import BaseConfig, is_address, option
from services.chassis.errors import InvalidInput
from services.mover.domain.transfer import MOST_GRACE

SHORTEST_LEASE = timedelta(seconds=2)


def _between(least: int, most: int, value: int) -> str | None:
    return None if least <= value <= most else f"must be {least} to {most}"


def _is_site(value: str) -> str | None:
    try:
        token(f"mover-{value}")
    except InvalidInput as error:
        return error.hint
    return None


@dataclass(frozen=True, kw_only=True)
class MoverConfig(BaseConfig):
    """See ``BaseConfig`` for the rest. Movers of one site share one store and one sealing key."""

    listen: str = field(
        default="127.0.0.1:7102", metadata=option("host:port on which gRPC is served", check=is_address)
    )
    hypervisor: str = field(
        default="127.0.0.1:7101", metadata=option("host:port of the hypervisor service", check=is_address)
    )
    site: str = field(default="home", metadata=option("name of this mover's site", check=_is_site))
    transfers_at_once: int = field(
        default=4,
        metadata=option(
            "transfers this mover works on at once; fewer where memory is not enough for them",
            check=lambda value: _between(1, 64, value),
        ),
    )
    compression_level: int = field(
        default=1,
        metadata=option("zstd level, -5 (fast) to 19 (small)", check=lambda value: _between(-5, 19, value)),
    )
    unchanged_sample: int = field(
        default=1,
        metadata=option(
            "chunks of each disk that are compared with the restore point before, though they did not change",
            check=lambda value: _between(0, 1024, value),
        ),
    )
    checkpoint_interval: timedelta = field(
        default=timedelta(seconds=5),
        metadata=option("how often a backup under way writes down, at most, how far it is"),
    )
    transfer_lease: timedelta = field(
        default=timedelta(seconds=20),
        metadata=option(
            "how long a mover that died keeps its transfers from the others",
            check=lambda value: None if value >= SHORTEST_LEASE else "must be at least 2s",
        ),
    )
    trash_grace: timedelta = field(
        default=timedelta(days=7),
        metadata=option(
            "how long deleted restore points can be taken back, at least",
            check=lambda value: None if timedelta() <= value <= MOST_GRACE else "must be 0s to 3650d",
        ),
    )
    s3_credentials_dir: Path | None = field(
        default=None,
        metadata=option("directory of files with S3 credentials; a repository's URL names the file"),
    )
    replicas: str | None = field(
        default=None,
        metadata=option(
            "URL of the place where copies that other sites' movers send are kept; none are if left out"
        ),
    )
    s3_ca: Path | None = field(
        default=None,
        metadata=option("PEM file with the authority of S3 servers; public authorities if left out"),
    )
