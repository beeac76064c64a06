"""A pool over XenAPI: the ports of ``ports.pool``, each answered by the adapter that knows its part."""

from collections.abc import AsyncIterator, Collection, Mapping
from datetime import datetime

from services.chassis.clock import Clock
from services.hypervisor.adapters import xapi_archive_parts, xapi_gpus, xapi_metadata
from services.hypervisor.adapters.xapi_allocation import XapiAllocation
from services.hypervisor.adapters.xapi_bases import XapiBases
from services.hypervisor.adapters.xapi_cleanup import XapiCleanup
from services.hypervisor.adapters.xapi_disks import XapiDisks
from services.hypervisor.adapters.xapi_gpus import XapiGpus
from services.hypervisor.adapters.xapi_http import XapiHttp
from services.hypervisor.adapters.xapi_migrations import XapiMigrations
from services.hypervisor.adapters.xapi_objects import XapiObjects
from services.hypervisor.adapters.xapi_pool_metadata import XapiPoolMetadata
from services.hypervisor.adapters.xapi_power import XapiPower
from services.hypervisor.adapters.xapi_protection import XapiProtection
from services.hypervisor.adapters.xapi_readers import XapiReaders
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.adapters.xapi_settings import XapiSettings
from services.hypervisor.adapters.xapi_shapes import XapiShapes
from services.hypervisor.adapters.xapi_snapshots import XapiSnapshots
from services.hypervisor.adapters.xapi_storage import XapiStorage
from services.hypervisor.adapters.xapi_surroundings import XapiSurroundings
from services.hypervisor.adapters.xapi_tracking import XapiTracking
from services.hypervisor.adapters.xapi_vms import XapiVms
from services.hypervisor.adapters.xapi_watch import XapiInventory
from services.hypervisor.domain.care import Moves, SnapshotFacts
from services.hypervisor.domain.configuration import ConfiguredDisk, ConfiguredInterface
from services.hypervisor.domain.differences import Layers
from services.hypervisor.domain.gpus import GpuObstacle
from services.hypervisor.domain.image_format import DiskStorage
from services.hypervisor.domain.leadership import Leadership
from services.hypervisor.domain.memory import HostCpu
from services.hypervisor.domain.pool import Member, Picture
from services.hypervisor.domain.surroundings import Surroundings
from services.hypervisor.domain.target import AttachedDisk
from services.hypervisor.domain.tracking import TrackedDisk, TrackingOutcome
from services.hypervisor.ports.guests import Guest
from services.hypervisor.ports.leavings import Leftovers
from services.hypervisor.ports.readers import NbdEndpoint
from services.hypervisor.ports.restores import MadeDisk, WriteEndpoint
from services.hypervisor.ports.snapshots import Snapshot, VmShape


class XapiPool:
    """``ports.pool.PoolConnection`` on one shared session."""

    def __init__(self, pool_id: str, session: XapiSession, clock: Clock, installation: str) -> None:
        self._session = session
        objects = XapiObjects(session, clock)
        http = XapiHttp(session, clock)
        self._inventory = XapiInventory(pool_id, session)
        self._shapes = XapiShapes(session, objects)
        self._tracking = XapiTracking(session, objects, self._shapes)
        self._snapshots = XapiSnapshots(session, objects, self._shapes, self._tracking, http, installation)
        self._readers = XapiReaders(session, objects)
        self._allocation = XapiAllocation(session, objects, self._readers)
        self._disks = XapiDisks(session, objects, self._readers, installation)
        self._power = XapiPower(session, objects, clock)
        protection = XapiProtection(session, objects)
        self._vms = XapiVms(session, objects, http, self._disks, self._power, protection, clock, installation)
        self._metadata = XapiPoolMetadata(session, objects, self._readers, http, clock)
        self._surroundings = XapiSurroundings(objects)
        self._gpus = XapiGpus(session, objects)
        self._settings = XapiSettings(session, objects, self._gpus)
        self._bases = XapiBases(session, objects)
        self._cleanup = XapiCleanup(objects, self._bases, protection, installation)
        self._storage = XapiStorage(objects, self._readers)
        self._migrations = XapiMigrations(session, objects, installation)

    async def close(self) -> None:
        await self._session.close()

    def learn(self, members: tuple[Member, ...], coordinator: str) -> None:
        self._session.learn(members, coordinator)

    def watch(self) -> AsyncIterator[Picture]:
        return self._inventory.watch()

    async def members(self) -> tuple[Member, ...]:
        return await self._inventory.members()

    async def leadership(self, *, sampled: bool = False) -> Leadership:
        return await self._session.leadership(sampled=sampled)

    async def assert_readable(self) -> None:
        await self._readers.assert_readable()

    async def snapshot_facts(self, vm_id: str, leave_out: Collection[str]) -> SnapshotFacts:
        return await self._storage.snapshot_facts(vm_id, leave_out)

    async def reading_hosts(self) -> frozenset[str]:
        return await self._storage.reading_hosts()

    async def block_migrations(self, vm_id: str, source_id: str, moves: Moves) -> None:
        await self._migrations.block_migrations(vm_id, source_id, moves)

    async def is_off(self, vm_id: str) -> bool:
        return await self._migrations.is_off(vm_id)

    async def allow_migrations(self, vm_id: str, source_id: str) -> None:
        await self._migrations.allow_migrations(vm_id, source_id)

    async def moves_disks(self, vm_id: str) -> bool:
        return await self._migrations.moves_disks(vm_id)

    async def migration_blocks(self) -> frozenset[tuple[str, str]]:
        return await self._migrations.migration_blocks()

    async def shape(self, vm_id: str) -> VmShape:
        return await self._shapes.shape(vm_id)

    async def track(self, disk_id: str) -> TrackingOutcome:
        return await self._tracking.track(disk_id)

    async def has_snapshot(self, vm_id: str, source_id: str) -> bool:
        return await self._snapshots.has_snapshot(vm_id, source_id)

    async def take_snapshot(
        self,
        vm_id: str,
        source_id: str,
        leave_out: Collection[str],
        quiesce: bool = False,
        memory: bool = False,
    ) -> Snapshot:
        return await self._snapshots.take_snapshot(vm_id, source_id, leave_out, quiesce, memory)

    async def find_disks(self, source_id: str) -> dict[str, str]:
        return await self._snapshots.find_disks(source_id)

    async def guest(self, vm_id: str) -> Guest:
        return await self._power.guest_of(await self._shapes.protectable_vm(vm_id))

    async def ask_to_shut_down(self, vm_id: str, patience_s: float) -> str:
        return await self._power.ask_to_shut_down(vm_id, patience_s)

    async def switch_off(self, vm_id: str) -> None:
        await self._power.switch_off(vm_id)

    async def start_again(self, vm_id: str, host_id: str) -> None:
        await self._power.start_again(vm_id, host_id)

    async def resume_again(self, vm_id: str, host_id: str) -> None:
        await self._power.resume_again(vm_id, host_id)

    async def export_configuration(self, vm_id: str, *, own_snapshots: bool = False) -> bytes:
        return await self._snapshots.export_configuration(vm_id, own_snapshots)

    async def snapshot_shape(self, snapshot_id: str) -> VmShape | None:
        return await self._surroundings.snapshot_shape(snapshot_id)

    def archived_snapshots(self, archive: bytes) -> frozenset[str]:
        return xapi_archive_parts.snapshots(archive)

    async def surroundings(self, vm_id: str) -> Surroundings:
        return await self._surroundings.surroundings(vm_id)

    async def tracked_disk(self, snapshot_disk_id: str) -> TrackedDisk | None:
        return await self._tracking.tracked_disk(snapshot_disk_id)

    async def changed_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        return await self._tracking.changed_blocks(base_disk_id, snapshot_disk_id)

    async def allocated_blocks(self, snapshot_disk_id: str) -> bytes | str:
        return await self._allocation.allocated_blocks(snapshot_disk_id)

    async def nbd_endpoints(self, snapshot_disk_ids: tuple[str, ...]) -> dict[str, tuple[NbdEndpoint, ...]]:
        return await self._readers.nbd_endpoints(snapshot_disk_ids)

    async def layers(self, snapshot_disk_id: str) -> Layers | None:
        return await self._bases.layers(snapshot_disk_id)

    async def differing_blocks(self, base_disk_id: str, snapshot_disk_id: str) -> bytes | str:
        return await self._allocation.differing_blocks(base_disk_id, snapshot_disk_id)

    async def remove_snapshot(
        self,
        source_id: str,
        keep_tracking: bool,
        lineage: str = "",
        with_data: Collection[str] = (),
        disk_ids: Collection[str] = (),
    ) -> None:
        await self._cleanup.remove_snapshot(source_id, keep_tracking, lineage, with_data, disk_ids)

    async def choose_sr(self, wanted: str, original_sr_id: str) -> str:
        return await self._disks.choose_sr(wanted, original_sr_id)

    async def disk_storage(self, sr_id: str) -> DiskStorage:
        return await self._disks.disk_storage(sr_id)

    async def make_disk(
        self, target_id: str, disk: ConfiguredDisk, size_bytes: int, sr_id: str, image_format: str = ""
    ) -> MadeDisk:
        return await self._disks.make_disk(target_id, disk, size_bytes, sr_id, image_format)

    async def open_ticket(self, new_disk_id: str) -> str:
        return await self._disks.open_ticket(new_disk_id)

    async def ticket_state(self, ticket: str) -> bool | None:
        return await self._disks.ticket_state(ticket)

    async def drop_tickets(self, new_disk_id: str) -> None:
        await self._disks.drop_tickets(new_disk_id)

    async def write_endpoints(self, new_disk_id: str, ticket: str) -> tuple[WriteEndpoint, ...]:
        return await self._disks.write_endpoints(new_disk_id, ticket)

    async def attached_disks(self, vm_id: str) -> tuple[AttachedDisk, ...] | None:
        return await self._vms.attached_disks(vm_id)

    async def shut_down(self, vm_id: str, patience_s: float) -> bool:
        return await self._vms.shut_down(vm_id, patience_s)

    async def find_vm(self, target_id: str) -> str | None:
        return await self._vms.find_vm(target_id)

    async def host_cpus(self) -> tuple[HostCpu, ...]:
        return await self._vms.host_cpus()

    async def suspend_image(self, vm_id: str) -> str:
        return await self._vms.suspend_image(vm_id)

    async def import_vm(
        self,
        target_id: str,
        archive: bytes,
        disks: Mapping[str, str],
        name: str,
        original: str | None,
        *,
        keys: bool = True,
        memory: str = "",
        without_gpus: Collection[str] = (),
    ) -> None:
        archive = archive if original else xapi_metadata.for_another(archive, keys=keys)
        archive = xapi_gpus.without(archive, without_gpus) if without_gpus else archive
        await self._vms.import_vm(target_id, archive, disks, name, original, memory)

    def part_of(self, archive: bytes, snapshot_id: str) -> bytes:
        return xapi_archive_parts.part(archive, snapshot_id)

    def has_virtual_tpm(self, archive: bytes) -> bool:
        return xapi_metadata.has_virtual_tpm(archive)

    async def gpu_obstacles(self, archive: bytes) -> tuple[GpuObstacle, ...]:
        return await self._gpus.obstacles(archive)

    async def complete_vm(
        self, vm_id: str, archive: bytes, appliance_id: str, without_gpus: Collection[str] = ()
    ) -> tuple[str, ...]:
        return await self._settings.complete_vm(vm_id, archive, appliance_id, without_gpus)

    async def set_macs(self, vm_id: str, interfaces: Collection[ConfiguredInterface]) -> None:
        await self._vms.set_macs(vm_id, interfaces)

    async def release(self, target_id: str, vm_id: str) -> None:
        await self._vms.release(target_id, vm_id)

    async def remove_replaced(self, disk_ids: tuple[str, ...]) -> tuple[str, ...]:
        return await self._cleanup.remove_replaced(disk_ids)

    async def start_vm(self, vm_id: str) -> None:
        await self._vms.start_vm(vm_id)

    async def remove_target(self, target_id: str) -> None:
        await self._cleanup.remove_target(target_id)

    async def leftovers(self) -> Leftovers:
        await (
            self._session.leadership()
        )  # what is found is swept: not through a coordinator that lost its pool
        return await self._cleanup.leftovers()

    async def remove_orphans(self) -> int:
        return await self._bases.remove_orphans()

    async def remove_stale(self, tracking_before: datetime, data_before: datetime) -> tuple[str, ...]:
        return await self._bases.remove_stale(tracking_before, data_before)

    async def hosts(self) -> tuple[tuple[str, str], ...]:
        return await self._metadata.hosts()

    async def description(self) -> bytes:
        return await self._metadata.description()

    def database(self) -> AsyncIterator[bytes]:
        return self._metadata.database()

    def host_files(self, host_id: str) -> AsyncIterator[bytes]:
        return self._metadata.host_files(host_id)

    async def check_database(self, size_bytes: int, dump: AsyncIterator[bytes]) -> str:
        return await self._metadata.check_database(size_bytes, dump)
