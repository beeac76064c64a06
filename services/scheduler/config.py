"""What the operator of the scheduler chooses."""

from dataclasses import dataclass, field
from datetime import timedelta

from services.chassis.config import BaseConfig, is_address, option


def _positive(value: int) -> str | None:
    return None if value > 0 else "must be 1 or more"


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig(BaseConfig):
    """Addresses of the neighbours, limits, and how patient to be."""

    hypervisor: str = field(metadata=option("host:port of the hypervisor service", check=is_address))
    mover: str = field(metadata=option("host:port of the mover service", check=is_address))
    catalog: str = field(metadata=option("host:port of the catalog", check=is_address))
    tasks_per_run: int = field(
        default=4, metadata=option("tasks of one run at once, where its policy does not say", check=_positive)
    )
    tasks_per_host: int = field(
        default=2, metadata=option("tasks on VMs of one host at once, over all runs", check=_positive)
    )
    tasks_per_pool: int = field(
        default=8, metadata=option("tasks in one pool at once, over all runs", check=_positive)
    )
    tasks_per_sr: int = field(
        default=4,
        metadata=option(
            "tasks on VMs with disks on one storage repository at once, over all runs", check=_positive
        ),
    )
    neighbour_deadline: timedelta = field(
        default=timedelta(seconds=15), metadata=option("how long a neighbour may take for one answer")
    )
    selection_patience: timedelta = field(
        default=timedelta(hours=1),
        metadata=option("how long a run waits for neighbours to answer before it fails"),
    )
    transfer_silence: timedelta = field(
        default=timedelta(minutes=15),
        metadata=option("how long movers may say nothing about a task before it says so"),
    )
