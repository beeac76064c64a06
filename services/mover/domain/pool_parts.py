"""A pool's metadata as the hypervisor service offers it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolParts:
    """``pool`` is ``pools/{pool}``; ``parts`` are names, in the order in which they are read."""

    pool: str
    display_name: str
    parts: tuple[str, ...]

    @property
    def pool_id(self) -> str:
        return self.pool.rpartition("/")[2]
