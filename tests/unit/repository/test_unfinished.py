"""What an unfinished backup left is kept as long as somebody may go on from it, and no longer."""

from datetime import timedelta
from pathlib import Path

import pytest

from services.mover.repository.checkpoint import Checkpoint, CheckpointLog
from services.mover.repository.format.names import CHECKPOINTS, PACKS
from services.mover.repository.leases import take_lease
from tests.unit.repository.test_prune import Place
from tests.unit.repository.world import MIB, NOW, OPTIONS, add_disk, back_up, description, noise, restored

A = noise(2 * MIB, 1)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("age", "leased", "made", "kept"),
    [
        (timedelta(days=6), False, False, True),
        (timedelta(days=8), False, False, False),
        (timedelta(days=8), True, False, True),
        (timedelta(days=-400), False, False, True),  # the clock of whoever saved it was ahead
        (None, False, False, True),  # an earlier release did not say when
        (timedelta(), False, True, False),
        (None, False, True, False),
    ],
)
def test_a_prune_forgets_checkpoints_that_are_a_week_old_or_of_no_use(
    place: Place, age: timedelta | None, leased: bool, made: bool, kept: bool
) -> None:
    with place.repository as repository:
        if made:
            back_up(repository, "b", A)
        if leased:
            take_lease(repository._context, "b")
        when = "" if age is None else (place.clock.time - age).isoformat()
        CheckpointLog(repository._context, "t", lambda *_: None).write(
            Checkpoint("t", "b", None, saved_time=when)
        )
        repository.prune(NOW)
        assert kept == bool(place.names(CHECKPOINTS))


def test_a_prune_keeps_what_an_unfinished_backup_goes_on_from(place: Place) -> None:
    with place.repository as repository:
        session = repository.begin_backup("b", transfer_id="t", options=OPTIONS)
        add_disk(session, A)
        session._pipeline.drain()
        session._saver.save_all()
        session.abort()
        packs = place.names(PACKS)
        assert 0 == repository.prune(NOW).deleted_packs
        assert packs == place.names(PACKS)
        with repository.begin_backup("b", transfer_id="t", options=OPTIONS) as again:
            add_disk(again, A)
            assert len(A) == again.resumed_from_bytes
            assert 0 == again.commit(description()).statistics["new_bytes"]
        assert A == restored(repository, "b")
        assert not place.names(CHECKPOINTS)
