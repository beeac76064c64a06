"""What the operator of the catalog chooses."""

from dataclasses import dataclass, field
from datetime import timedelta

from services.chassis.config import BaseConfig, is_address, option


@dataclass(frozen=True, kw_only=True)
class CatalogConfig(BaseConfig):
    """The address of the movers, and how patient to be."""

    mover: str = field(metadata=option("host:port of the mover service", check=is_address))
    neighbour_deadline: timedelta = field(
        default=timedelta(seconds=15), metadata=option("how long a neighbour may take for one answer")
    )
    listing_deadline: timedelta = field(
        default=timedelta(hours=1), metadata=option("how long reading the points of one repository may take")
    )
