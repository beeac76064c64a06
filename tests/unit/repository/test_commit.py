"""A point is made when all it needs is there and nobody took the right to make it away: else it is not."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from services.chassis.errors import Aborted, Internal, Unavailable
from services.mover.repository import BackupSession, MemoryStore, Repository
from services.mover.repository.format.names import DAMAGE, LEASES, PACKS, POINTS
from services.mover.repository.leasewatch import remove_leases, revoke
from services.mover.repository.types import Bytes
from tests.unit.repository.world import (
    MIB,
    OPTIONS,
    add_disk,
    back_up,
    description,
    new_repository,
    noise,
    restored,
)

A = noise(2 * MIB, 1)


class Watched(MemoryStore):
    """Something happens before, or instead of the answer after, a point is put."""

    before: Callable[[], object] = staticmethod(lambda: None)
    answers = True

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        if name != f"{POINTS}b":
            super().put(name, parts)
            return
        before, self.before = self.before, lambda: None
        before()
        super().put(name, parts)
        if not self.answers:
            raise Unavailable("No answer.", reason="STORE_UNREACHABLE")

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(prefix))


@pytest.fixture
def store() -> Watched:
    return Watched()


@pytest.fixture
def repository(store: Watched, tmp_path: Path) -> Iterator[Repository]:
    """With a point ``a`` that ``b`` will share everything with."""
    with new_repository(store, tmp_path) as repository:
        back_up(repository, "a", A)
        yield repository


def session_of_b(repository: Repository) -> BackupSession:
    return repository.begin_backup("b", options=OPTIONS)


def test_a_pack_that_vanished_after_it_was_relied_on_makes_no_point(
    repository: Repository, store: Watched
) -> None:
    with pytest.raises(Aborted) as refused, session_of_b(repository) as session:
        add_disk(session, A)
        for name in store.names(f"{PACKS}data/"):
            del store.objects[name]
        session.commit(description())
    assert "PACKS_VANISHED" == refused.value.reason
    assert ["points/a"] == store.names(POINTS)
    back_up(repository, "b", A)
    assert A == restored(repository, "b")


def test_a_blob_that_somebody_was_to_store_and_did_not_makes_no_point(
    repository: Repository, store: Watched
) -> None:
    with pytest.raises(Internal) as refused, session_of_b(repository) as session:
        add_disk(session, A)
        assert session._pipeline.ledger.claim(bytes(32))
        session.commit(description())
    assert "BLOB_NOT_STORED" == refused.value.reason
    assert ["points/a"] == store.names(POINTS)


@pytest.mark.parametrize("lost", [True, False])
def test_a_missing_pack_is_damage_only_to_whoever_has_the_right_to_rely_on_it(
    repository: Repository, store: Watched, lost: bool
) -> None:
    """Without the lease it may just have been pruned, and the record would be a lie to everybody."""
    session = session_of_b(repository)
    missing = store.names(f"{PACKS}data/")
    for name in missing:
        del store.objects[name]
    if lost:
        remove_leases(repository._context, "b")
        with pytest.raises(Aborted) as refused, session:
            add_disk(session, A)
        assert "LEASE_LOST" == refused.value.reason
        assert [] == store.names(DAMAGE)
        return
    with session:
        add_disk(session, A)
        point = session.commit(description())
    assert {"PACK_MISSING"} == {notice.code for notice in point.notices}
    assert len(missing) == len(store.names(DAMAGE))


def test_a_point_that_was_revoked_at_the_last_moment_is_not_taken_for_made(
    repository: Repository, store: Watched
) -> None:
    """``POINT_EXISTS`` would tell that an earlier try had succeeded."""
    store.before = lambda: revoke(repository._context, "b")
    with pytest.raises(Aborted) as refused, session_of_b(repository) as session:
        add_disk(session, A)
        session.commit(description())
    assert "LEASE_LOST" == refused.value.reason
    assert ["a"] == repository.list_points()


def test_while_nobody_knows_whether_the_point_was_made_its_lease_stays(
    repository: Repository, store: Watched
) -> None:
    store.answers = False
    with pytest.raises(Unavailable), session_of_b(repository) as session:
        add_disk(session, A)
        session.commit(description())
    assert 1 == len(store.names(f"{LEASES}b/"))
    assert A == restored(repository, "b"), "it was made"
