"""Killed after any change in the pool, the next closing leaves one base of a disk and nothing else."""

import itertools
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from services.chassis.config import Secret
from services.hypervisor.adapters.xapi_session import XapiSession
from tests.contract.hypervisor.conftest import connected
from tests.contract.hypervisor.worlds import SimulatedWorld
from tests.support.pool import PASSWORD, SimulatedPool, vm

CHANGES = (
    "VM.destroy",
    "VDI.data_destroy",
    "VDI.destroy",
    "VDI.set_other_config",
    "VDI.set_name_description",
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


@pytest.fixture
def dies_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Dies when so many changes are done; 0 is never."""
    call, left = XapiSession._call, 0

    def arm(changes: int) -> None:
        nonlocal left
        left = changes

    async def counting(self: XapiSession, method: str, *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        result = await call(self, method, *args, **kwargs)
        if left and method.removeprefix("Async.") in CHANGES:
            left -= 1
            if not left:
                raise Killed(method)
        return result

    monkeypatch.setattr(XapiSession, "_call", counting)
    return arm


async def test_one_disk_is_tracked_and_one_is_kept_whole(
    world: SimulatedWorld, dies_after: Callable[[int], None]
) -> None:
    vm_id = await world.new_vm()
    tracked = (await world.pool.shape(vm_id)).disks[0].configured.disk_id
    await world.pool.track(tracked)
    before: list[str] = []
    for changes in itertools.count(1):
        source = str(uuid.uuid4())
        snapshot = await world.pool.take_snapshot(vm_id, source, ())
        bases = [disk.snapshot_disk_id for disk in snapshot.disks]
        dies_after(changes)
        try:
            await world.pool.remove_snapshot(source, True, "repository", bases[1:])
        except Killed:
            killed = True
        else:
            killed = False
        dies_after(0)
        await world.pool.remove_snapshot(source, True, "repository", bases[1:])
        assert [True, True] == [await world.exists(disk) for disk in bases]
        assert not any([await world.exists(disk) for disk in before])
        assert not await world.has_vm(snapshot.snapshot_vm_id)
        assert frozenset() == (await world.pool.leftovers()).source_ids
        layers = [await world.pool.layers(disk) for disk in bases]
        assert [False, True] == [each is not None and each.has_data for each in layers]
        before = bases
        if not killed:
            break
    assert changes > 6
