"""Features this release does not know: what it must not do it refuses, and nothing is changed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.chassis.errors import DataLoss, FailedPrecondition
from services.mover.repository import MemoryStore, PruneOptions, Repository, create_repository, repair_header
from services.mover.repository.format import canonical
from services.mover.repository.format.header import Header
from services.mover.repository.format.names import HEADER
from tests.unit.repository.world import (
    MIB,
    NOW,
    OPTIONS,
    PASSPHRASE,
    QUICK,
    MemoryDisk,
    add_disk,
    back_up,
    new_repository,
    noise,
    reopen,
    restored,
)

pytestmark = pytest.mark.scenario(44)
A, B = noise(MIB, 1), noise(MIB, 2)


class House:
    """A repository with two points, one in the trash, a lost pack, an unfinished transfer and a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store, self.copy = MemoryStore("memory:here"), MemoryStore("memory:copy")
        self.repository = new_repository(self.store, folder / "cache")
        for point, content in (("gone", B), ("a", A), ("b", B)):
            back_up(self.repository, point, content)
        self.repository.delete_point("gone")
        self.repository.copy_to(self.copy, folder / "copies")
        with self.repository.begin_backup("t-a", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, noise(MIB, 3))

    def verbs(self) -> dict[str, Callable[[], object]]:
        """Everything that changes a repository."""
        here, empty = self.repository, MemoryStore("memory:empty")
        return {
            "back up": lambda: back_up(here, "c", B),
            "back up what is there": lambda: back_up(here, "a", A, transfer="t"),
            "add a key": lambda: here.keys.add_passphrase("new", "another passphrase", cost=QUICK),
            "add a recovery key": lambda: here.keys.add_recovery_key("paper"),
            "remove a key": lambda: here.keys.remove_slot("recovery-1"),
            "rotate": here.keys.start_epoch,
            "delete": lambda: here.delete_point("b"),
            "undelete": lambda: here.undelete_point("gone"),
            "prune": lambda: here.prune(NOW),
            "retire": lambda: here.prune(PruneOptions(retire_through=1)),
            "rebuild": here.rebuild_index,
            "heal": lambda: here.heal_from(self.copy, self.folder / "heal"),
            "copy": lambda: here.copy_to(empty, self.folder / "copies"),
            "copy to": lambda: self.another().copy_to(self.store, self.folder / "back"),
            "repair the header": lambda: repair_header(self.store, PASSPHRASE, lambda *_: None),
        }

    def looks(self) -> dict[str, Callable[[], object]]:
        """Everything that only reads it."""
        here = self.repository
        return {
            "restore": lambda: restored(here, "a"),
            "read a stream": lambda: list(here.read_stream("a", "vm-configuration")),
            "compare": lambda: here.compare_disk("a", "d", MemoryDisk(A)),
            "look ahead": lambda: here.require_restorable("a"),
            "verify": lambda: here.verify(full=True),
            "foretell a prune": lambda: here.prune(PruneOptions(dry_run=True)),
            "survey": lambda: here.survey(self.folder),
            "count": here.statistics,
            "list the keys": here.keys.list_slots,
            "list the epochs": here.keys.epochs,
        }

    def another(self) -> Repository:
        return reopen(self.copy, self.folder / "another")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    with house.repository:
        yield house


@pytest.mark.parametrize("flag", ["mandatory.warp", "writer.fold", "mandatory.prune"])
def test_whatever_would_change_a_repository_with_an_unknown_feature_is_refused(
    house: House, flag: str
) -> None:
    """Switched on while it is open, as movers have it for months."""
    house.store.objects[f"features/{flag}"] = b""
    before = dict(house.store.objects), dict(house.copy.objects)
    for verb, run in house.verbs().items():
        with pytest.raises(FailedPrecondition) as refused:
            run()
        assert ("REPOSITORY_FEATURE_UNKNOWN", True) == (
            refused.value.reason,
            flag.partition(".")[2] in refused.value.message,
        ), verb
        assert before == (house.store.objects, house.copy.objects), verb


def test_a_mandatory_feature_that_is_switched_on_while_it_is_open_ends_reading_too(house: House) -> None:
    house.store.objects["features/mandatory.warp"] = b""
    before = dict(house.store.objects)
    for verb, run in house.looks().items():
        with pytest.raises(FailedPrecondition) as refused:
            run()
        assert "REPOSITORY_FEATURE_UNKNOWN" == refused.value.reason, verb
    assert before == house.store.objects


def test_what_only_others_may_write_to_is_read_and_its_damage_told_but_not_written_down(house: House) -> None:
    house.store.objects["features/writer.fold"] = b""
    lost = next(name for name in sorted(house.store.objects) if name.startswith("packs/data/"))
    house.store.objects[lost] = bytes(len(house.store.objects[lost]))
    whole = next(name for name in sorted(house.store.objects, reverse=True) if name.startswith("packs/data/"))
    house.store.objects[f"damage/{whole[-64:]}"] = b"{}"
    before = dict(house.store.objects)

    found = house.repository.verify(full=True)
    sound = {point: content for point, content in {"a": A, "b": B}.items() if point in found.sound_points}
    for point, content in sound.items():
        assert content == restored(house.repository, point)
    for point in found.damaged_points:
        with pytest.raises(DataLoss):
            restored(house.repository, point)
    house.repository.prune(PruneOptions(dry_run=True))

    assert [lost] == [finding.object for finding in found.findings]
    assert {"DAMAGE_NOT_RECORDED", "DAMAGE_RECORD_KEPT"} <= {code for code, _ in house.repository.notices}
    assert before == house.store.objects


@pytest.mark.parametrize("kind", ["mandatory", "writer"])
def test_a_feature_in_the_header_counts_like_one_that_was_switched_on_later(house: House, kind: str) -> None:
    context = house.repository._context
    plain = context.header
    changed = Header(
        plain.repository_id,
        plain.chunk_bytes,
        plain.pack_bytes,
        plain.created_time,
        **{kind: ("warp",)},
    )
    house.store.objects[HEADER] = canonical.encode(changed.to_json(context.keys.root))
    before = dict(house.store.objects)
    if kind == "mandatory":
        with pytest.raises(FailedPrecondition, match="warp"):
            reopen(house.store, house.folder / "again")
    else:
        with reopen(house.store, house.folder / "again") as repository:
            assert A == restored(repository, "a")
            with pytest.raises(FailedPrecondition, match="warp"):
                back_up(repository, "c", B)
    assert before == house.store.objects


@pytest.mark.parametrize(
    "change", [(b'"version":1', b'"version":2'), (b'"mandatory":[]', b'"mandatory":["x"]')]
)
def test_a_repository_of_the_future_is_no_target_and_its_header_is_not_repaired(
    house: House, change: tuple[bytes, bytes]
) -> None:
    house.copy.objects[HEADER] = house.copy.objects[HEADER].replace(*change)
    before = dict(house.copy.objects)
    for verb in (
        lambda: house.repository.copy_to(house.copy, house.folder / "copies"),
        lambda: house.repository.heal_from(house.copy, house.folder / "heal"),
        lambda: repair_header(house.copy, PASSPHRASE, lambda *_: None),
        lambda: reopen(house.copy, house.folder / "again"),
    ):
        with pytest.raises(FailedPrecondition) as refused:
            verb()
        assert refused.value.reason in ("REPOSITORY_OF_THE_FUTURE", "REPOSITORY_FEATURE_UNKNOWN")
        assert before == house.copy.objects


def test_a_header_that_is_lost_is_not_written_for_a_repository_with_an_unknown_feature(house: House) -> None:
    del house.store.objects[HEADER]
    for flag in ("features/mandatory.warp", "features/writer.fold"):
        house.store.objects[flag] = b""
        before = dict(house.store.objects)
        with pytest.raises(FailedPrecondition, match=r"warp|fold"):
            repair_header(house.store, PASSPHRASE, lambda *_: None)
        with pytest.raises(FailedPrecondition, match=r"warp|fold"):
            back_up(house.repository, "c", B)
        assert before == house.store.objects
        del house.store.objects[flag]
    repair_header(house.store, PASSPHRASE, lambda *_: None)
    with reopen(house.store, house.folder / "again") as repository:
        assert A == restored(repository, "a")


def test_an_unknown_optional_feature_is_kept_and_goes_along_with_a_copy(house: House) -> None:
    house.store.objects["features/optional.gloss"] = b"gloss"
    back_up(house.repository, "c", B)
    house.repository.delete_point("a")
    house.repository.prune(NOW)
    house.repository.rebuild_index()
    house.repository.copy_to(house.copy, house.folder / "copies")
    assert b"gloss" == house.store.objects["features/optional.gloss"]
    assert b"gloss" == house.copy.objects["features/optional.gloss"]


def test_a_key_slot_of_a_later_release_is_told_and_the_others_open(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    repository, recovery_key = create_repository(store, PASSPHRASE, tmp_path / "a", cost=QUICK)
    repository.close()
    slot = store.objects["keys/passphrase-1"]
    later = slot.replace(b'"mandatory":[]', b'"mandatory":["warp"]')
    store.objects["keys/later"] = later.replace(b'"slot":"passphrase-1"', b'"slot":"later"')
    store.objects["keys/NAMELESS"] = slot.replace(b'"slot":"passphrase-1"', b'"slot":"NAMELESS"')
    with reopen(store, tmp_path / "b", recovery_key) as repository:
        assert ["KEY_SLOT_DAMAGED", "KEY_SLOT_UNKNOWN"] == [code for code, _ in repository.notices]
        assert ["passphrase-1", "recovery-1"] == [slot_id for slot_id, _, _ in repository.keys.list_slots()]
    del store.objects["keys/passphrase-1"], store.objects["keys/recovery-1"]
    with pytest.raises(FailedPrecondition, match="warp"):
        reopen(store, tmp_path / "c", recovery_key)
