"""Which map pages a prune has walked, kept outside of memory: every change of a disk has pages of its own."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

from services.mover.repository.scratchdb import ScratchDb

_BATCH: Final = 500


class WalkedPages(ScratchDb):
    """Ids of pages. What is noted in a ``transaction`` that fails is forgotten again."""

    def __init__(self) -> None:
        super().__init__("CREATE TABLE pages (id BLOB PRIMARY KEY) WITHOUT ROWID;")

    def note(self, ids: Iterable[bytes]) -> list[bytes]:
        """Those that were not noted before, each once."""
        new: list[bytes] = []
        waiting = iter(dict.fromkeys(ids))
        while some := list(islice(waiting, _BATCH)):
            marks = ",".join("?" * len(some))
            known = {row[0] for row in self.rows(f"SELECT id FROM pages WHERE id IN ({marks})", some)}  # noqa: S608
            fresh = [id_ for id_ in some if id_ not in known]
            self.add("INSERT INTO pages VALUES (?)", ((id_,) for id_ in fresh))
            new += fresh
        return new
