"""Which objects keep a restore point from being restored."""

from services.chassis.errors import DataLoss, NotFound
from services.mover.repository.context import Context
from services.mover.repository.format.blob import BlobType
from services.mover.repository.format.names import PAGE_ENTRIES, point_name
from services.mover.repository.format.page import Entry
from services.mover.repository.format.point import decode_body
from services.mover.repository.streamreader import stream_id_batches

Culprits = dict[str, str]
"""Object name to problem."""


class PointChecker:
    """Walks points' maps, each shared page once.

    Costs memory for one small value per distinct level-0 page, that is per GiB of distinct content.
    """

    def __init__(self, context: Context, lost: set[tuple[bytes, bytes]]) -> None:
        """``lost`` are (pack, blob) of copies known not to decode."""
        self._context = context
        self._lost = lost
        self._pages: dict[tuple[bytes, int], Culprits] = {}

    def culprits(self, point_id: str) -> Culprits:
        """What is to blame when the point cannot be restored completely; empty when it can."""
        name = point_name(point_id)
        try:
            point = decode_body(self._context.objects.get("point", name)[1], name)
        except (DataLoss, NotFound) as error:
            return {name: error.message}
        found: Culprits = {}
        for disk in point.disks:
            disk_map = self._context.disk_map(disk)
            try:
                for position, page_id in disk_map.pages():
                    limit = disk_map.shape.chunks - position * PAGE_ENTRIES
                    key = (page_id, min(limit, PAGE_ENTRIES))
                    if key not in self._pages:
                        self._pages[key] = self._blobs(
                            [
                                id_
                                for index, entry in disk_map.page(page_id, 0).items.items()
                                if isinstance(entry, Entry) and index < limit
                                for id_ in entry.blob_ids()
                            ]
                        )
                    found |= self._pages[key]
            except DataLoss as error:
                found[error.metadata.get("object", name)] = error.message
        for ref in point.streams.values():
            try:
                for ids in stream_id_batches(self._context.reader, ref):
                    found |= self._blobs(ids)
            except DataLoss as error:
                found[error.metadata.get("object", name)] = error.message
        return found

    def _blobs(self, ids: list[bytes]) -> Culprits:
        copies = self._context.index.find(ids)
        found: Culprits = {}
        for id_ in ids:
            here = copies.get(id_, [])
            if any((copy.pack.sha256, id_) not in self._lost for copy in here):
                continue
            name = here[0].pack.name if here else f"blob {id_.hex()}"
            found[name] = f"{name} is damaged: {_kind(here[0].entry.type) if here else 'a blob'} is lost."
        return found


def _kind(type_: BlobType) -> str:
    return f"a {type_.name.lower()}"
