"""The pools every law is tried on: the one in memory, and a simulated XenServer pool behind XenAPI."""

import uuid
from dataclasses import dataclass
from typing import Any, Protocol

from xenkeep.simulator.v1 import simulator_pb2

from services.hypervisor.adapters.memory_objects import BLOCK_BYTES
from services.hypervisor.adapters.memory_pool import MemoryPool
from services.hypervisor.domain.vm import PowerState
from services.hypervisor.ports.pool import PoolConnection
from services.hypervisor.ports.restores import WriteEndpoint
from tests.support.hypervisor import put_disk, sdk_call
from tests.support.pool import SimulatedPool, simulator


class World(Protocol):
    """What a test may do to a pool besides asking it."""

    @property
    def pool(self) -> PoolConnection: ...

    async def new_vm(self) -> str:
        """UUID of a halted VM with two disks of 16 MiB and one interface."""
        ...

    async def move(self, disk_id: str) -> str:
        """Has the pool move a disk that is not tracked to other storage; its UUID there."""
        ...

    async def make_template(self, vm_id: str) -> None: ...

    async def is_template(self, vm_id: str) -> bool: ...

    async def guest_writes(self, disk_id: str, block: int) -> None:
        """Puts something new into a block of a live disk."""
        ...

    async def write(self, endpoint: WriteEndpoint) -> None:
        """Writes a disk completely."""
        ...

    async def remove_vm(self, vm_id: str) -> None: ...

    async def start(self, vm_id: str) -> None: ...

    async def refuses_to_shut_down(self, vm_id: str, after_s: float) -> None:
        """The guest will not react, and the pool notices after so long."""
        ...

    async def suspend(self, vm_id: str) -> None: ...

    async def without_memory(self, vm_id: str) -> None:
        """The pool is going to refuse to capture its memory: it is off."""
        ...

    async def copy_memory(self, image_id: str, into_id: str) -> None:
        """What is in a suspend image, into another disk."""
        ...

    async def exists(self, disk_id: str) -> bool: ...

    async def has_vm(self, vm_id: str) -> bool: ...


@dataclass
class MemoryWorld:
    """Without a network."""

    pool: MemoryPool

    async def new_vm(self) -> str:
        disks = [self.pool.add_disk(f"disk {number}", 16 * 1024 * 1024) for number in range(2)]
        return self.pool.add_vm("vm", *disks).vm_id

    async def move(self, disk_id: str) -> str:
        return self.pool.move_disk(disk_id)

    async def make_template(self, vm_id: str) -> None:
        self.pool.vms[vm_id].template = True

    async def is_template(self, vm_id: str) -> bool:
        return self.pool.vms[vm_id].template

    async def guest_writes(self, disk_id: str, block: int) -> None:
        self.pool.disks[disk_id].blocks[block] = uuid.uuid4().bytes

    async def write(self, endpoint: WriteEndpoint) -> None:
        self.pool.tickets[endpoint.url.reveal().partition("?")[2]].written = True

    async def remove_vm(self, vm_id: str) -> None:
        del self.pool.vms[vm_id]

    async def start(self, vm_id: str) -> None:
        self.pool.vms[vm_id].power_state = PowerState.RUNNING

    async def refuses_to_shut_down(self, vm_id: str, after_s: float) -> None:
        self.pool.vms[vm_id].reacts = False

    async def suspend(self, vm_id: str) -> None:
        self.pool.suspend(self.pool.vms[vm_id])

    async def without_memory(self, vm_id: str) -> None:
        self.pool.vms[vm_id].memory_obstacle = "it is off"

    async def copy_memory(self, image_id: str, into_id: str) -> None:
        self.pool.disks[into_id].blocks = dict(self.pool.disks[image_id].blocks)

    async def exists(self, disk_id: str) -> bool:
        return disk_id in self.pool.disks

    async def has_vm(self, vm_id: str) -> bool:
        return vm_id in self.pool.vms


@dataclass
class SimulatedWorld:
    """With everything between."""

    pool: PoolConnection
    simulated: SimulatedPool

    async def new_vm(self) -> str:
        [template] = self._call("VM.get_by_name_label", "web")
        ref = self._call("VM.clone", template, f"vm {uuid.uuid4()}")
        return str(self._call("VM.get_uuid", ref))

    async def move(self, disk_id: str) -> str:
        [sr] = self._call("SR.get_by_name_label", "Plain storage")
        moved = self._call("VDI.pool_migrate", self._call("VDI.get_by_uuid", disk_id), sr, {})
        return str(self._call("VDI.get_uuid", moved))

    async def make_template(self, vm_id: str) -> None:
        self._call("VM.set_is_a_template", self._call("VM.get_by_uuid", vm_id), True)

    async def is_template(self, vm_id: str) -> bool:
        return bool(self._call("VM.get_is_a_template", self._call("VM.get_by_uuid", vm_id)))

    async def guest_writes(self, disk_id: str, block: int) -> None:
        write = simulator_pb2.GuestWrite(offset_bytes=block * BLOCK_BYTES, data=uuid.uuid4().bytes * 32)
        async with self.simulated.control() as channel:
            request = simulator_pb2.WriteGuestRequest(disk_id=disk_id, writes=[write])
            await simulator(channel).WriteGuest(request)

    async def write(self, endpoint: WriteEndpoint) -> None:
        await put_disk(endpoint.url.reveal(), endpoint.certificate_pem, [(0, b"data" * 1024)])

    async def remove_vm(self, vm_id: str) -> None:
        self._call("VM.destroy", self._call("VM.get_by_uuid", vm_id))

    async def start(self, vm_id: str) -> None:
        self._call("VM.start", self._call("VM.get_by_uuid", vm_id), False, False)

    async def refuses_to_shut_down(self, vm_id: str, after_s: float) -> None:
        request = simulator_pb2.SetShutdownRequest(
            vm=vm_id, refused=True, delay_milliseconds=round(after_s * 1000)
        )
        async with self.simulated.control() as channel:
            await simulator(channel).SetShutdown(request)

    async def suspend(self, vm_id: str) -> None:
        self._call("VM.suspend", self._call("VM.get_by_uuid", vm_id))

    async def without_memory(self, vm_id: str) -> None:
        """It is off: that is enough."""

    async def copy_memory(self, image_id: str, into_id: str) -> None:
        source, into = (self._call("VDI.get_by_uuid", id) for id in (image_id, into_id))
        self._call("VDI.copy", source, "OpaqueRef:NULL", "OpaqueRef:NULL", into)

    async def exists(self, disk_id: str) -> bool:
        return any(vdi["uuid"] == disk_id for vdi in self._call("VDI.get_all_records").values())

    async def has_vm(self, vm_id: str) -> bool:
        return any(vm["uuid"] == vm_id for vm in self._call("VM.get_all_records").values())

    def _call(self, method: str, *args: object) -> Any:
        return sdk_call(f"https://{self.simulated.address(0)}", method, args)
