"""What a session was to store and could not: it ends with the cause, and nobody counts on it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from services.chassis.errors import DataLoss, NotFound, Unavailable, XenkeepError
from services.mover.repository import MemoryStore
from services.mover.repository.format import zstd
from services.mover.repository.format.names import PACKS
from services.mover.repository.types import Bytes
from tests.support.waiting import PATIENCE_S
from tests.unit.repository.world import MIB, OPTIONS, description, new_repository, noise

CONTENT = noise(3 * MIB)
OUT_OF_ROOM = "no room on the shelf"


class FailingOnce(MemoryStore):
    """Does not take its first pack."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = threading.Event()

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        if name.startswith(PACKS) and not self.failed.is_set():
            self.failed.set()
            raise Unavailable(OUT_OF_ROOM, reason="STORE_FULL")
        super().put(name, parts)


def failing_in(thread: threading.Thread, error: Exception, call: Callable[..., Any]) -> Callable[..., Any]:
    """``call``, but in this thread it fails."""

    def wrapped(*args: Any) -> Any:
        if threading.current_thread() is thread:
            raise error
        return call(*args)

    return wrapped


@pytest.mark.parametrize(
    ("step", "cause"), [("compress", MemoryError), ("decompress_into", DataLoss)], ids=["encoded", "proven"]
)
def test_a_list_that_cannot_be_stored_is_not_counted_on_when_its_stream_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, cause: type[Exception]
) -> None:
    with (
        new_repository(MemoryStore(), tmp_path) as repository,
        repository.begin_backup("p1", options=OPTIONS) as session,
    ):
        with monkeypatch.context() as patched:  # lists are stored in the caller's thread, pieces in others
            failing = failing_in(threading.current_thread(), MemoryError(), getattr(zstd, step))
            patched.setattr(zstd, step, failing)
            with pytest.raises(cause):
                session.stream("memory", [CONTENT])
        with pytest.raises(cause):
            session.stream("memory", [CONTENT])


def test_two_streams_with_the_content_of_a_pack_that_was_not_stored_make_no_point_and_the_next_attempt_does(
    tmp_path: Path,
) -> None:
    with new_repository(FailingOnce(), tmp_path) as repository:
        with repository.begin_backup("p1", transfer_id="t", options=OPTIONS) as session:
            session.stream("one", [CONTENT])
            session.stream("two", [CONTENT])  # finds what is on its way
            with pytest.raises(Unavailable, match=OUT_OF_ROOM):
                session.commit(description())
        with pytest.raises(NotFound):
            repository.get_point("p1")
        with repository.begin_backup("p1", transfer_id="t", options=OPTIONS) as session:
            session.stream("one", [CONTENT])
            session.stream("two", [CONTENT])
            session.commit(description())
        for name in ("one", "two"):
            assert b"".join(repository.read_stream("p1", name)) == CONTENT
        assert repository.verify(full=True).findings == ()


def test_a_stream_that_found_what_another_one_could_not_store_ends_with_the_others_cause(
    tmp_path: Path,
) -> None:
    store = FailingOnce()

    def same_and_more() -> Iterator[bytes]:
        yield CONTENT
        yield noise(5 * MIB, 1)  # the pack is full
        assert store.failed.wait(PATIENCE_S)
        while True:
            yield CONTENT

    with (
        new_repository(store, tmp_path) as repository,
        repository.begin_backup("p1", options=OPTIONS) as session,
    ):
        session.stream("one", [CONTENT])
        with pytest.raises(Unavailable, match=OUT_OF_ROOM):
            session.stream("two", same_and_more())
        with pytest.raises(XenkeepError):
            session.commit(description())
        assert repository.list_points() == []
