"""Killed after any change in the pool, a template is captured all the same, and nothing stays of it."""

import itertools
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.chassis.config import Secret
from services.hypervisor.adapters.xapi_session import XapiSession
from tests.contract.hypervisor.conftest import connected
from tests.contract.hypervisor.worlds import SimulatedWorld
from tests.support.pool import PASSWORD, SimulatedPool, vm

CHANGES = (
    "VM.create",
    "VBD.create",
    "VM.snapshot",
    "VM.set_other_config",
    "VM.set_name_description",
    "VM.destroy",
    "VDI.set_other_config",
)


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SimulatedWorld]:
    pool = SimulatedPool(tmp_path, hosts=1, vms=[vm("web", host=None, disks=2)])
    pool.start()
    gateway, found = await connected(pool)
    connection = gateway.connect(found, Secret(PASSWORD))
    yield SimulatedWorld(connection, pool)
    await connection.close()
    pool.stop()


@pytest.mark.parametrize("again", [True, False], ids=["taken again", "given up"])
async def test_after_any_change(world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    call, left = XapiSession._call, 0

    async def counting(self: XapiSession, method: str, *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        result = await call(self, method, *args, **kwargs)
        if left and method.removeprefix("Async.") in CHANGES:
            left -= 1
            if not left:
                raise Killed(method)
        return result

    monkeypatch.setattr(XapiSession, "_call", counting)
    vm_id = await world.new_vm()
    await world.make_template(vm_id)
    disks = [disk.configured.disk_id for disk in (await world.pool.shape(vm_id)).disks]
    before = len(world._call("VM.get_all")), len(world._call("VDI.get_all_records_where", _OURS))
    for changes in itertools.count(1):
        source, left = str(uuid.uuid4()), changes
        try:
            await world.pool.take_snapshot(vm_id, source, ())
        except Killed:
            assert source in (await world.pool.leftovers()).source_ids
        else:
            left = 0
            assert changes > len(CHANGES)
            await world.pool.remove_snapshot(source, keep_tracking=False)
            return
        if again:
            taken = await world.pool.take_snapshot(vm_id, source, ())
            assert disks == [disk.facts.disk_id for disk in taken.disks]
        await world.pool.remove_snapshot(source, keep_tracking=False)
        after = len(world._call("VM.get_all")), len(world._call("VDI.get_all_records_where", _OURS))
        assert before == after
        assert [True, True] == [await world.exists(disk) for disk in disks]


_OURS = 'field "is_a_snapshot"="true"'
