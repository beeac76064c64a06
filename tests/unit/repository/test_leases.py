"""The right to make a point: shown, lost, given back, and nobody else's taken."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from services.chassis.errors import (
    Aborted,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    Unavailable,
    XenkeepError,
)
from services.mover.repository import MemoryStore
from services.mover.repository.context import Context
from services.mover.repository.flow import Flow
from services.mover.repository.format.names import LEASES
from services.mover.repository.leasekeeper import LeaseKeeper
from services.mover.repository.leases import take_lease
from services.mover.repository.leasewatch import remove_leases, revoke
from services.mover.repository.types import Bytes
from tests.support.waiting import PATIENCE_S
from tests.unit.repository.world import new_repository


class Silent(MemoryStore):
    """A store that, when ``down``, takes nothing and does not say so."""

    down = False

    def put(self, name: str, parts: Sequence[Bytes]) -> None:
        if self.down:
            raise Unavailable(f"No answer about {name}.", reason="STORE_UNREACHABLE")
        super().put(name, parts)

    def leases(self) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(LEASES))


@pytest.fixture
def store() -> Silent:
    return Silent()


@pytest.fixture
def context(store: Silent, tmp_path: Path) -> Iterator[Context]:
    with new_repository(store, tmp_path) as repository:
        yield repository._context


def test_a_beat_finds_that_the_lease_is_gone(context: Context) -> None:
    """Hours before the commit would."""
    lease = take_lease(context, "a")
    remove_leases(context, "a")
    with pytest.raises(Aborted) as lost:
        lease.beat()
    assert "LEASE_LOST" == lost.value.reason


def test_a_beat_finds_that_the_point_was_revoked(context: Context) -> None:
    lease = take_lease(context, "a")
    assert revoke(context, "a")
    with pytest.raises(Aborted) as lost:
        lease.beat()
    assert "POINT_REVOKED" == lost.value.reason


def test_a_lease_that_was_retired_is_not_renewed(context: Context, store: Silent) -> None:
    """A beat that comes late would leave a lease that nobody gives back."""
    lease = take_lease(context, "a")
    lease.retire()
    lease.beat()
    assert ["leases/a/00000001"] == store.leases()
    lease.release()
    lease.beat()
    assert [] == store.leases()


def test_who_gives_up_after_a_beat_without_an_answer_takes_nobody_elses_lease(
    context: Context, store: Silent
) -> None:
    one = take_lease(context, "a")
    store.down = True
    with pytest.raises(Unavailable):
        one.beat()
    store.down = False
    other = take_lease(context, "a")
    one.release()
    assert ["leases/a/00000002"] == store.leases()
    other.require()


@pytest.mark.parametrize(
    ("trouble", "goes_on"),
    [
        (Unavailable("The store is away.", reason="STORE_UNREACHABLE"), True),
        (ResourceExhausted("The store is full.", reason="STORE_FULL"), True),
        (PermissionDenied("Nobody may.", reason="STORE_REFUSED"), True),
        (Aborted("It was taken away.", reason="LEASE_LOST"), False),
        (AlreadyExists("It is made.", reason="POINT_EXISTS"), False),
    ],
)
def test_what_may_pass_is_told_once_and_what_is_lost_stops_the_backup_at_once(
    trouble: XenkeepError, goes_on: bool
) -> None:
    flow, told, beats = Flow(), list[str](), list[int]()
    decided = threading.Event()
    flow.when_failed(decided.set)

    class Troubled:
        def beat(self) -> None:
            beats.append(1)
            if len(beats) >= 3:
                decided.set()
            raise trouble

    keeper = LeaseKeeper(flow, Troubled(), lambda code, _: told.append(code), 0.001)
    keeper.start()
    assert decided.wait(PATIENCE_S)
    keeper.end()
    flow.join()
    if goes_on:
        assert (None, ["LEASE_NOT_RENEWED"]) == (flow.failure, told)
    else:
        assert (trouble, [1], []) == (flow.failure, beats, told)


def test_each_lease_is_above_those_that_were_there(context: Context, store: Silent) -> None:
    first, second = take_lease(context, "a"), take_lease(context, "a")
    second.beat()
    third = take_lease(context, "a")
    assert [f"leases/a/{number:08d}" for number in (1, 3, 4)] == store.leases()
    with pytest.raises(Aborted) as replaced:
        second.beat()
    assert "TRANSFER_TAKEN_OVER" == replaced.value.reason
    first.release()
    third.release(older=True)
    assert [] == store.leases()
