"""The restore points of an open repository. They never change, so each is read once a process."""

import threading
from dataclasses import dataclass

from services.chassis.errors import DataLoss, InvalidInput, NotFound
from services.mover.repository import Repository, RestorePoint


@dataclass(frozen=True, slots=True)
class Known:
    """Points that can be read, and what is wrong with those that cannot, by id."""

    points: tuple[RestorePoint, ...]
    unreadable: dict[str, str]

    def of_asset(self, asset_id: str) -> list[RestorePoint]:
        """Newest first."""
        ours = [point for point in self.points if point.asset.get("id") == asset_id]
        return sorted(ours, key=lambda point: (point.snapshot_time, point.commit_time), reverse=True)


class KnownPoints:
    """Costs a listing of names and the reading of points not seen before. Used from threads."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._points: dict[str, RestorePoint] = {}
        self._lock = threading.Lock()

    def now(self) -> Known:
        """What the repository holds; one that is removed meanwhile is left out."""
        with self._lock:
            listed = self._repository.list_points()
            self._points = {id_: self._points[id_] for id_ in listed if id_ in self._points}
            unreadable: dict[str, str] = {}
            for point_id in listed:
                if point_id in self._points:
                    continue
                try:
                    self._points[point_id] = self._repository.get_point(point_id)
                except DataLoss as error:
                    unreadable[point_id] = error.message
                except (NotFound, InvalidInput):  # no point can have such a name: it is something else
                    continue
            return Known(tuple(self._points.values()), unreadable)
