"""Whatever writes to a repository may die at any step: nothing is lost, and done once more it is done."""

import os
import shutil
from pathlib import Path

import pytest

from services.mover.repository import DirectoryStore, MemoryStore
from tests.faults.repository.dying import die_at_system_call
from tests.faults.repository.faulty_store import Crash, FaultyStore
from tests.faults.repository.recorded_disk import Disk, Recording, lay_out
from tests.faults.repository.verbs import Objects, scene, verbs
from tests.support.forking import fork
from tests.support.injections import Injections
from tests.support.scenarios import THOROUGH

NAMES = sorted(verbs({}))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    return scene(tmp_path_factory.mktemp("cache"))


@pytest.mark.scenario(1)
@pytest.mark.parametrize("name", NAMES)
def test_killed_before_or_after_any_request_it_is_done_by_the_next_mover(
    before: Objects, tmp_path: Path, name: str, injections: Injections
) -> None:
    verb, step, finished = verbs(before)[name], 0, False
    while not finished:
        store = MemoryStore()
        store.objects = verb.needs(before)
        try:
            verb.act(FaultyStore(store, crash_at=step), tmp_path / f"doomed-{step}")
            finished = True
        except Crash:
            pass
        verb.repeat(store, tmp_path / f"heir-{step}")
        verb.require_done(store, tmp_path / f"after-{step}")
        injections.held()
        step += 1 if THOROUGH else 6
    assert injections.injected > 1


def _placed(objects: Objects, root: Path) -> Recording:
    """A directory with these objects, all of it on the disk."""
    root.mkdir()
    recording = Recording(root)
    with recording.recording():
        store = DirectoryStore(root)
        for name, data in objects.items():
            store.put(name, [data])
    return recording


@pytest.mark.scenario(1)
@pytest.mark.parametrize("name", NAMES if THOROUGH else ["point taken back"])
def test_a_process_killed_at_any_system_call_of_it_loses_nothing(
    before: Objects, tmp_path: Path, name: str, injections: Injections
) -> None:
    verb, step, survived = verbs(before)[name], 0, False
    _placed(verb.needs(before), tmp_path / "0")
    while not survived:
        folder = tmp_path / f"store-{step}"
        shutil.copytree(tmp_path / "0", folder)
        pid = fork()
        if pid == 0:
            try:
                die_at_system_call(step)
                verb.act(DirectoryStore(folder), tmp_path / f"doomed-{step}")
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitpid(pid, 0)[1]
        survived = os.WIFEXITED(status)
        assert not survived or os.WEXITSTATUS(status) == 0
        verb.repeat(DirectoryStore(folder), tmp_path / f"heir-{step}")
        verb.require_done(DirectoryStore(folder), tmp_path / f"after-{step}")
        shutil.rmtree(folder)
        injections.held()
        step += 1 if THOROUGH else 11
    assert injections.injected > 1


@pytest.mark.scenario(1, 2)
@pytest.mark.parametrize("name", NAMES)
def test_what_a_dead_mover_left_unsynced_is_safe_when_the_next_one_says_that_it_is_done(
    before: Objects, tmp_path: Path, name: str, injections: Injections
) -> None:
    """Killed at any file operation; the next mover does it once more; then the power goes."""
    verb = verbs(before)[name]
    doomed = _placed(verb.needs(before), tmp_path / "0")
    begun = len(doomed.operations)
    with doomed.recording():
        verb.act(DirectoryStore(doomed.root), tmp_path / "doomed")
    for killed in _moments(doomed, begun):
        live = Recording(tmp_path / "live", doomed.operations[:killed])
        lay_out(_disk(live).after_power_loss("everything"), live.root)
        with live.recording():
            told = verb.repeat(DirectoryStore(live.root), tmp_path / "heir")
        with injections.one():
            lay_out(_disk(live).after_power_loss("nothing"), tmp_path / "after")
            store = DirectoryStore(tmp_path / "after")
            if not told:
                verb.repeat(store, tmp_path / "again")
            verb.require_done(store, tmp_path / "judge")
        for left in tmp_path.iterdir():
            if left.is_dir() and left.name not in ("0", "doomed", "doomed-here", "doomed-copy"):
                shutil.rmtree(left)
    assert injections.injected > 0


def _moments(recording: Recording, begun: int) -> list[int]:
    """After how many operations: an object of each kind has just got its name, or lost it; or every one."""
    found = recording.named(begun)
    if THOROUGH:
        return [number for number, _ in found]
    return sorted({path.partition("/")[0]: number for number, path in found}.values())


def _disk(recording: Recording) -> Disk:
    disk = Disk()
    for operation in recording.operations:
        disk.apply(operation)
    return disk
