"""A repository with everything a writer leaves: any later release reads it and goes on with it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.chassis.clock import FakeClock
from services.chassis.errors import Unauthenticated
from services.mover.repository import DirectoryStore, PruneOptions, Repository, open_repository, scrub
from tests.contract.repository import make_golden_full as golden
from tests.contract.repository.independent_blobs import parse_page
from tests.contract.repository.independent_keys import Refused
from tests.contract.repository.independent_reader import IndependentReader

FOLDER = Path(__file__).parent / "golden_full"
RECOVERY_KEY = "17A7-9DJM-XMWB-NGP1-03DQ-SZ17-7HTS-B65P-EHY0"
POINTS = sorted(golden.disks().keys() - {"trashed", "healing", golden.UNFINISHED})
SECRETS = {"passphrase-1": golden.PASSPHRASE, "second": golden.ADDED_PASSPHRASE, "recovery-1": RECOVERY_KEY}
pytestmark = pytest.mark.scenario(44)


def objects() -> dict[str, bytes]:
    return {str(path.relative_to(FOLDER)): path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}


class Target:
    """A disk being restored, of which it keeps what is not zero."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        assert offset % golden.BLOCK == 0
        for number, block in golden.blocks_of(bytes(data)).items():
            self.blocks[offset // golden.BLOCK + number] = block


def opened(folder: Path, cache: Path, secret: str = golden.PASSPHRASE) -> Repository:
    return open_repository(DirectoryStore(folder), secret, cache, time=FakeClock())


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    shutil.copytree(FOLDER, tmp_path / "repository")
    with opened(tmp_path / "repository", tmp_path / "cache") as repository:
        yield repository


def require_all(repository: Repository) -> None:
    """Every point restores, and a full verification names the one damaged pack and no point."""
    for point in POINTS:
        for name, disk in golden.disks()[point].items():
            target = Target()
            repository.restore_disk(point, name, target)
            assert (point, disk.blocks) == (point, target.blocks)
        for name, (kind, content) in golden.streams().get(point, {}).items():
            assert content == b"".join(repository.read_stream(point, name))
            assert kind == repository.get_point(point).streams[name].kind
    found = repository.verify(full=True)
    assert () == found.damaged_points
    assert {()} >= {finding.points for finding in found.findings}


@pytest.mark.parametrize("slot", SECRETS)
def test_every_key_opens_it_and_everything_restores(tmp_path: Path, slot: str) -> None:
    shutil.copytree(FOLDER, tmp_path / "repository")
    with opened(tmp_path / "repository", tmp_path / "cache", SECRETS[slot]) as repository:
        assert slot == repository.keys.slot_of(SECRETS[slot])
        assert POINTS == repository.list_points()
        assert ["trashed"] == [trashed.point_id for trashed in repository.list_trash()]
        assert [2, 3] == [use.epoch for use in repository.keys.epochs()]
        assert "2026-12-08T12:00:00Z" == repository.get_point("epoch-3").locked_until
        require_all(repository)


def test_a_removed_key_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unauthenticated):
        opened(FOLDER, tmp_path / "cache", "soon removed again")


def test_without_a_key_the_damaged_pack_is_found_and_nothing_else() -> None:
    (damage,) = [name for name in objects() if name.startswith("damage/")]
    assert [damage[-64:]] == [finding.object[-64:] for finding in scrub(DirectoryStore(FOLDER))]


def test_a_reader_made_from_the_document_alone_reads_all_of_it() -> None:
    reader = IndependentReader(objects(), RECOVERY_KEY)
    assert POINTS == reader.points()
    for point_id in POINTS:
        point = reader.point(point_id)
        for name, disk in golden.disks()[point_id].items():
            assert disk.blocks == _blocks(reader.chunks(point, name))
        for name, (_, content) in golden.streams().get(point_id, {}).items():
            assert content == reader.stream(point, name)
    ((copy, trashed),) = reader.trash().items()
    point = reader.point(trashed, copy)
    assert golden.disks()[trashed]["small"].blocks == _blocks(reader.chunks(point, "small"))


def _blocks(chunks: dict[int, bytes]) -> dict[int, bytes]:
    return {
        number * golden.CHUNK // golden.BLOCK + at: block
        for number, content in chunks.items()
        for at, block in golden.blocks_of(content).items()
    }


def test_the_reader_made_from_the_document_opens_it_with_every_key() -> None:
    assert 1 == len({IndependentReader(objects(), secret).root for secret in SECRETS.values()})


def test_the_reader_made_from_the_document_finds_all_that_the_killed_left() -> None:
    reader = IndependentReader(objects(), RECOVERY_KEY)
    assert [name[-64:] for name in reader.damaged] == [
        name[-64:] for name in reader.objects if name.startswith("damage/")
    ]
    index = reader.index()
    assert {name: set(ids) for name, ids in reader.packs.items() if name in index} == {
        name: set(ids) for name, ids in index.items() if name not in reader.damaged
    }
    assert ({2, 3}, {2, 3}) == (set(reader.epochs()), reader.epochs_of_packs)
    ((plan, planned),) = reader.plans().items()
    assert planned and set(planned) <= set(reader.packs)
    assert {f"leases/{golden.UNFINISHED}/00000001": []} == {
        name: [each for each in plans if each != plan.removeprefix("prune/")]
        for name, plans in reader.leases().items()
    }
    (checkpoint,) = reader.checkpoints().values()
    assert (golden.TRANSFER, golden.UNFINISHED) == (checkpoint["transfer"], checkpoint["point"])
    assert checkpoint["unindexed"] and set(checkpoint["unindexed"]) <= reader.packs.keys()


def test_it_has_every_kind_of_blob_and_page() -> None:
    reader = IndependentReader(objects(), RECOVERY_KEY)
    pages = [parse_page(data, 4) for (type_, _), data in reader.blobs.items() if type_ == 3]
    assert {1, 2, 3, 4, 5} == {type_ for type_, _ in reader.blobs}
    assert {(0, 0), (0, 1), (1, 0)} <= {(level, depth) for level, depth, _, _ in pages}


def test_the_reader_made_from_the_document_refuses_what_it_must() -> None:
    for flag in ("features/mandatory.warp", "features/mandatory.prune"):
        with pytest.raises(Refused):
            IndependentReader(objects() | {flag: b""}, RECOVERY_KEY)
    with pytest.raises(Refused):
        IndependentReader(objects(), "soon removed again")
    without = {name: data for name, data in objects().items() if not name.startswith("packs/data/")}
    reader = IndependentReader(without, RECOVERY_KEY)
    with pytest.raises(Refused, match="is nowhere"):
        reader.chunks(reader.point("full"), "large")


def test_its_index_is_made_again_from_the_packs(repository: Repository, tmp_path: Path) -> None:
    for name in ("index", "epochs", "damage", "checkpoints", "prune", "leases"):
        shutil.rmtree(tmp_path / "repository" / name)
    repository.rebuild_index()
    with opened(tmp_path / "repository", tmp_path / "clean") as clean:
        require_all(clean)


def test_this_release_goes_on_with_it(repository: Repository, tmp_path: Path) -> None:
    """The transfer is resumed, the trash taken back, the plan carried out, damage pruned, keys retired."""
    repository.undelete_point("trashed")
    golden.back_up(repository, golden.UNFINISHED, golden.TRANSFER)
    base, changes = golden.disks()["epoch-3"]["large"], {7: golden.text(golden.BLOCK, "further")}
    with repository.begin_backup("further", "epoch-3", options=golden.OPTIONS) as session:
        golden.add_disk(session, "large", base.changed(changes), changes, "large")
        session.commit(golden.description("further"))
    repository.keys.start_epoch()
    retire = PruneOptions(grace_seconds=0, patience_seconds=0, retire_through=3)
    repository.prune(retire)  # carries the plan out first, which names a pack that is needed
    assert (2, 3) == repository.prune(retire).retired_epochs
    assert {golden.UNFINISHED, "trashed"} <= set(repository.list_points())
    with opened(tmp_path / "repository", tmp_path / "clean") as clean:
        require_all(clean)
        assert () == clean.verify(full=True).findings
        target = Target()
        clean.restore_disk("further", "large", target)
        assert base.changed(changes).blocks == target.blocks
