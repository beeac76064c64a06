"""What a backup asks of a pool does not follow the pool's size."""

import json
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

MORE = 40
SLACK_BYTES = 2048
"""Records differ by a few characters; one more record is longer than that in all of a round."""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SimulatedWorld]:
    pool = SimulatedPool(tmp_path, hosts=1, vms=[vm("web", host=None, disks=1)])
    pool.start()
    gateway, found = await connected(pool)
    connection = gateway.connect(found, Secret(PASSWORD))
    yield SimulatedWorld(connection, pool)
    await connection.close()
    pool.stop()


@pytest.mark.parametrize("template", [False, True], ids=["VM", "template"])
async def test_a_backup_costs_the_same_in_a_larger_pool(
    world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch, template: bool
) -> None:
    call = XapiSession._call
    calls: list[str] = []
    size = 0

    async def counted(self: XapiSession, method: str, *args: Any, **kwargs: Any) -> Any:
        nonlocal size
        result = await call(self, method, *args, **kwargs)
        if not method.startswith(
            ("task.", "event.", "VM.get_current_operations")
        ):  # as many as it takes to wait
            calls.append(method)
            size += len(json.dumps(result))
        return result

    async def backed_up() -> tuple[list[str], int]:
        nonlocal size
        calls.clear()
        size, source = 0, str(uuid.uuid4())
        for disk in (await world.pool.shape(vm_id)).disks:
            await world.pool.track(disk.configured.disk_id)
        assert not await world.pool.has_snapshot(vm_id, source)
        await world.pool.take_snapshot(vm_id, source, ())
        await world.pool.remove_snapshot(source, keep_tracking=True, lineage="main")
        return list(calls), size

    vm_id = await world.new_vm()
    if template:
        await world.make_template(vm_id)
    monkeypatch.setattr(XapiSession, "_call", counted)
    await backed_up()
    before, bytes_before = await backed_up()
    for _ in range(MORE):
        other = await world.new_vm()
        world._call("VM.snapshot", world._call("VM.get_by_uuid", other), "of somebody's")
    after, bytes_after = await backed_up()
    assert before == after
    assert abs(bytes_after - bytes_before) < SLACK_BYTES
