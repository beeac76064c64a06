"""What to copy, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """Which points, and how many packs at once. Each of the three narrows the choice; unset it does not.

    ``assets`` are ids or names of assets; ``since`` is an RFC 3339 time in UTC, whole seconds, and takes
    points whose snapshot is not older; ``newest`` takes so many points of each asset. ``streams`` packs are
    under way at once, each of them in memory.
    """

    assets: frozenset[str] = frozenset()
    since: str = ""
    newest: int = 0
    streams: int = 4

    @property
    def everything(self) -> bool:
        return not (self.assets or self.since or self.newest)


@dataclass(slots=True)
class CopyReport:
    """Sizes in bytes. ``found`` packs were at the target in no index: an earlier copy had sent them."""

    copied_points: list[str] = field(default_factory=list)
    known_points: int = 0
    left_points: dict[str, str] = field(default_factory=dict)
    """Id of a point that was to be copied and was not: why."""
    copied_packs: int = 0
    copied_bytes: int = 0
    found_packs: int = 0
    found_bytes: int = 0
    notices: list[tuple[str, str]] = field(default_factory=list)


class CopyListener(Protocol):
    """Hears of an activity, of the bytes to send as far as they are known, of those sent and those found."""

    def __call__(self, activity: str, total: int, sent: int, found: int, /) -> None: ...


def chosen(points: Mapping[str, tuple[Mapping[str, str], str]], options: CopyOptions) -> list[str]:
    """Ids of the chosen ``points`` (id: asset, snapshot time), the oldest snapshot first."""
    by_age = sorted(points, key=lambda point_id: (points[point_id][1], point_id))
    of_assets = [
        point_id
        for point_id in by_age
        if not options.assets or options.assets & {points[point_id][0].get(key, "") for key in ("id", "name")}
    ]
    newest: dict[str, list[str]] = {}
    for point_id in of_assets:
        newest.setdefault(points[point_id][0].get("id", ""), []).append(point_id)
    among = {point_id for some in newest.values() for point_id in some[-options.newest :]}
    return [point_id for point_id in of_assets if point_id in among and points[point_id][1] >= options.since]
