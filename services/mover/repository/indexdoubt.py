"""A pack could not be read as the local index has it: which of the two is wrong?"""

from services.chassis.errors import DataLoss, Unavailable
from services.mover.repository.context import Context, info_of
from services.mover.repository.format.segment import PackRecord
from services.mover.repository.indexfile import CACHE_REMADE
from services.mover.repository.indexing import records_of


class IndexDoubt:
    """Asked whenever a read met damage. From any thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._confirmed: set[str] = set()

    def look(self, error: DataLoss) -> None:
        """Raises Unavailable when the local index says otherwise of the pack than the repository does.

        It is empty then, and filled again by whoever opens the repository next or tries again.
        """
        pack = info_of(error.metadata.get("object", ""))
        if pack is None or pack.name in self._confirmed:
            return
        for record in records_of(self._context, {pack.sha256: pack.kind}):
            if not self._agrees(record):
                self._context.index.clear()
                raise Unavailable(
                    f"The local index was wrong about {pack.name}, and is made anew.",
                    reason=CACHE_REMADE,
                    hint="Try again: it is filled from the repository, which is not affected.",
                ) from error
        self._confirmed.add(pack.name)

    def _agrees(self, record: PackRecord) -> bool:
        """Whether the index has every blob of the pack where the repository says that it is."""
        found = self._context.index.find([entry.id for entry in record.entries])
        for slot, (entry, at) in enumerate(zip(record.entries, record.offsets(), strict=True)):
            copies = [each for each in found.get(entry.id, ()) if each.pack.is_of(record)]
            if (slot, at, entry) not in [(each.slot, each.offset, each.entry) for each in copies]:
                return False
        return True
