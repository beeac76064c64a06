"""Which objects keep a restore point from being restored."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from services.chassis.errors import DataLoss, NotFound
from services.mover.repository.context import Context
from services.mover.repository.diskmap import Shape
from services.mover.repository.format.names import point_name
from services.mover.repository.format.point import decode_body
from services.mover.repository.pagecheck import Culprits, PageChecker
from services.mover.repository.streamreader import stream_id_batches


class PointChecker:
    """Walks points' maps, each shared page once. A context manager, for one thread at a time."""

    def __init__(self, context: Context, lost: set[tuple[bytes, bytes]]) -> None:
        """``lost`` are (pack, blob) of copies known not to decode."""
        self._context = context
        self._lost = lost
        self._pages = PageChecker(context, self._blobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pages.close()

    def culprits(self, point_id: str) -> Culprits:
        """What is to blame when the point cannot be restored completely; empty when it can."""
        name = point_name(point_id)
        try:
            point = decode_body(self._context.objects.get("point", name)[1], name)
        except (DataLoss, NotFound) as error:
            return {name: error.message}
        found: Culprits = {}
        for disk in point.disks:
            if disk.root is not None:
                shape = Shape(disk.size_bytes, self._context.chunk_bytes)
                culprits = self._pages.culprits(disk.root, shape.levels, shape.chunks)
                found |= {object_ or name: problem for object_, problem in culprits.items()}
        for ref in point.streams.values():
            try:
                for ids in stream_id_batches(self._context.reader, ref):
                    for lost in self._blobs(ids).values():
                        found |= lost
            except DataLoss as error:
                found[error.metadata.get("object", name)] = error.message
        return found

    def _blobs(self, ids: Sequence[bytes]) -> dict[bytes, Culprits]:
        if not self._lost:
            known = self._context.index.known(ids)
            ids = [id_ for id_ in ids if id_ not in known]
        copies = self._context.index.find(ids)
        found: dict[bytes, Culprits] = {}
        for id_ in ids:
            here = copies.get(id_, [])
            if any((copy.pack.sha256, id_) not in self._lost for copy in here):
                continue
            name = here[0].pack.name if here else f"blob {id_.hex()}"
            what = f"a {here[0].entry.type.name.lower()}" if here else "a blob"
            found[id_] = {name: f"{name} is damaged: {what} is lost."}
        return found
