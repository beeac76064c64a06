"""A machine of QEMU in the place of a VM: it follows the VM's power, and the VM follows it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from xenkeep.simulator.v1 import simulator_pb2 as pb
from xenkeep.simulator.v1.simulator_pb2_grpc import SimulatorServiceStub

from services.simulator.control.server import ControlServer
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import Sdk
from tests.integration.simulator.test_guests import uuid_of
from tests.integration.simulator.test_vm_life import NULL, only_vm
from tests.support.boot_sector import boot_sector
from tests.support.qemu import Machine, qemu

__all__ = ["qemu"]
NAME = "Boot sector of the tests"


class Place:
    """Where machines run: the pool's only VM, in ``folder``."""

    def __init__(self, qemu: str, control: Any, sdk: Sdk, folder: Path) -> None:
        self.sdk = sdk
        self.control = control
        self.folder = folder
        self.machines: list[Machine] = []
        self._qemu = qemu

    async def machine(self, *more: str, powers_off: bool = False) -> Machine:
        """One that boots from the VM's disk."""
        sector = pb.GuestWrite(data=boot_sector(NAME, powers_off=powers_off))
        await self.control.WriteGuest(pb.WriteGuestRequest(disk_id=await uuid_of(self.sdk), writes=[sector]))
        request = pb.AttachMachineRequest(vm="web", folder=str(self.folder))
        arguments = (await self.control.AttachMachine(request)).qemu_arguments
        machine = Machine(self._qemu, [*arguments, *more], memory_mib=16)
        self.machines.append(machine)
        return machine

    async def running(self, *more: str) -> Machine:
        """One whose tools have told of it."""
        machine = await self.machine(*more)
        await self.metrics(lambda told: told["os_version"].get("name") == NAME)
        return machine

    async def record(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Of the VM, as soon as ``wanted`` holds."""
        return await self._when("VM", lambda: only_vm(self.sdk), wanted)

    async def metrics(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What its tools have told, as soon as ``wanted`` holds."""

        async def ref() -> str:
            return str(await self.sdk.call("VM.get_guest_metrics", await only_vm(self.sdk)))

        return await self._when("VM_guest_metrics", ref, wanted)

    async def _when(self, cls: str, ref: Any, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        token = ""
        while True:
            token = (await self.sdk.call("event.from", [cls], token, 30.0))["token"]
            record: dict[str, Any] = await self.sdk.call(f"{cls}.get_record", await ref())
            if wanted(record):
                return record


@pytest.fixture
async def place(qemu: str, simulation: Simulation, sdk: Sdk, tmp_path: Path) -> AsyncIterator[Place]:
    socket = tmp_path / "control.sock"
    channel = grpc.aio.insecure_channel(f"unix:{socket}")
    async with ControlServer(simulation.pool, socket), channel:
        place = Place(qemu, SimulatorServiceStub(channel), sdk, tmp_path / "web")
        yield place
        for machine in place.machines:
            machine.kill()


async def ended(machine: Machine) -> int:
    return await asyncio.to_thread(machine.ended)


def is_halted(vm: dict[str, Any]) -> bool:
    return bool(vm["power_state"] == "Halted")


async def test_what_its_tools_tell_is_what_the_pool_tells(place: Place) -> None:
    before = await place.sdk.call("VM.get_allowed_operations", await only_vm(place.sdk))
    await place.running()
    told = await place.metrics(lambda _: True)
    assert {"name": NAME} == told["os_version"]
    assert {"feature-shutdown": "1", "feature-reboot": "1"} == told["other"]
    assert (False, True) == (told["PV_drivers_detected"], told["live"])
    after = await place.sdk.call("VM.get_allowed_operations", await only_vm(place.sdk))
    assert {"suspend", "checkpoint", "pool_migrate", "migrate_send"} == set(before) - set(after)


async def test_a_clean_shutdown_is_the_guests_own(place: Place) -> None:
    machine = await place.running()
    await place.sdk.run("VM.clean_shutdown", await only_vm(place.sdk))
    assert 0 == await ended(machine)
    vm = await place.record(is_halted)
    assert (NULL, NULL) == (vm["guest_metrics"], vm["resident_on"])
    assert [] == list(place.folder.iterdir())


async def test_a_guest_that_powers_off_halts_its_vm(place: Place) -> None:
    machine = await place.machine(powers_off=True)
    await place.record(is_halted)
    assert 0 == await ended(machine)
    await place.sdk.call("VM.start", await only_vm(place.sdk), False, False)
    told = await place.metrics(lambda _: True)
    assert "Debian GNU/Linux 12 (bookworm)" == told["os_version"]["name"], "without a machine it is pretended"


async def test_a_machine_that_stays_when_it_is_off_is_ended(place: Place) -> None:
    machine = await place.machine("-no-shutdown", powers_off=True)
    await place.record(is_halted)
    assert 0 == await ended(machine)


async def test_a_hard_shutdown_ends_the_machine(place: Place) -> None:
    machine = await place.running()
    await place.sdk.run("VM.hard_shutdown", await only_vm(place.sdk))
    assert 0 == await ended(machine)


async def test_a_reboot_goes_on_with_the_same_machine(place: Place) -> None:
    machine = await place.running()
    for how in ("clean", "hard"):
        before = await place.record(lambda _: True)
        await place.sdk.run(f"VM.{how}_reboot", await only_vm(place.sdk))
        after = await place.record(lambda _: True)
        assert "Running" == after["power_state"]
        assert before["domid"] != after["domid"]
        await place.metrics(lambda told: told["os_version"].get("name") == NAME)
    assert [machine] == place.machines


async def test_a_machine_that_is_killed_has_crashed(place: Place) -> None:
    vm = await only_vm(place.sdk)
    await place.sdk.call("VM.set_actions_after_crash", vm, "destroy")
    machine = await place.running()
    machine.kill()
    await place.record(is_halted)
    messages = await place.sdk.call("message.get_all_records")
    assert "VM_CRASHED" in [message["name"] for message in messages.values()]


async def test_after_a_crash_the_vm_starts_again_if_it_shall(place: Place) -> None:
    vm = await only_vm(place.sdk)
    await place.sdk.call("VM.set_actions_after_crash", vm, "restart")
    before = await place.sdk.call("VM.get_domid", vm)
    machine = await place.running()
    machine.kill()
    after = await place.record(lambda now: now["power_state"] == "Running" and now["domid"] != before)
    assert NULL != after["resident_on"]


async def test_a_paused_vms_machine_stands_still(place: Place) -> None:
    machine = await place.running()
    vm = await only_vm(place.sdk)
    await place.sdk.call("VM.pause", vm)
    at = _processor_time(machine.pid)
    await asyncio.sleep(0.5)  # in which it would spend most of it
    assert _processor_time(machine.pid) - at < 0.1
    await place.sdk.call("VM.unpause", vm)
    await place.sdk.run("VM.clean_shutdown", vm)
    assert 0 == await ended(machine)


async def test_with_its_host_the_machine_loses_power(place: Place, simulation: Simulation) -> None:
    machine = await place.running()
    await simulation.pool.failures.kill(simulation.pool.host_named("host-1"))
    assert 0 == await ended(machine)


async def test_a_vm_has_one_machine_and_must_run(place: Place) -> None:
    machine = await place.running()
    request = pb.AttachMachineRequest(vm="web", folder=str(place.folder / "again"))
    with pytest.raises(grpc.aio.AioRpcError, match="DEVICE_ALREADY_ATTACHED"):
        await place.control.AttachMachine(request)
    await place.sdk.run("VM.hard_shutdown", await only_vm(place.sdk))
    assert 0 == await ended(machine)
    with pytest.raises(grpc.aio.AioRpcError, match="VM_BAD_POWER_STATE"):
        await place.control.AttachMachine(request)


def _processor_time(pid: int) -> float:
    """Seconds that a process has computed for (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
