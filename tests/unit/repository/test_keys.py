"""Keys open what they should, nothing else does, and every refusal says why."""

import random
from pathlib import Path

import pytest

from services.chassis.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    XenkeepError,
)
from services.mover.repository import Argon2Cost, DirectoryStore, MemoryStore, create_repository
from services.mover.repository.format import slot
from services.mover.repository.format.recovery_key import parse_recovery_key, print_recovery_key
from services.mover.repository.format.slot import stretch_passphrase
from tests.unit.repository.world import (
    MIB,
    PASSPHRASE,
    QUICK,
    back_up,
    new_repository,
    noise,
    reopen,
    restored,
)


@pytest.mark.scenario(42)
def test_the_recovery_key_alone_restores_on_a_clean_machine(tmp_path: Path) -> None:
    store = MemoryStore()
    repository, recovery_key = create_repository(store, PASSPHRASE, tmp_path / "a", cost=QUICK)
    with repository:
        back_up(repository, "p", noise(MIB))
    del store.objects["keys/passphrase-1"]
    with reopen(store, tmp_path / "b", f"  {recovery_key.lower().replace('-', ' ')}\n") as repository:
        assert restored(repository, "p") == noise(MIB)


@pytest.mark.scenario(42)
@pytest.mark.parametrize("secret", ["wrong passphrase", "", PASSPHRASE + " ", "Correct horse battery"])
def test_a_wrong_secret_is_refused_with_the_way_out(tmp_path: Path, secret: str) -> None:
    store = MemoryStore()
    new_repository(store, tmp_path).close()
    with pytest.raises(Unauthenticated, match="recovery key printed at creation") as caught:
        reopen(store, tmp_path, secret)
    assert not secret.strip() or secret not in str(caught.value)


def test_a_mistyped_recovery_key_is_told_from_a_wrong_one(tmp_path: Path) -> None:
    store = MemoryStore()
    repository, key = create_repository(store, PASSPHRASE, tmp_path, cost=QUICK)
    repository.close()
    mistyped = key[:-1] + ("0" if key[-1] != "0" else "1")
    with pytest.raises(InvalidInput, match="check characters"):
        reopen(store, tmp_path, mistyped)
    with pytest.raises(Unauthenticated):
        reopen(store, tmp_path, print_recovery_key(bytes(20)))


def test_every_printed_recovery_key_is_read_back() -> None:
    dice = random.Random(1)
    for _ in range(200):
        secret = dice.randbytes(20)
        printed = print_recovery_key(secret)
        assert parse_recovery_key(printed) == secret
        assert parse_recovery_key(printed.replace("0", "O").replace("1", "l")) == secret
    assert parse_recovery_key("just a passphrase") is None


@pytest.mark.scenario(42)
def test_keys_are_added_changed_and_removed_but_never_the_last_two(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path) as repository:
        with pytest.raises(FailedPrecondition, match="must be left"):
            repository.keys.remove_slot("passphrase-1")
        repository.keys.add_passphrase("second", "another passphrase", "for Ute", cost=QUICK)
        paper = repository.keys.add_recovery_key("paper-2")
        with pytest.raises(AlreadyExists):
            repository.keys.add_passphrase("second", "yet another passphrase", cost=QUICK)
        repository.keys.remove_slot("passphrase-1")
        repository.keys.remove_slot("recovery-1")
        with pytest.raises(NotFound, match="paper-2"):
            repository.keys.remove_slot("none")
        assert [slot for slot, _, _ in repository.keys.list_slots()] == ["paper-2", "second"]
    reopen(store, tmp_path, "another passphrase").close()
    reopen(store, tmp_path, paper).close()
    with pytest.raises(Unauthenticated):
        reopen(store, tmp_path, PASSPHRASE)


def test_a_passphrase_typed_on_another_keyboard_is_the_same(tmp_path: Path) -> None:
    store = MemoryStore()
    create_repository(store, "Gru\u0308\u00dfe aus K\u00f6ln", tmp_path, cost=QUICK)[0].close()
    reopen(store, tmp_path, "Gr\u00fc\u00dfe aus Ko\u0308ln").close()


def test_a_new_epoch_seals_new_packs_and_old_ones_still_open(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path / "a") as repository:
        back_up(repository, "p1", noise(MIB))
        assert repository.keys.start_epoch() == 2
        back_up(repository, "p2", noise(MIB, 1))
    for name in [name for name in store.objects if name.startswith("epochs/")]:
        del store.objects[name]
    with reopen(store, tmp_path / "b") as repository:
        assert restored(repository, "p1") == noise(MIB)
        assert restored(repository, "p2") == noise(MIB, 1)
        back_up(repository, "p3", noise(MIB, 2))
        assert "epochs/00000003" in store.objects
        assert restored(repository, "p3") == noise(MIB, 2)


@pytest.mark.parametrize(
    ("chunk_bytes", "pack_bytes"),
    [(0, MIB), (65535, MIB), (3 * 65536, MIB), (8 * MIB, 32 * MIB), (MIB, 65536), (MIB, 2**40)],
)
def test_impossible_parameters_are_refused_before_anything_is_written(
    tmp_path: Path, chunk_bytes: int, pack_bytes: int
) -> None:
    store = MemoryStore()
    with pytest.raises(InvalidInput):
        new_repository(store, tmp_path, chunk_bytes, pack_bytes)
    assert store.objects == {}


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="8 characters"):
        create_repository(MemoryStore(), "secret", tmp_path, cost=QUICK)


def test_a_guess_at_a_passphrase_costs_256_mib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a new repository's, and of one that is added, when nobody says what it should cost."""
    costs = []

    def cheaply(passphrase: str, salt: bytes, cost: Argon2Cost) -> bytes:
        costs.append(cost)
        return stretch_passphrase(passphrase, salt, QUICK)

    monkeypatch.setattr(slot, "stretch_passphrase", cheaply)
    store = MemoryStore()
    with create_repository(store, PASSPHRASE, tmp_path)[0] as repository:
        repository.keys.add_passphrase("passphrase-2", "another passphrase", "")
    written = [
        slot.parse_slot(store.get(name), name.rpartition("/")[2])
        for name in sorted(each.name for each in store.list("keys/"))
    ]

    assert {Argon2Cost(time=3, memory_kib=256 << 10, lanes=4)} == set(costs)
    assert [Argon2Cost(3, 256 << 10, 4)] * 2 == [each.cost for each in written if each.kind == "passphrase"]


def test_a_directory_with_something_else_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "photos"
    place.mkdir()
    (place / "cat.jpg").write_bytes(b"miaow")
    with pytest.raises(FailedPrecondition, match=r"cat\.jpg"):
        create_repository(DirectoryStore(place), PASSPHRASE, tmp_path / "cache", cost=QUICK)
    assert [path.name for path in place.iterdir()] == ["cat.jpg"]
    with pytest.raises(NotFound, match="no repository"):
        reopen(DirectoryStore(place), tmp_path / "cache")


def test_an_existing_repository_is_never_replaced(tmp_path: Path) -> None:
    store = MemoryStore()
    new_repository(store, tmp_path).close()
    before = dict(store.objects)
    with pytest.raises(AlreadyExists, match="already"):
        new_repository(store, tmp_path)
    assert store.objects == before


@pytest.mark.scenario(44)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b'"version":1', b'"version":2'), "REPOSITORY_OF_THE_FUTURE"),
        ((b'"mandatory":[]', b'"mandatory":["warp"]'), "REPOSITORY_FEATURE_UNKNOWN"),
        ((b'"optional":[]', b'"optional":["gloss"]'), "REPOSITORY_DAMAGED"),
        ((b'"chunk_bytes":1048576', b'"chunk_bytes":1048577'), "REPOSITORY_DAMAGED"),
    ],
)
def test_a_repository_of_the_future_or_forged_is_refused(
    tmp_path: Path, change: tuple[bytes, bytes], reason: str
) -> None:
    store = MemoryStore()
    new_repository(store, tmp_path).close()
    header = store.objects["xenkeep-repository.json"]
    store.objects["xenkeep-repository.json"] = header.replace(*change)
    with pytest.raises(XenkeepError) as caught:
        reopen(store, tmp_path)
    assert caught.value.reason == reason


@pytest.mark.scenario(44)
def test_features_switched_on_later_bind_older_releases(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path) as repository:
        back_up(repository, "p", noise(MIB))
    store.objects["features/optional.gloss"] = b""
    store.objects["features/writer.fold"] = b""
    with reopen(store, tmp_path) as repository:
        assert restored(repository, "p") == noise(MIB)
        with pytest.raises(FailedPrecondition, match="fold"):
            back_up(repository, "q", noise(MIB))
    store.objects["features/mandatory.warp"] = b""
    with pytest.raises(FailedPrecondition, match="warp"):
        reopen(store, tmp_path)


def test_a_creation_without_a_header_is_told_from_no_repository(tmp_path: Path) -> None:
    store = MemoryStore()
    new_repository(store, tmp_path).close()
    del store.objects["xenkeep-repository.json"]
    with pytest.raises(FailedPrecondition, match="no header"):
        reopen(store, tmp_path)


@pytest.mark.scenario(6)
def test_a_repository_on_read_only_media_opens_and_restores(tmp_path: Path) -> None:
    class ReadOnly(MemoryStore):
        def put(self, name: str, parts: object) -> None:
            raise PermissionDenied("Read-only.", reason="STORE_REFUSED")

        def sweep(self) -> int:
            raise PermissionDenied("Read-only.", reason="STORE_REFUSED")

    store, frozen = MemoryStore(), ReadOnly()
    with new_repository(store, tmp_path / "a") as repository:
        back_up(repository, "p", noise(MIB))
    frozen.objects = store.objects
    with reopen(frozen, tmp_path / "b") as repository:
        assert restored(repository, "p") == noise(MIB)


def test_nothing_secret_is_in_a_representation(tmp_path: Path) -> None:
    store = MemoryStore()
    repository, recovery_key = create_repository(store, PASSPHRASE, tmp_path, cost=QUICK)
    with repository:
        root = repository._context.keys.root
        for text in (repr(repository._context), repr(repository), repr(repository._context.keys)):
            assert PASSPHRASE not in text
            assert recovery_key not in text
            assert root.hex() not in text
            assert repr(root) not in text
    assert all(root not in data and PASSPHRASE.encode() not in data for data in store.objects.values())
