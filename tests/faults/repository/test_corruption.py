"""Damage anywhere is found, named, kept out of deduplication, and healed by the next backup."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis.errors import DataLoss, FailedPrecondition, XenkeepError
from services.mover.repository import MemoryStore, Repository, repair_header, scrub
from tests.support.injections import Injections
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    OPTIONS,
    PASSPHRASE,
    MemoryDisk,
    MemoryTarget,
    add_disk,
    back_up,
    description,
    flipped,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

BASE = noise(2 * MIB)
NEXT = overwritten(BASE, {5 * BLOCK: noise(BLOCK, 1)})


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    store = MemoryStore()
    with new_repository(store, tmp_path_factory.mktemp("cache"), 512 * KIB, MIB) as repository:
        with repository.begin_backup("base", options=OPTIONS) as session:
            add_disk(session, BASE)
            session.stream("vm-configuration", [b"<vm/>"])
            session.commit(description())
        back_up(repository, "next", NEXT, base="base", changed=[(5 * BLOCK, BLOCK)])
    return store.objects


def _store(objects: dict[str, bytes]) -> MemoryStore:
    store = MemoryStore()
    store.objects = dict(objects)
    return store


def _regions(data: bytes) -> Iterator[int]:
    """Every byte of the beginning and the end, and samples of the middle."""
    yield from range(0, min(len(data), 260), 3)
    yield from range(260, max(260, len(data) - 260), max(1, len(data) // 40))
    yield from range(max(0, len(data) - 260), len(data), 3)


def _packs(store: MemoryStore, kind: str) -> list[str]:
    return sorted(name for name in store.objects if name.startswith(f"packs/{kind}/"))


def _judge(store: MemoryStore, cache: Path) -> None:
    """Whatever was damaged: each point restores what was backed up, or an error says why not."""
    with reopen(store, cache) as repository:
        for point, content in (("base", BASE), ("next", NEXT)):
            try:
                assert restored(repository, point) == content
            except XenkeepError as error:
                assert error.reason != "INTERNAL"


@pytest.mark.scenario(30)
@pytest.mark.parametrize("kind", ["data", "meta"])
def test_a_flipped_bit_anywhere_in_a_pack_is_found_without_and_with_a_key(
    pristine: dict[str, bytes], tmp_path: Path, kind: str, injections: Injections
) -> None:
    name = _packs(_store(pristine), kind)[0]
    for number, at in enumerate(_regions(pristine[name])):
        store = _store(pristine)
        store.objects[name] = flipped(pristine[name], at)
        assert [finding.object for finding in scrub(store)] == [name]
        if number % 8 == 0:
            with reopen(store, tmp_path / str(at)) as repository:
                result = repository.verify(full=True)
                assert name in [finding.object for finding in result.findings]
                for point in result.sound_points:
                    assert restored(repository, point) == {"base": BASE, "next": NEXT}[point]
                for point in result.damaged_points:
                    with pytest.raises(DataLoss):
                        restored(repository, point)
                        list(repository.read_stream(point, "vm-configuration"))
        injections.held()


@pytest.mark.scenario(32, 33)
@pytest.mark.parametrize("prefix", ["points/", "index/", "epochs/"])
def test_a_flipped_bit_anywhere_in_an_object_never_restores_wrong_bytes(
    pristine: dict[str, bytes], tmp_path: Path, prefix: str, injections: Injections
) -> None:
    name = next(name for name in sorted(pristine) if name.startswith(prefix))
    for at in range(0, len(pristine[name]), 29):
        store = _store(pristine)
        store.objects[name] = flipped(pristine[name], at)
        with reopen(store, tmp_path / str(at)) as repository:
            if prefix == "points/":
                with pytest.raises(DataLoss, match=name):
                    repository.get_point("base")
                assert repository.verify(full=False).damaged_points == ("base",)
            elif prefix == "index/":
                assert "INDEX_SEGMENT_UNREADABLE" in [code for code, _ in repository.notices]
                repository.rebuild_index()
            else:
                assert "EPOCH_UNREADABLE" in [code for code, _ in repository.notices]
            if prefix != "points/":
                assert restored(repository, "base") == BASE
                back_up(repository, "after", NEXT, base="next", changed=[])
                assert restored(repository, "after") == NEXT
        injections.held()


@pytest.mark.scenario(33)
def test_a_flipped_bit_anywhere_in_the_header_is_refused_and_can_be_repaired(
    pristine: dict[str, bytes], tmp_path: Path, injections: Injections
) -> None:
    name = "xenkeep-repository.json"
    for at in range(len(pristine[name])):
        store = _store(pristine)
        store.objects[name] = flipped(pristine[name], at)
        with pytest.raises((DataLoss, FailedPrecondition)):
            reopen(store, tmp_path / "a")
        if at % 40 == 0:
            repair_header(store, PASSPHRASE, lambda code, message: None)
            assert store.objects[name] == pristine[name]
        injections.held()


@pytest.mark.scenario(33)
def test_a_flipped_bit_anywhere_in_a_key_slot_is_told_and_the_other_key_opens(
    pristine: dict[str, bytes], tmp_path: Path, injections: Injections
) -> None:
    name = "keys/passphrase-1"
    for at in range(0, len(pristine[name]), 11):
        store = _store(pristine)
        store.objects[name] = flipped(pristine[name], at)
        with pytest.raises(XenkeepError) as caught:
            reopen(store, tmp_path / "a")
        assert caught.value.hint
        injections.held()


@pytest.mark.scenario(3, 31, 37)
@pytest.mark.parametrize("kind", ["data", "meta"])
@pytest.mark.parametrize("harm", ["deleted", "empty", "truncated", "zeroed", "swapped"])
def test_a_harmed_pack_is_named_with_the_points_it_damages_and_healed_by_a_backup(
    pristine: dict[str, bytes], tmp_path: Path, kind: str, harm: str
) -> None:
    store = _store(pristine)
    for name in _packs(store, kind):
        whole = store.objects[name]
        other = next(data for n, data in store.objects.items() if n.startswith("packs/") and n != name)
        harmed = {
            "empty": b"",
            "truncated": whole[: len(whole) // 2],
            "zeroed": bytes(len(whole)),
            "swapped": other,
        }
        del store.objects[name]
        if harm != "deleted":
            store.objects[name] = harmed[harm]
    with reopen(store, tmp_path / "a") as repository:
        result = repository.verify(full=False)
        assert set(_packs(_store(pristine), kind)) <= {finding.object for finding in result.findings}
        assert result.damaged_points == ("base", "next")
        assert "damaged" in repository.known_damage("base")
        assert all("base" in finding.points or "next" in finding.points for finding in result.findings)
        target = MemoryTarget(len(BASE))
        with pytest.raises(DataLoss):
            repository.restore_disk("base", "d", target)
        assert target.writes == []
        back_up(repository, "full-1", BASE)
        back_up(repository, "full-2", NEXT)
        assert restored(repository, "full-1") == BASE
        assert restored(repository, "base") == BASE
        if kind == "data":
            assert repository.known_damage("base") == repository.known_damage("full-2") == ""


@pytest.mark.scenario(37)
def test_an_incremental_reads_damaged_chunks_again_and_heals_older_points(
    pristine: dict[str, bytes], tmp_path: Path
) -> None:
    store = _store(pristine)
    name = max(_packs(store, "data"), key=lambda name: len(store.objects[name]))
    store.objects[name] = bytes(len(store.objects[name]))
    with reopen(store, tmp_path / "a") as repository:
        repository.verify(full=False)
        disk = MemoryDisk(NEXT)
        point = back_up(repository, "healed", NEXT, base="next", changed=[], disk=disk)
        assert [notice.code for notice in point.notices] == ["HEALING"]
        assert 0 < disk.bytes_read < len(NEXT)
        assert restored(repository, "healed") == NEXT


def test_damage_met_without_a_verification_stops_the_restore(
    pristine: dict[str, bytes], tmp_path: Path
) -> None:
    store = _store(pristine)
    for name in _packs(store, "data"):
        store.objects[name] = flipped(store.objects[name], 1000)
    with reopen(store, tmp_path / "a") as repository, pytest.raises(DataLoss, match="seal of slot"):
        restored(repository, "base")


@pytest.mark.scenario("borg #9748")
def test_deduplication_never_trusts_an_index_over_the_store(
    pristine: dict[str, bytes], tmp_path: Path
) -> None:
    store = _store(pristine)
    with reopen(store, tmp_path / "a") as repository:
        for name in _packs(store, "data"):
            del store.objects[name]
        point = back_up(repository, "again", BASE)
        assert "PACK_MISSING" in [notice.code for notice in point.notices]
        assert restored(repository, "again") == BASE


@pytest.mark.scenario(35)
def test_ciphertext_moved_between_repositories_is_refused(pristine: dict[str, bytes], tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a", 512 * KIB, MIB) as repository:
        back_up(repository, "mine", noise(MIB, 9))
    for name, data in pristine.items():
        if name.startswith(("packs/", "index/", "points/")):
            store.objects[name] = data
    with reopen(store, tmp_path / "b") as repository:
        assert restored(repository, "mine") == noise(MIB, 9)
        with pytest.raises(DataLoss):
            repository.get_point("base")


@pytest.mark.scenario(35)
def test_a_point_renamed_to_another_is_refused(pristine: dict[str, bytes], tmp_path: Path) -> None:
    store = _store(pristine)
    store.objects["points/next"] = pristine["points/base"]
    with reopen(store, tmp_path / "a") as repository, pytest.raises(DataLoss, match="points/next"):
        repository.get_point("next")


@pytest.mark.scenario(32)
def test_everything_is_rebuilt_from_the_packs_alone(pristine: dict[str, bytes], tmp_path: Path) -> None:
    store = _store(
        {name: data for name, data in pristine.items() if not name.startswith(("index/", "epochs/"))}
    )
    with reopen(store, tmp_path / "a") as repository:
        with pytest.raises(DataLoss, match="Rebuild the index"):
            restored(repository, "base")
        assert repository.rebuild_index().packs == len(_packs(store, "data")) + len(_packs(store, "meta"))
        assert restored(repository, "next") == NEXT
    with reopen(store, tmp_path / "b") as repository:
        assert restored(repository, "base") == BASE


@pytest.mark.scenario(19)
def test_a_stale_foreign_or_broken_cache_is_replaced(pristine: dict[str, bytes], tmp_path: Path) -> None:
    with reopen(_store(pristine), tmp_path) as repository:
        assert restored(repository, "base") == BASE
    cache = next(tmp_path.glob("index-*.sqlite"))
    for suffix in ("-wal", "-shm"):
        Path(f"{cache}{suffix}").unlink(missing_ok=True)
    cache.write_bytes(b"this is no database at all" * 100)
    with reopen(_store(pristine), tmp_path) as repository:
        assert restored(repository, "base") == BASE
    older = _store({name: data for name, data in pristine.items() if name not in _only_next(pristine)})
    with reopen(older, tmp_path) as repository:
        assert "INDEX_CACHE_STALE" in [code for code, _ in repository.notices]
        assert restored(repository, "base") == BASE


def test_sha256sum_alone_scrubs_a_repository(pristine: dict[str, bytes]) -> None:
    for name, data in pristine.items():
        if name.startswith(("packs/", "index/")):
            assert name.rpartition("/")[2] == hashlib.sha256(data).hexdigest()


def _only_next(objects: dict[str, bytes]) -> set[str]:
    """The segment the second backup wrote, and its point."""
    repository_points = {"points/next"}
    segments = [name for name in objects if name.startswith("index/")]
    base = objects["points/base"]
    return repository_points | {name for name in segments if name.removeprefix("index/").encode() not in base}


def test_the_damage_record_survives_into_the_next_opening(pristine: dict[str, bytes], tmp_path: Path) -> None:
    store = _store(pristine)
    name = max(_packs(store, "data"), key=lambda name: len(store.objects[name]))
    store.objects[name] = flipped(store.objects[name], 500)
    with reopen(store, tmp_path / "a") as repository:
        repository.verify(full=False)
    assert f"damage/{name.rpartition('/')[2]}" in store.objects
    with reopen(store, tmp_path / "b") as repository:
        assert _known_damage(repository, MemoryTarget(len(BASE)))


def _known_damage(repository: Repository, target: MemoryTarget) -> bool:
    with pytest.raises(DataLoss) as caught:
        repository.restore_disk("base", "d", target)
    return caught.value.reason == "POINT_DAMAGED" and target.writes == []


@pytest.mark.scenario(39)
def test_a_base_whose_map_is_damaged_is_refused_with_the_way_out(
    pristine: dict[str, bytes], tmp_path: Path
) -> None:
    store = _store(pristine)
    for name in _packs(store, "meta"):
        store.objects[name] = bytes(len(store.objects[name]))
    with reopen(store, tmp_path / "a") as repository:
        with pytest.raises(FailedPrecondition, match="Take a full backup") as caught:
            back_up(repository, "p3", NEXT, base="next", changed=[(0, BLOCK)])
        assert caught.value.reason == "BASE_POINT_DAMAGED"
        back_up(repository, "p3", NEXT)
        assert restored(repository, "p3") == NEXT


@pytest.mark.scenario(37)
def test_folding_a_damaged_chunk_reads_it_from_the_source(pristine: dict[str, bytes], tmp_path: Path) -> None:
    store = _store(pristine)
    for name in _packs(store, "data"):
        store.objects[name] = bytes(len(store.objects[name]))
    content = overwritten(NEXT, {0: noise(6 * BLOCK, 5)})
    with reopen(store, tmp_path / "a") as repository:
        point = back_up(repository, "p3", content, base="next", changed=[(0, 6 * BLOCK)])
        assert [notice.code for notice in point.notices] == ["HEALING"]
        assert repository.read_disk("p3", "d", 0, 8 * BLOCK) == content[: 8 * BLOCK]
        assert any(name.startswith("damage/") for name in store.objects)


def test_a_pack_wrongly_taken_for_damaged_is_released_by_a_verification(
    pristine: dict[str, bytes], tmp_path: Path
) -> None:
    store = _store(pristine)
    for name in _packs(store, "data"):
        store.objects[name] = flipped(store.objects[name], 900)
    with reopen(store, tmp_path / "a") as repository:
        with pytest.raises(DataLoss):
            restored(repository, "base")
        assert any(name.startswith("damage/") for name in store.objects)
        store.objects.update(pristine)
        assert repository.verify(full=False).findings == ()
        assert not any(name.startswith("damage/") for name in store.objects)
        assert restored(repository, "base") == BASE
