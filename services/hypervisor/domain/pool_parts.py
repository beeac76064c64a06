"""The parts of a pool's metadata, and their names."""

import re
from dataclasses import dataclass

from services.chassis.errors import NotFound

DESCRIPTION = "description.json"
DATABASE = "database.xml"
_HOST = re.compile(r"host-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.tar")


@dataclass(frozen=True)
class PoolPart:
    """``name`` is stable and fits a file."""

    name: str
    display_name: str


def parts_of(hosts: tuple[tuple[str, str], ...]) -> tuple[PoolPart, ...]:
    """In the order in which they are read; ``hosts`` are (UUID, name) of those whose files are wanted."""
    return (
        PoolPart(DESCRIPTION, "description of the pool"),
        PoolPart(DATABASE, "database of the pool"),
        *(PoolPart(f"host-{host_id}.tar", f"files of host {name}") for host_id, name in hosts),
    )


def host_of(part: str) -> str:
    """UUID of the host whose files a part is. Raises NotFound PART_UNKNOWN."""
    match = _HOST.fullmatch(part)
    if match is None:
        raise NotFound(
            f"A pool has no part {part[:100]!r}.",
            reason="PART_UNKNOWN",
            hint="Ask for one of the parts it lists.",
        )
    return match[1]
