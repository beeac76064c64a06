"""A VM that may not be destroyed is replaced by a restore over it, and else stays protected."""

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition
from services.hypervisor.adapters import xapi_tags
from services.hypervisor.adapters.xapi_http import XapiHttp
from services.hypervisor.adapters.xapi_objects import XapiObjects
from tests.contract.hypervisor.conftest import connected
from tests.contract.hypervisor.worlds import SimulatedWorld
from tests.support.pool import PASSWORD, SimulatedPool

WHY = {"destroy": "it is precious"}


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


@pytest.fixture
async def here(simulated: SimulatedPool) -> AsyncIterator[SimulatedWorld]:
    gateway, pool = await connected(simulated)
    connection = gateway.connect(pool, Secret(PASSWORD))
    yield SimulatedWorld(connection, simulated)
    await connection.close()


async def _protected(world: SimulatedWorld) -> str:
    vm_id = await world.new_vm()
    world._call("VM.set_blocked_operations", world._call("VM.get_by_uuid", vm_id), WHY)
    return vm_id


def _told(world: SimulatedWorld, vm_id: str) -> tuple[dict[str, str], list[str]]:
    """What is blocked, and notes of ours."""
    vm = world._call("VM.get_record", world._call("VM.get_by_uuid", vm_id))
    return vm["blocked_operations"], [key for key in vm["other_config"] if key.startswith("xenkeep:")]


async def test_it_is_replaced_and_protected_as_the_point_says(here: SimulatedWorld) -> None:
    vm_id, target = await _protected(here), str(uuid.uuid4())
    archive = await here.pool.export_configuration(vm_id)
    await here.pool.import_vm(target, archive, {}, "", vm_id)
    assert vm_id == await here.pool.find_vm(target)
    assert () == await here.pool.complete_vm(vm_id, archive, "")
    await here.pool.release(target, vm_id)
    assert (WHY, []) == _told(here, vm_id)


async def test_when_the_import_is_refused_it_is_protected_still(here: SimulatedWorld) -> None:
    vm_id = await _protected(here)
    archive = await here.pool.export_configuration(vm_id)
    await here.start(vm_id)
    with pytest.raises(FailedPrecondition):
        await here.pool.import_vm(str(uuid.uuid4()), archive, {}, "", vm_id)
    assert (WHY, []) == _told(here, vm_id)


async def test_killed_before_the_import_it_is_protected_again_when_the_restore_is_aborted(
    here: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm_id, target = await _protected(here), str(uuid.uuid4())
    archive = await here.pool.export_configuration(vm_id)

    async def killed(*args: Any, **kwargs: Any) -> Any:
        raise Killed

    monkeypatch.setattr(XapiHttp, "put", killed)
    with pytest.raises(Killed):
        await here.pool.import_vm(target, archive, {}, "", vm_id)
    assert {} == _told(here, vm_id)[0]
    await here.pool.remove_target(str(uuid.uuid4()))
    assert {} == _told(here, vm_id)[0]
    await here.pool.remove_target(target)
    assert (WHY, []) == _told(here, vm_id)


def _changed_after(monkeypatch: pytest.MonkeyPatch, read: str, change: Callable[[], None]) -> None:
    """An administrator is faster: whenever a VM has been read, it is changed before we write."""
    original = getattr(XapiObjects, read)

    async def read_then_changed(self: XapiObjects, kind: str, *args: str) -> Any:
        found = await original(self, kind, *args)
        if kind == "VM":
            change()
        return found

    monkeypatch.setattr(XapiObjects, read, read_then_changed)


async def test_what_an_administrator_changes_meanwhile_stays(
    here: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm_id = await _protected(here)
    archive = await here.pool.export_configuration(vm_id)
    ref = here._call("VM.get_by_uuid", vm_id)
    await here.start(vm_id)
    theirs = {f"note-{number}": "theirs" for number in range(10)}
    left = list(theirs)
    blocks = ["pool_migrate", "clean_reboot", "hard_reboot", "suspend", "pause"]
    blocked = dict(WHY)

    def change() -> None:
        if left:
            here._call("VM.add_to_other_config", ref, left.pop(), "theirs")
        if blocks:
            blocked[name := blocks.pop()] = "theirs"
            here._call("VM.add_to_blocked_operations", ref, name, "theirs")

    _changed_after(monkeypatch, "record", change)
    with pytest.raises(FailedPrecondition):
        await here.pool.import_vm(str(uuid.uuid4()), archive, {}, "", vm_id)
    assert len(left) <= len(theirs) - 2, "before and after the import"
    config = here._call("VM.get_other_config", ref)
    assert set(theirs) - set(left) <= set(config)
    assert (blocked, []) == _told(here, vm_id)


async def _killed_before_the_import(
    here: SimulatedWorld, monkeypatch: pytest.MonkeyPatch, vm_id: str, target: str
) -> None:
    async def killed(*args: Any, **kwargs: Any) -> Any:
        raise Killed

    archive = await here.pool.export_configuration(vm_id)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(XapiHttp, "put", killed)
        await here.pool.import_vm(target, archive, {}, "", vm_id)


async def test_what_an_administrator_changes_while_a_restore_is_aborted_stays(
    here: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm_id, target = await _protected(here), str(uuid.uuid4())
    ref = here._call("VM.get_by_uuid", vm_id)
    await _killed_before_the_import(here, monkeypatch, vm_id, target)
    once = ["theirs"]

    def change() -> None:
        while once:
            here._call("VM.add_to_other_config", ref, once.pop(), "stays")
            here._call("VM.add_to_blocked_operations", ref, "suspend", "theirs")

    _changed_after(monkeypatch, "where", change)
    await here.pool.remove_target(target)
    assert (WHY | {"suspend": "theirs"}, []) == _told(here, vm_id)
    assert "stays" == here._call("VM.get_other_config", ref)["theirs"]


async def test_who_protects_it_again_meanwhile_is_not_overruled(
    here: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm_id, target = await _protected(here), str(uuid.uuid4())
    await _killed_before_the_import(here, monkeypatch, vm_id, target)
    ref = here._call("VM.get_by_uuid", vm_id)
    here._call("VM.add_to_blocked_operations", ref, "destroy", "still precious")
    other = str(uuid.uuid4())
    await _killed_before_the_import(here, monkeypatch, vm_id, other)
    await here.pool.remove_target(target)
    assert {} == _told(here, vm_id)[0], "it is the later restore's to protect it again"
    await here.pool.remove_target(other)
    assert ({"destroy": "still precious"}, []) == _told(here, vm_id)


async def test_what_is_added_to_a_restored_vm_while_our_marks_are_taken_off_stays(
    here: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm_id, target = await here.new_vm(), str(uuid.uuid4())
    archive = await here.pool.export_configuration(vm_id)
    await here.pool.import_vm(target, archive, {}, "again", None)
    made = await here.pool.find_vm(target)
    assert made is not None
    ref = here._call("VM.get_by_uuid", made)
    once = ["theirs"]

    def change() -> None:
        while once:
            here._call("VM.add_to_other_config", ref, once.pop(), "stays")

    _changed_after(monkeypatch, "record", change)
    await here.pool.release(target, made)
    assert ({}, []) == _told(here, made)
    assert "stays" == here._call("VM.get_other_config", ref)["theirs"]


async def test_what_is_added_to_a_restored_vm_while_its_addresses_are_set_stays(
    here: SimulatedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm_id, target = await here.new_vm(), str(uuid.uuid4())
    wanted = (await here.pool.shape(vm_id)).interfaces
    await here.pool.import_vm(target, await here.pool.export_configuration(vm_id), {}, "again", None)
    made = await here.pool.find_vm(target)
    assert made is not None
    ref = here._call("VM.get_by_uuid", made)
    here._call("VM.add_to_other_config", ref, f"{xapi_tags.INTERFACE}0", "of an earlier attempt")
    once = ["theirs"]

    def change() -> None:
        while once:
            here._call("VM.add_to_other_config", ref, once.pop(), "stays")

    _changed_after(monkeypatch, "record", change)
    await here.pool.set_macs(made, wanted)
    config = here._call("VM.get_other_config", ref)
    assert ("stays", made) == (config["theirs"], config[xapi_tags.OBJECT])
    assert wanted == (await here.pool.shape(made)).interfaces
    await here.pool.release(target, made)
    assert ({}, []) == _told(here, made)
