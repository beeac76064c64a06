"""A mover killed at every step: nothing acknowledged is lost, and the next one goes on."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from services.chassis.errors import Aborted, AlreadyExists, NotFound, ResourceExhausted, XenkeepError
from services.mover.repository import (
    BackupOptions,
    DirectoryStore,
    DiskRequest,
    MemoryStore,
    create_repository,
)
from services.mover.repository.indexrewriting import compact_index
from tests.faults.repository.dying import die_at_system_call
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.support.forking import fork
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH
from tests.unit.repository.world import (
    BLOCK,
    KIB,
    MIB,
    OPTIONS,
    PASSPHRASE,
    QUICK,
    MemoryDisk,
    add_disk,
    back_up,
    description,
    new_repository,
    noise,
    overwritten,
    reopen,
    restored,
)

BASE = noise(6 * MIB)
CHANGES = {at * MIB + 3 * BLOCK: noise(BLOCK, at + 1) for at in range(6)}
NEXT = overwritten(BASE, CHANGES)
CHANGED = [(at, BLOCK) for at in CHANGES]


def _copy(store: MemoryStore) -> MemoryStore:
    copy = MemoryStore()
    copy.objects = dict(store.objects)
    return copy


@pytest.fixture(scope="module")
def with_base(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    store = MemoryStore()
    with new_repository(store, tmp_path_factory.mktemp("cache"), 256 * KIB, 512 * KIB) as repository:
        back_up(repository, "base", BASE)
    return store


@pytest.mark.scenario(1)
def test_a_backup_killed_at_every_step_is_there_or_not_and_the_next_attempt_succeeds(
    with_base: MemoryStore, tmp_path: Path, injections: Injections
) -> None:
    step = 0
    while True:
        store = _copy(with_base)
        faulty = FaultyStore(store, crash_at=step)
        cache = tmp_path / str(step)
        acknowledged = False
        with reopen(faulty, cache) as repository:
            try:
                back_up(repository, "next", NEXT, base="base", changed=CHANGED, transfer="t", options=OPTIONS)
                acknowledged = True
            except Crash:
                pass
        # The same machine (its cache survives) or, every other time, another one.
        with reopen(store, cache if step % 2 else tmp_path / f"other-{step}") as repository:
            assert not acknowledged or repository.list_points() == ["base", "next"]
            try:
                back_up(repository, "next", NEXT, base="base", changed=CHANGED, transfer="t", options=OPTIONS)
            except AlreadyExists:
                assert repository.list_points() == ["base", "next"]
            assert restored(repository, "next") == NEXT
            assert restored(repository, "base") == BASE
            assert repository.verify(full=True).findings == ()
        injections.held()
        if acknowledged:
            break
        step += 1
    assert step > 10


@pytest.mark.scenario(1)
def test_a_process_killed_at_any_system_call_of_a_backup_loses_nothing(
    tmp_path: Path, injections: Injections
) -> None:
    with new_repository(
        DirectoryStore(tmp_path / "0", create=True), tmp_path / "c", 256 * KIB, MIB
    ) as repository:
        back_up(repository, "base", BASE)
    step, survived = 0, False
    while not survived:
        folder = tmp_path / f"store-{step}"
        shutil.copytree(tmp_path / "0", folder)
        pid = fork()
        if pid == 0:
            die_at_system_call(step)
            with reopen(DirectoryStore(folder), tmp_path / f"cache-{step}") as repository:
                back_up(repository, "next", NEXT, base="base", changed=CHANGED, transfer="t", options=OPTIONS)
            os._exit(0)
        survived = os.WIFEXITED(os.waitpid(pid, 0)[1])
        with reopen(DirectoryStore(folder), tmp_path / f"cache-{step}") as repository:
            assert restored(repository, "base") == BASE
            if "next" not in repository.list_points():
                assert not survived
                back_up(repository, "next", NEXT, base="base", changed=CHANGED, transfer="t", options=OPTIONS)
            assert restored(repository, "next") == NEXT
            back_up(repository, "later", NEXT, base="next", changed=[])
            assert not list(folder.rglob(".tmp-*"))
        shutil.rmtree(folder)
        injections.held()
        step += 1 if THOROUGH else 5
    assert step > 20


@pytest.mark.scenario(1)
def test_a_creation_killed_at_every_step_can_be_repeated(tmp_path: Path, injections: Injections) -> None:
    step = 0
    while True:
        store = MemoryStore()
        try:
            create_repository(FaultyStore(store, crash_at=step), PASSPHRASE, tmp_path / "a", cost=QUICK)[
                0
            ].close()
            break
        except Crash:
            pass
        if "xenkeep-repository.json" not in store.objects:
            create_repository(store, PASSPHRASE, tmp_path / "b", cost=QUICK)[0].close()
        reopen(store, tmp_path / "c").close()
        injections.held()
        step += 1
    assert step >= 8


@pytest.mark.scenario(1)
def test_another_mover_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    content = noise(32 * MIB)
    saved = threading.Event()

    class Watched(MemoryStore):
        def delete(self, name: str) -> None:
            super().delete(name)
            if name == "checkpoints/t/00000003":
                saved.set()

    store = Watched()
    new_repository(store, tmp_path / "a").close()

    def die(offset: int) -> None:
        if offset >= 24 * MIB:
            saved.wait(30)
            raise Crash

    with reopen(store, tmp_path / "a") as repository, pytest.raises(Crash):
        back_up(repository, "p", content, disk=MemoryDisk(content, on_read=die), transfer="t")
    assert any(name.startswith("checkpoints/t/") for name in store.objects)
    with reopen(store, tmp_path / "b") as repository:
        disk = MemoryDisk(content)
        with repository.begin_backup("p", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, content, disk=disk)
            assert session.resumed_from_bytes >= 4 * MIB
            point = session.commit(description())
        assert disk.bytes_read + point.statistics["resumed_bytes"] == len(content)
        assert restored(repository, "p") == content
    assert not any(name.startswith("checkpoints/") for name in store.objects)


def test_a_checkpoint_of_another_snapshot_is_not_used_and_that_is_told(tmp_path: Path) -> None:
    old, new = noise(8 * MIB), noise(8 * MIB, 1)
    store = MemoryStore()
    with new_repository(store, tmp_path, pack_bytes=MIB) as repository:
        with repository.begin_backup("p", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, old)
        assert any(name.startswith("checkpoints/t/") for name in store.objects)
        with repository.begin_backup("p", transfer_id="t", options=OPTIONS) as session:
            session.disk(DiskRequest("d", len(new), source_ref="snapshot-2"), MemoryDisk(new))
            point = session.commit(description())
        assert [notice.code for notice in point.notices] == ["CHECKPOINT_DISCARDED"]
        assert restored(repository, "p") == new


@pytest.mark.parametrize("loss", ["nothing", "half of the data", "all metadata", "everything"])
def test_a_resume_relies_only_on_packs_that_are_there(tmp_path: Path, loss: str) -> None:
    content = noise(24 * MIB)
    store = MemoryStore()
    with new_repository(store, tmp_path / "a", chunk_bytes=BLOCK, pack_bytes=MIB) as repository:
        with repository.begin_backup("p", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, content)
            for packer in session._pipeline._packers.values():
                packer.drain()
            session._saver.save_all()
        compact_index(repository._context, more_than=0)
    for number, name in enumerate(sorted(name for name in store.objects if name.startswith("packs/"))):
        data = name.startswith("packs/data")
        lost = {"half of the data": data and number % 2, "all metadata": not data, "everything": True}
        if lost.get(loss):
            del store.objects[name]
    with reopen(store, tmp_path / "b") as repository:
        with repository.begin_backup("p", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, content)
            assert (session.resumed_from_bytes > 0) == (loss == "nothing")
            point = session.commit(description())
        assert ("CHECKPOINT_INCOMPLETE" in [notice.code for notice in point.notices]) == (loss != "nothing")
        assert restored(repository, "p") == content


@pytest.mark.scenario(22, "restic #2715")
def test_a_mover_that_was_replaced_cannot_commit(tmp_path: Path) -> None:
    content = noise(4 * MIB)
    store = MemoryStore()
    with new_repository(store, tmp_path / "a") as slow, reopen(store, tmp_path / "b") as quick:
        with slow.begin_backup("p", transfer_id="t", options=OPTIONS) as session:
            add_disk(session, content)
            with quick.begin_backup("p", transfer_id="t", options=OPTIONS) as other:
                add_disk(other, content)
                with pytest.raises(Aborted, match="taken over"):
                    session.commit(description())
                other.commit(description())
        assert restored(quick, "p") == content


@pytest.mark.scenario(5)
@pytest.mark.parametrize("where", ["packs/data", "packs/meta", "index/", "checkpoints/", "points/"])
def test_a_full_disk_fails_the_backup_with_a_way_out_and_the_next_one_succeeds(
    with_base: MemoryStore, tmp_path: Path, where: str
) -> None:
    store = _copy(with_base)

    def full(verb: str, name: str) -> None:
        if verb == "put" and name.startswith(where):
            raise ResourceExhausted("The store is full.", reason="STORE_FULL", hint="Free space.")

    with reopen(FaultyStore(store, fault=full), tmp_path / "a") as repository:
        with pytest.raises(ResourceExhausted, match="Free space"):
            back_up(repository, "next", NEXT, base="base", changed=CHANGED, transfer="t")
        assert restored(repository, "base") == BASE
    with reopen(store, tmp_path / "b") as repository:
        assert repository.list_points() == ["base"]
        back_up(repository, "next", NEXT, base="base", changed=CHANGED, transfer="t")
        assert restored(repository, "next") == NEXT


def test_a_source_that_fails_stops_the_backup_with_its_own_error(tmp_path: Path) -> None:
    def broken(offset: int) -> None:
        if offset > 2 * MIB:
            raise NotFound("The export is gone.", reason="EXPORT_GONE")

    with new_repository(MemoryStore(), tmp_path) as repository:
        with pytest.raises(NotFound, match="export is gone"):
            back_up(repository, "p", BASE, disk=MemoryDisk(BASE, on_read=broken))
        assert repository.list_points() == []


def test_a_cancelled_backup_stops_and_forgets_when_asked(tmp_path: Path) -> None:
    store = MemoryStore()
    with new_repository(store, tmp_path) as repository:
        session = repository.begin_backup("p", transfer_id="t", options=OPTIONS)
        with pytest.raises(XenkeepError, match="cancelled"):
            add_disk(session, BASE, disk=MemoryDisk(BASE, on_read=lambda offset: session.cancel()))
        session.abort(forget=True)
        assert not any(name.startswith("checkpoints/") for name in store.objects)


@pytest.mark.scenario(9)
def test_a_retried_put_whose_first_try_succeeded_is_success(tmp_path: Path) -> None:
    class Repeating(MemoryStore):
        def put(self, name: str, parts: object) -> None:
            super().put(name, parts)  # type: ignore[arg-type]
            if name.startswith(("packs/", "points/", "index/")):
                super().put(name, parts)  # type: ignore[arg-type]

    with new_repository(Repeating(), tmp_path) as repository:
        back_up(repository, "p", BASE)
        assert restored(repository, "p") == BASE


def test_many_packs_are_indexed_while_the_backup_runs(tmp_path: Path) -> None:
    content = noise(80 * BLOCK)
    store = MemoryStore()
    with new_repository(store, tmp_path, chunk_bytes=BLOCK, pack_bytes=BLOCK) as repository:
        options = BackupOptions(readers=1, workers=1, uploads=1, checkpoint_seconds=0)
        with repository.begin_backup("p", transfer_id="t", options=options) as session:
            add_disk(session, content)
        assert any(name.startswith("index/") for name in store.objects)
        back_up(repository, "p", content, transfer="t", options=options)
        assert restored(repository, "p") == content
