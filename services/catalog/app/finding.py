"""Finding what can be restored."""

import re
from collections.abc import Sequence
from datetime import datetime

from services.catalog.domain.point import Filter, ProtectedAsset, RestorePoint
from services.catalog.ports import Shelf
from services.chassis.errors import FailedPrecondition, NotFound

SHORT_ID = re.compile(r"[0-9a-fA-F-]{8,36}")


class Finding:
    """Questions; nothing is changed."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def get(self, reference: str) -> RestorePoint:
        """By its id or the first 8 or more characters of it.

        Raises NotFound RESTORE_POINT_NOT_FOUND, FailedPrecondition RESTORE_POINT_AMBIGUOUS.
        """
        async with self._shelf.reading() as work:
            found = await work.points.get(reference)
            if found is None and SHORT_ID.fullmatch(reference):
                ids = await work.points.ids_starting_with(reference.lower())
                if len(ids) > 1:
                    raise FailedPrecondition(
                        f"More than one restore point has an id that begins with {reference}.",
                        reason="RESTORE_POINT_AMBIGUOUS",
                        hint="Give more of the id.",
                    )
                found = await work.points.get(ids[0]) if ids else None
        if found is None:
            raise NotFound(
                f"There is no restore point {reference}.",
                reason="RESTORE_POINT_NOT_FOUND",
                hint="List the restore points; a repository that was changed by hand must be synced.",
                metadata={"restore_point": reference},
            )
        return found

    async def page(
        self, wanted: Filter, before: tuple[datetime, str] | None, size: int
    ) -> Sequence[RestorePoint]:
        """Newest first, those after ``before``."""
        async with self._shelf.reading() as work:
            return await work.points.page(wanted, before, size)

    async def assets(self, after: tuple[str, str] | None, size: int) -> Sequence[ProtectedAsset]:
        """By name, those after ``after``."""
        async with self._shelf.reading() as work:
            return await work.points.assets(after, size)
