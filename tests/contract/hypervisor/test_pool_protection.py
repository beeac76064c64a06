"""A VM that may not be destroyed is replaced by a restore over it, and else stays protected."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.chassis.config import Secret
from services.chassis.errors import FailedPrecondition
from services.hypervisor.adapters.xapi_http import XapiHttp
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
