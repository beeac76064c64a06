"""What is saved of pools beside their VMs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolMetadata:
    """``pools`` by name or UUID, all of them when empty; ``hosts`` with the files of their hosts."""

    pools: tuple[str, ...] = ()
    hosts: bool = False


@dataclass(frozen=True, slots=True)
class PoolRef:
    """``name`` is ``pools/{pool}``."""

    name: str
    display_name: str

    @property
    def pool_id(self) -> str:
        return self.name.rpartition("/")[2]


def is_pool(subject: str) -> bool:
    """Whether a task is about a pool, and not about a VM of one."""
    return subject.startswith("pools/") and subject.count("/") == 1
