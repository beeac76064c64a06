"""The part of ``SimulatorService`` that brings disorder: what goes wrong with storage, guests and trust."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
from xenkeep.simulator.v1 import simulator_pb2 as pb
from xenkeep.simulator.v1.simulator_pb2_grpc import SimulatorServiceServicer

from services.simulator.calls import vm_power
from services.simulator.calls.vdi_migration import pool_migrate
from services.simulator.control.lookup import Context, disk_record, named, named_host, open_disk
from services.simulator.dispatch.call import Call, CallFunction
from services.simulator.failure import XapiFailure
from services.simulator.pool import allowed_operations, attachments
from services.simulator.pool.mishaps import Shutdown
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.pool.vm_rules import CANNOT_SUSPEND
from services.simulator.pool.workload import DEFAULT_WRITE_SIZE, Workload, run
from services.simulator.storage.errors import OutOfRange

_MOMENTS = {
    pb.LoseChangedBlockTrackingRequest.MOMENT_SNAPSHOT: "snapshot",
    pb.LoseChangedBlockTrackingRequest.MOMENT_RESIZE: "resize",
}


class DisorderApi(SimulatorServiceServicer):
    """Hosts, VMs and storage go by uuid or name, disks by uuid."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def AttachGuest(self, request: pb.AttachGuestRequest, context: Context) -> pb.AttachGuestResponse:
        vdi = await disk_record(self._pool, context, request.disk_id)
        if not attachments.written_by_guest(self._pool, vdi):
            text = f"no running VM has disk {request.disk_id} attached for writing; start one first"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        disk = await open_disk(self._pool, context, request.disk_id)
        try:
            uri = await self._pool.guest_disks.attach(disk, Path(request.socket_path))
        except (XapiFailure, OSError) as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"disk {request.disk_id}: {error}")
        return pb.AttachGuestResponse(uri=uri)

    async def DetachGuest(self, request: pb.DetachGuestRequest, context: Context) -> pb.DetachGuestResponse:
        await disk_record(self._pool, context, request.disk_id)
        await self._pool.guest_disks.detach(request.disk_id)
        return pb.DetachGuestResponse()

    async def ResizeStorage(
        self, request: pb.ResizeStorageRequest, context: Context
    ) -> pb.ResizeStorageResponse:
        sr = await named(self._pool, context, "SR", request.storage)
        repository = self._pool.repositories[sr.ref]
        await asyncio.to_thread(repository.resize_repository, request.size_bytes)
        await self._pool.disks[sr.ref].follow()
        return pb.ResizeStorageResponse(used_bytes=sr["physical_utilisation"])

    async def LoseChangedBlockTracking(
        self, request: pb.LoseChangedBlockTrackingRequest, context: Context
    ) -> pb.LoseChangedBlockTrackingResponse:
        vdi = await disk_record(self._pool, context, request.disk_id)
        if not vdi["cbt_enabled"]:
            text = f"changed blocks of disk {request.disk_id} are not tracked"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        if request.moment in _MOMENTS:
            self._pool.mishaps.lose_tracking(vdi["uuid"], _MOMENTS[request.moment])
        else:
            await disk_work(self._pool.repositories[vdi["SR"]].disable_cbt, request.disk_id)
            attachments.tell_of_lost_tracking(self._pool, vdi)
        return pb.LoseChangedBlockTrackingResponse()

    async def FailSnapshot(
        self, request: pb.FailSnapshotRequest, context: Context
    ) -> pb.FailSnapshotResponse:
        vm = await named(self._pool, context, "VM", request.vm)
        self._pool.mishaps.fail_snapshot(vm["uuid"], request.after_disks)
        return pb.FailSnapshotResponse()

    async def SetShutdown(self, request: pb.SetShutdownRequest, context: Context) -> pb.SetShutdownResponse:
        vm = await named(self._pool, context, "VM", request.vm)
        shutdown = Shutdown(request.refused, request.delay_milliseconds / 1000)
        self._pool.mishaps.set_shutdown(vm["uuid"], shutdown)
        return pb.SetShutdownResponse()

    async def SetSuspend(self, request: pb.SetSuspendRequest, context: Context) -> pb.SetSuspendResponse:
        vm = await named(self._pool, context, "VM", request.vm)
        metrics = self._pool.db.find("VM_guest_metrics", vm["guest_metrics"])
        if request.reason and metrics is None:
            text = f"VM {request.vm} has never run, so its guest tells nothing; start it first"
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        self._pool.mishaps.set_suspend(vm["uuid"], refused=request.refused)
        if metrics is not None:
            other = {key: value for key, value in metrics["other"].items() if key != CANNOT_SUSPEND}
            told = {CANNOT_SUSPEND: request.reason} if request.reason else {}
            self._pool.db.set("VM_guest_metrics", metrics.ref, "other", other | told)
        allowed_operations.refresh_vm(self._pool.db, vm.ref)
        return pb.SetSuspendResponse()

    async def SetRestriction(
        self, request: pb.SetRestrictionRequest, context: Context
    ) -> pb.SetRestrictionResponse:
        pool = self._pool.db.only("pool")
        if request.name not in pool["restrictions"]:
            text = f"no restriction {request.name}; there are {', '.join(pool['restrictions'])}"
            await context.abort(grpc.StatusCode.NOT_FOUND, text)
        value = {request.name: "true" if request.restricted else "false"}
        for cls, row, field in (
            ("pool", pool, "restrictions"),
            *(("host", host, "license_params") for host in self._pool.db.rows("host")),
        ):
            self._pool.db.set(cls, row.ref, field, row[field] | value)
        return pb.SetRestrictionResponse()

    async def ReplaceCertificate(
        self, request: pb.ReplaceCertificateRequest, context: Context
    ) -> pb.ReplaceCertificateResponse:
        host = await named_host(self._pool, context, request.host)
        fingerprint = await self._pool.replace_certificate(host)
        return pb.ReplaceCertificateResponse(fingerprint=fingerprint)

    async def ExpireSessions(
        self, request: pb.ExpireSessionsRequest, context: Context
    ) -> pb.ExpireSessionsResponse:
        self._pool.failures.expire_sessions()
        return pb.ExpireSessionsResponse()

    async def ForgetDeletions(
        self, request: pb.ForgetDeletionsRequest, context: Context
    ) -> pb.ForgetDeletionsResponse:
        table = self._pool.db.tables.get(request.class_name)
        if table is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no class {request.class_name}; VM is one")
        return pb.ForgetDeletionsResponse(count=table.forget_deletions())

    async def MigrateDisk(self, request: pb.MigrateDiskRequest, context: Context) -> pb.MigrateDiskResponse:
        vdi = await disk_record(self._pool, context, request.disk_id)
        sr = await named(self._pool, context, "SR", request.storage)
        moved = await self._attempt(context, f"disk {request.disk_id}", pool_migrate, vdi.ref, sr.ref, {})
        return pb.MigrateDiskResponse(disk_id=self._pool.db.row("VDI", moved)["uuid"])

    async def MigrateVm(self, request: pb.MigrateVmRequest, context: Context) -> pb.MigrateVmResponse:
        vm = await named(self._pool, context, "VM", request.vm)
        host = await named_host(self._pool, context, request.host)
        await self._attempt(context, f"VM {request.vm}", vm_power.pool_migrate, vm.ref, host.ref, {})
        return pb.MigrateVmResponse()

    async def HoldMigrations(
        self, request: pb.HoldMigrationsRequest, context: Context
    ) -> pb.HoldMigrationsResponse:
        self._pool.mishaps.hold_migrations(held=request.held)
        return pb.HoldMigrationsResponse()

    async def StallCoalescing(
        self, request: pb.StallCoalescingRequest, context: Context
    ) -> pb.StallCoalescingResponse:
        sr = await named(self._pool, context, "SR", request.storage)
        self._pool.disks[sr.ref].stall(request.stalled)
        hidden = [vdi for vdi in sr["VDIs"] if not self._pool.db.row("VDI", vdi)["managed"]]
        return pb.StallCoalescingResponse(hidden_images=len(hidden))

    async def RunWorkload(self, request: pb.RunWorkloadRequest, context: Context) -> pb.RunWorkloadResponse:
        await disk_record(self._pool, context, request.disk_id)
        size = request.write_bytes or DEFAULT_WRITE_SIZE
        script = Workload(request.seed, request.writes, size, request.pause_milliseconds / 1000)
        try:
            places = await run(self._pool, request.disk_id, script)
        except (XapiFailure, OutOfRange) as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"disk {request.disk_id}: {error}")
        return pb.RunWorkloadResponse(writes=len(places), offsets_bytes=sorted(set(places)))

    async def _attempt(self, context: Context, what: str, function: CallFunction, *arguments: Any) -> Any:
        """As if an administrator called; a refusal names ``what``."""
        call = Call(self._pool, self._pool.coordinator, None, session="")
        try:
            return await function(call, *arguments)
        except XapiFailure as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{what}: {error}")
