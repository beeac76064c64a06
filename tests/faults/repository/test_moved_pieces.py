"""Whole, but in the wrong place: packs, ciphertext, points, a repository in time; and keys that are lost."""

import hashlib
import itertools
from pathlib import Path

import pytest

from services.chassis.errors import DataLoss, FailedPrecondition, Unauthenticated, XenkeepError
from services.mover.repository import MemoryStore, Repository, create_repository
from services.mover.repository.blobwriter import BlobWriter
from services.mover.repository.format import zstd
from services.mover.repository.format.names import pack_name
from services.mover.repository.format.segment import PackRecord, Segment, encode_segment
from services.mover.repository.packreader import read_record
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    PASSPHRASE,
    QUICK,
    back_up,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

BASE = noise(MIB)
NEXT = overwritten(BASE, {3 * BLOCK: noise(BLOCK, 1)})
CONTENTS = {"base": BASE, "next": NEXT}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    store = MemoryStore()
    with new_repository(store, tmp_path_factory.mktemp("cache"), 2 * BLOCK, 512 * KIB) as repository:
        back_up(repository, "base", BASE)
        back_up(repository, "next", NEXT, base="base", changed=[(3 * BLOCK, BLOCK)])
    return store.objects


def _store(objects: dict[str, bytes]) -> MemoryStore:
    store = MemoryStore()
    store.objects = dict(objects)
    return store


def _records(objects: dict[str, bytes], cache: Path) -> list[PackRecord]:
    store = _store(objects)
    with reopen(store, cache) as repository:
        keys = repository._context.keys
        packs = [(name, len(data)) for name, data in sorted(objects.items()) if name.startswith("packs/")]
        return [read_record(store, keys, name, size) for name, size in packs]


def _judge(store: MemoryStore, cache: Path) -> list[str]:
    """Each point restores what was backed up or is an error, before and after a rebuild; a backup heals."""
    unrestorable = []
    with reopen(store, cache) as repository:
        for rebuild in (False, True):
            if rebuild:
                repository.verify(full=True)
                repository.rebuild_index()
            unrestorable = [point for point in CONTENTS if not _restores(repository, point)]
        back_up(repository, "healed", NEXT)
        assert restored(repository, "healed") == NEXT
    return unrestorable


def _restores(repository: Repository, point: str) -> bool:
    try:
        assert restored(repository, point) == CONTENTS[point]
    except XenkeepError as error:
        assert error.message
        return False
    return True


@pytest.mark.scenario(35)
def test_ciphertext_moved_between_slots_and_packs_is_never_restored_as_something_else(
    pristine: dict[str, bytes], tmp_path: Path, injections: Injections
) -> None:
    """By somebody without a key, who names the pack by its new content."""
    records = _records(pristine, tmp_path / "r")
    places = [
        (record, slot, at, entry.stored)
        for record in records
        for slot, (entry, at) in enumerate(zip(record.entries, record.offsets(), strict=True))
    ]
    pairs = [pair for pair in itertools.combinations(places, 2) if pair[0][3] == pair[1][3]]
    assert pairs
    for number, (one, other) in enumerate(pairs if THOROUGH else pairs[:6]):
        store = _store(pristine)
        touched = {one[0].name, other[0].name}
        contents = {name: bytearray(store.objects.pop(name)) for name in touched}
        first, second = contents[one[0].name], contents[other[0].name]
        left, right = slice(one[2], one[2] + one[3]), slice(other[2], other[2] + other[3])
        first[left], second[right] = bytes(second[right]), bytes(first[left])
        for name, data in contents.items():
            kind = name.split("/")[1]
            store.objects[pack_name(kind, hashlib.sha256(data).digest())] = bytes(data)
        assert _judge(store, tmp_path / str(number))
        injections.held()


@pytest.mark.scenario(31)
@pytest.mark.parametrize(
    "how", ["renamed", "swapped", "under the other kind", "deleted", "truncated", "empty"]
)
def test_each_pack_in_the_wrong_place_costs_no_wrong_byte_and_is_healed(
    pristine: dict[str, bytes], tmp_path: Path, how: str, injections: Injections
) -> None:
    packs = sorted(name for name in pristine if name.startswith("packs/"))
    for number, name in enumerate(packs):
        store = _store(pristine)
        data = store.objects.pop(name)
        other = packs[(number + 1) % len(packs)]
        if how == "renamed":
            store.objects[pack_name("data", bytes([number]) * 32)] = data
        elif how == "swapped":
            store.objects[name], store.objects[other] = store.objects[other], data
        elif how == "of another kind":
            kind = "meta" if "/data/" in name else "data"
            store.objects[pack_name(kind, bytes.fromhex(name[-64:]))] = data
        elif how != "deleted":
            store.objects[name] = data[: len(data) // 2] if how == "truncated" else b""
        assert _judge(store, tmp_path / str(number)) or how in (
            "renamed",
            "swapped",
        )  # then a rebuild finds it
        injections.held()


@pytest.mark.scenario(32)
def test_an_index_that_lies_restores_no_wrong_byte_and_a_rebuild_undoes_it(
    pristine: dict[str, bytes], tmp_path: Path, injections: Injections
) -> None:
    """Properly sealed, and wrong: places shifted, packs exchanged, entries left out, packs never made."""
    records = _records(pristine, tmp_path / "r")
    data = [record for record in records if record.kind == "data"]
    one = max(data, key=lambda record: len(record.entries))
    other = next(record for record in data if record != one)
    lies = {
        "shifted": PackRecord(one.sha256, one.size, one.kind, one.epoch, one.salt, one.entries[1:]),
        "exchanged": PackRecord(other.sha256, other.size, other.kind, other.epoch, other.salt, one.entries),
        "other salt": PackRecord(one.sha256, one.size, one.kind, one.epoch, bytes(32), one.entries),
        "other epoch": PackRecord(one.sha256, one.size, one.kind, 7, one.salt, one.entries),
        "other size": PackRecord(one.sha256, 5, one.kind, one.epoch, one.salt, one.entries),
        "never was": PackRecord(bytes(32), one.size, one.kind, one.epoch, one.salt, one.entries),
    }
    for number, lie in enumerate(lies.values()):
        store = _store({name: d for name, d in pristine.items() if not name.startswith("index/")})
        with reopen(store, tmp_path / f"w{number}") as repository:
            true = [record for record in records if record.sha256 != lie.sha256]
            repository._context.objects.put_segment(encode_segment(Segment((lie, *true))))
        with reopen(store, tmp_path / f"x{number}") as repository:
            for point in CONTENTS:
                _restores(repository, point)
            repository.rebuild_index()
            repository.verify(full=True)
            assert all(_restores(repository, point) for point in CONTENTS)
        injections.held()


@pytest.mark.scenario(33)
@pytest.mark.parametrize("prefix", ["points/", "index/", "epochs/", "keys/", "packs/meta/"])
def test_an_object_that_is_gone_or_another_is_named_or_needless(
    pristine: dict[str, bytes], tmp_path: Path, prefix: str, injections: Injections
) -> None:
    names = sorted(name for name in pristine if name.startswith(prefix))
    for number, name in enumerate(names):
        for how in (None, b"", b"{}", pristine[name][: len(pristine[name]) // 2], pristine["points/base"]):
            store = _store(pristine)
            del store.objects[name]
            if how is not None:
                store.objects[name] = how
            try:
                with reopen(store, tmp_path / f"{number}") as repository:
                    for point in CONTENTS:
                        _restores(repository, point)
            except XenkeepError as error:
                assert prefix == "keys/"
                assert isinstance(error, Unauthenticated)
            injections.held()


@pytest.mark.scenario(35)
def test_a_repository_set_back_to_an_earlier_state_is_told_by_who_knew_the_later_one(
    pristine: dict[str, bytes], tmp_path: Path
) -> None:
    store = _store(pristine)
    with reopen(store, tmp_path / "a") as repository:
        back_up(repository, "later", NEXT, base="next", changed=[(0, BLOCK)])
        back_up(repository, "last", noise(MIB, 5))
    store.objects = dict(pristine)
    with reopen(store, tmp_path / "a") as repository:
        assert "INDEX_CACHE_STALE" in [code for code, _ in repository.notices]
        with pytest.raises(FailedPrecondition) as caught:
            back_up(repository, "p", NEXT, base="last", changed=[])
        assert caught.value.reason == "BASE_POINT_UNUSABLE"
        back_up(repository, "p", noise(MIB, 5))
        assert restored(repository, "p") == noise(MIB, 5)
        assert repository.verify(full=True).findings == ()


@pytest.mark.scenario(39)
@pytest.mark.parametrize("how", ["deleted", "of another repository", "damaged", "packs gone"])
def test_a_base_that_is_no_base_is_refused_with_a_reason_and_a_full_succeeds(
    pristine: dict[str, bytes], tmp_path: Path, how: str
) -> None:
    store = _store(pristine)
    if how == "deleted":
        del store.objects["points/next"]
    elif how == "of another repository":
        foreign = MemoryStore()
        with new_repository(foreign, tmp_path / "f", 2 * BLOCK) as repository:
            back_up(repository, "next", NEXT)
        store.objects["points/next"] = foreign.objects["points/next"]
    elif how == "damaged":
        store.objects["points/next"] = store.objects["points/next"][:-1]
    else:
        store.objects = {n: d for n, d in store.objects.items() if not n.startswith("packs/meta/")}
    with reopen(store, tmp_path / "a") as repository:
        with pytest.raises(FailedPrecondition) as caught:
            back_up(repository, "p", NEXT, base="next", changed=[(0, BLOCK)])
        assert caught.value.reason in ("BASE_POINT_UNUSABLE", "BASE_POINT_DAMAGED")
        back_up(repository, "p", NEXT)
        assert restored(repository, "p") == NEXT


@pytest.mark.scenario(42)
def test_any_one_key_that_is_left_opens_and_makes_another(tmp_path: Path, injections: Injections) -> None:
    store = MemoryStore()
    made, recovery = create_repository(store, PASSPHRASE, tmp_path / "c", cost=QUICK)
    with made:
        back_up(made, "p", BASE)
    whole = dict(store.objects)
    for lost, secret in (("keys/passphrase-1", recovery), ("keys/recovery-1", PASSPHRASE)):
        for content in (None, b"", whole[lost][:-9]):
            store.objects = dict(whole)
            del store.objects[lost]
            if content is not None:
                store.objects[lost] = content
            with reopen(store, tmp_path / "a", secret) as repository:
                assert restored(repository, "p") == BASE
                with pytest.raises(FailedPrecondition):
                    repository.keys.remove_slot("recovery-1" if secret == recovery else "passphrase-1")
                repository.keys.add_passphrase("new", "another passphrase", cost=QUICK)
            with reopen(store, tmp_path / "b", "another passphrase") as repository:
                assert restored(repository, "p") == BASE
            injections.held()


@pytest.mark.scenario(42)
def test_without_any_key_nothing_opens_and_nothing_is_changed(
    pristine: dict[str, bytes], tmp_path: Path
) -> None:
    store = _store({name: data for name, data in pristine.items() if not name.startswith("keys/")})
    before = dict(store.objects)
    with pytest.raises(FailedPrecondition) as missing:
        reopen(store, tmp_path / "a")
    assert missing.value.reason == "REPOSITORY_KEYS_MISSING"
    assert store.objects == before


@pytest.mark.scenario(34)
def test_a_sound_seal_over_wrong_content_is_damage_of_the_points_that_need_it(
    pristine: dict[str, bytes], tmp_path: Path
) -> None:
    """A writer whose memory failed between hashing and sealing: only the id can tell."""
    store = MemoryStore()
    with new_repository(store, tmp_path / "a", 2 * BLOCK, 512 * KIB) as repository:
        flipped: list[bool] = []
        real = zstd.compress

        def failing(plain: bytes | bytearray, level: int = 1) -> tuple[int, bytes]:
            if len(plain) == 2 * BLOCK and not flipped:
                flipped.append(True)
                plain = bytes(plain[:-1]) + bytes([plain[-1] ^ 1])
            code, packed = real(plain, level)
            return code, bytes(packed)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(zstd, "compress", failing)
            patch.setattr(BlobWriter, "_prove", lambda *_: None)
            back_up(repository, "p", BASE)
        assert flipped
        with pytest.raises(DataLoss, match="not what its id says"):
            restored(repository, "p")
        assert repository.verify(full=True).damaged_points == ("p",)
        back_up(repository, "q", BASE)
        assert restored(repository, "q") == restored(repository, "p") == BASE
