"""Data keys: a new one seals what comes, an old one is retired when nothing is sealed with it any more."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition
from services.mover.repository import MemoryStore, PruneOptions, PruneReport, StoredObject
from services.mover.repository.format.epoch import EpochRecord, decode_epoch_object
from services.mover.repository.format.names import LEASES, PACKS, pack_name
from services.mover.repository.format.pack import HEADER_BYTES, PackHeader
from services.mover.repository.keys import KeyRing
from services.mover.repository.types import Bytes
from tests.unit.repository.test_prune import Place
from tests.unit.repository.world import (
    BLOCK,
    MIB,
    OPTIONS,
    add_disk,
    back_up,
    noise,
    overwritten,
    reopen,
    restored,
)

A = noise(4 * MIB, 1)
B = overwritten(A, {BLOCK: noise(BLOCK, 2)})


def retire(place: Place, through: int, **more: object) -> PruneReport:
    values: dict[str, object] = {"grace_seconds": 0, "patience_seconds": 0, "retire_through": through}
    return place.repository.prune(PruneOptions(**(values | more)))  # type: ignore[arg-type]


def epochs_of_packs(place: Place) -> set[int]:
    headers = (place.store.objects[name][:HEADER_BYTES] for name in place.names(PACKS))
    return {EpochRecord.decode(PackHeader.decode(each, "pack").epoch_record).epoch for each in headers}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A chain, all of it sealed with the first key."""
    place = Place(tmp_path)
    with place.repository as repository:
        back_up(repository, "a", A)
        back_up(repository, "b", B, base="a", changed=[(BLOCK, BLOCK)])
        yield place


def test_after_a_rotation_new_packs_have_another_key_and_old_ones_are_read(place: Place) -> None:
    with place.elsewhere() as other:
        assert 2 == place.repository.keys.start_epoch()
        before = place.names(PACKS)
        back_up(other, "c", noise(MIB, 5))  # a mover that had it open all the time
    new = place.names(PACKS) - before
    assert {1, 2} == epochs_of_packs(place)
    uses = place.repository.keys.epochs()
    assert [(1, len(before), False), (2, len(new), True)] == [
        (use.epoch, use.packs, use.current) for use in uses
    ]
    assert sum(len(place.store.objects[name]) for name in new) == uses[1].pack_bytes
    assert (restored(place.repository, "a"), restored(place.repository, "b")) == (A, B)


def test_after_a_retirement_nothing_is_sealed_with_the_old_key(place: Place) -> None:
    place.repository.keys.start_epoch()
    old = place.names(PACKS)
    report = retire(place, 1)
    assert ((1,), 0) == (report.retired_epochs, report.old_epoch_packs)
    assert len(old) == report.repacked_packs
    assert {2} == epochs_of_packs(place)
    assert not place.names(PACKS) & old
    assert {"epochs/00000002"} == place.names("epochs/")
    assert place.repository._context.keys.data_key(1) is None, "the retired key left the memory too"
    assert [(2, True)] == [(use.epoch, use.current) for use in place.repository.keys.epochs()]
    with place.elsewhere() as other:
        for repository in (place.repository, other):
            assert (restored(repository, "a"), restored(repository, "b")) == (A, B)
            assert repository.verify(full=True).findings == ()
        assert 0 == back_up(other, "c", B, base="b", changed=[]).statistics["new_bytes"]


def test_while_it_stores_again_a_retirement_tells_how_far_it_is(place: Place) -> None:
    place.repository.keys.start_epoch()
    told: list[tuple[int, int]] = []

    def listen(activity: str, total: int, done: int) -> None:
        if activity.startswith("storing again"):
            told.append((total, done))

    options = PruneOptions(grace_seconds=0, patience_seconds=0, retire_through=1)
    report = place.repository.prune(options, listener=listen)
    assert sorted(told) == told
    assert told[-1][1] - told[0][1] >= len(A) < report.stored_bytes
    assert len({done for _, done in told}) > 3


def test_a_large_retirement_goes_on_with_the_next_prune(place: Place) -> None:
    place.repository.keys.start_epoch()
    before = place.repository.keys.epochs()[0].packs
    first = retire(place, 1, repack_bytes=2 * MIB)
    assert 0 < first.old_epoch_packs < before
    assert () == first.retired_epochs and "epochs/00000001" in place.names("epochs/")
    while not (report := retire(place, 1, repack_bytes=2 * MIB)).retired_epochs:
        assert report.repacked_packs > 0
    assert {2} == epochs_of_packs(place)
    assert (restored(place.repository, "a"), restored(place.repository, "b")) == (A, B)


@pytest.mark.parametrize("through", [1, 2, 99])
def test_the_key_that_new_packs_have_is_not_retired(place: Place, through: int) -> None:
    before = dict(place.store.objects)
    with pytest.raises(FailedPrecondition, match="cannot be retired"):
        retire(place, through)
    assert before == place.store.objects


def test_while_a_backup_that_began_before_the_rotation_runs_its_key_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.elsewhere() as other, other.begin_backup("c", options=OPTIONS) as session:
        place.repository.keys.start_epoch()
        add_disk(session, noise(MIB, 7))

        def listing(prefix: str) -> Iterator[StoredObject]:
            if prefix == LEASES:
                session._lease.beat()
            return MemoryStore.list(place.store, prefix)

        monkeypatch.setattr(place.store, "list", listing)
        report = retire(place, 1, patience_seconds=3600)
        assert () == report.retired_epochs
        assert "epochs/00000001" in place.names("epochs/")
        monkeypatch.undo()
        session.abort()
    assert (1,) == retire(place, 1).retired_epochs
    assert {2} == epochs_of_packs(place)


def test_a_key_that_seals_nothing_yet_stays_while_a_backup_runs_that_will_use_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.repository as repository:
        with place.elsewhere() as other, other.begin_backup("a", options=OPTIONS) as session:
            repository.keys.start_epoch()
            report = retire(place, 1)
            assert () == report.retired_epochs and 0 == report.old_epoch_packs
            assert "EPOCHS_KEPT" in [code for code, _ in report.notices]
            session.abort()
        assert (1,) == retire(place, 1).retired_epochs


def test_the_keys_of_a_closed_repository_are_overwritten(place: Place) -> None:
    with place.elsewhere() as repository:
        keys = repository._context.keys
        restored(repository, "a")
        kept = [keys._root, *keys._data_keys.values()]
        assert len(kept) > 1 and all(any(key) for key in kept)
    assert all(not any(key) for key in kept), "the very bytes are zero"
    assert {} == keys._data_keys and {} == keys.id_keys
    with pytest.raises(FailedPrecondition, match="was closed"):
        repository.get_point("a")


def test_a_key_ring_forgets_one_key(place: Place) -> None:
    ring: KeyRing = place.repository._context.keys
    key = ring._data_keys[1]
    ring.forget(1)
    assert ring.data_key(1) is None and not any(key)
    assert restored(place.repository, "a") == A, "learnt again from the packs"


def test_two_copies_that_were_written_to_apart_have_two_keys_of_one_number_and_all_is_read(
    place: Place, tmp_path: Path
) -> None:
    """A copy that took over for a while, and comes back."""
    copy = MemoryStore("memory:copy")
    place.repository.copy_to(copy, tmp_path / "copies")
    place.repository.keys.start_epoch()
    back_up(place.repository, "here", noise(MIB, 5))
    with reopen(copy, tmp_path / "there") as there:
        assert 2 == there.keys.start_epoch()
        back_up(there, "there", noise(MIB, 6))
        there.copy_to(place.store, tmp_path / "back")
        assert ((), noise(MIB, 6)) == (there.verify(full=True).findings, restored(there, "there"))
    for _ in range(2):
        assert noise(MIB, 5) == restored(place.repository, "here")
        assert noise(MIB, 6) == restored(place.repository, "there")
        assert () == place.repository.verify(full=True).findings
        place.repository.rebuild_index()
        back_up(place.repository, "more", noise(MIB, 7))
        with reopen(place.store, tmp_path / "elsewhere") as clean:
            assert noise(MIB, 7) == restored(clean, "more")
        place.repository.delete_point("more", keep=0, purge=True)


def test_an_older_key_is_not_taken_because_the_newest_one_is_lost(place: Place) -> None:
    """It was replaced for a reason."""
    place.repository.keys.start_epoch()
    back_up(place.repository, "c", noise(MIB, 5))
    del place.store.objects["epochs/00000002"]
    before = place.names(PACKS)
    with place.elsewhere() as other:
        back_up(other, "d", noise(MIB, 6))
        assert noise(MIB, 5) == restored(other, "c")
    assert {3} == {_record_of(place, name).epoch for name in place.names(PACKS) - before}


def test_a_rotation_goes_beyond_an_epoch_that_cannot_be_read(place: Place) -> None:
    place.store.objects["epochs/00000002"] = b"no epoch"
    assert 3 == place.repository.keys.start_epoch()
    assert b"no epoch" == place.store.objects["epochs/00000002"]


def test_of_two_who_need_an_epoch_at_one_moment_both_seal_with_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    del place.store.objects["epochs/00000001"]
    before = place.names(PACKS)

    def putting(name: str, parts: Sequence[Bytes]) -> None:
        if name == "epochs/00000002":
            monkeypatch.undo()
            with place.elsewhere() as other:
                back_up(other, "d", noise(MIB, 6))
        MemoryStore.put(place.store, name, parts)

    monkeypatch.setattr(place.store, "put", putting)
    back_up(place.repository, "c", noise(MIB, 5))
    kept = decode_epoch_object(place.store.objects["epochs/00000002"], "epoch")
    new = [_record_of(place, name) for name in place.names(PACKS) - before]
    assert len(new) > 2 and {kept} == set(new)


def test_while_a_pack_is_there_that_nobody_knows_no_epoch_is_retired(place: Place) -> None:
    place.repository.keys.start_epoch()
    place.store.objects[pack_name("data", bytes([7]) * 32)] = b"its directory cannot be read"
    report = retire(place, 1)
    assert () == report.retired_epochs
    assert "EPOCHS_KEPT" in [code for code, _ in report.notices]
    assert "epochs/00000001" in place.names("epochs/")


def _record_of(place: Place, name: str) -> EpochRecord:
    header = PackHeader.decode(place.store.objects[name][:HEADER_BYTES], "pack")
    return EpochRecord.decode(header.epoch_record)
