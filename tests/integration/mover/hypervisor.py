"""The hypervisor service, played: its contract over real gRPC, its disks behind real nbdkit and HTTPS."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from xenkeep.common.v1 import capture_pb2
from xenkeep.hypervisor.v1 import (
    backup_source_pb2,
    backup_source_pb2_grpc,
    restore_target_pb2,
    restore_target_pb2_grpc,
)

from services.chassis.errors import FailedPrecondition, NotFound
from services.chassis.rpc.server import RpcServer
from tests.integration.mover.gate import Gate
from tests.integration.mover_io.framed_server import FramedServer, Script, takes_all
from tests.integration.mover_io.nbdkit import Nbdkit
from tests.support.nats import NatsServer

POOL, VM = "pools/pool-1", "pools/pool-1/vms/7d3f2b60-0000-4000-8000-000000000001"
BLOCK = 65_536
CALLERS = {"mover"}


@dataclass
class Snapshot:
    """One open source; ``gates`` are the ways to its disks by disk id, the last one the newest."""

    proto: backup_source_pb2.BackupSource
    servers: dict[str, Nbdkit]
    gates: dict[str, list[Gate]] = field(default_factory=dict)


class HypervisorService(
    backup_source_pb2_grpc.BackupSourceServiceServicer, restore_target_pb2_grpc.RestoreTargetServiceServicer
):
    """``disks`` are the VM's now, by id. Everything survives a ``stop`` of the gRPC server."""

    def __init__(self, nats: NatsServer, directory: Path, disks: dict[str, bytearray]) -> None:
        directory.mkdir()
        self._nats = nats
        self._directory = directory
        self.disks = disks
        self.hold_after: int | None = None
        """So many bytes of each disk of the next source pass at first."""
        self.write_scripts: tuple[Script, ...] = (takes_all,)
        """What the next write endpoints do."""
        self.snapshots: dict[str, Snapshot] = {}
        self.closed: dict[str, bool] = {}
        self.targets: dict[str, restore_target_pb2.RestoreTarget] = {}
        self.written: dict[str, FramedServer] = {}
        """By disk id, those of the newest round."""
        self.configurations: list[bytes] = []
        self.happened: list[capture_pb2.Notice] = []
        """What is told of every open source from now on."""
        self.happened_late: list[capture_pb2.Notice] = []
        """What is told when it is closed, too."""
        self.calls: list[str] = []
        self._stack = AsyncExitStack()
        self._port = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._stack.aclose()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        self._server = RpcServer(
            f"127.0.0.1:{self._port}",
            self._nats.tls("hypervisor"),
            [
                (backup_source_pb2_grpc.add_BackupSourceServiceServicer_to_server, self, CALLERS),
                (restore_target_pb2_grpc.add_RestoreTargetServiceServicer_to_server, self, CALLERS),
            ],
        )
        await self._server.__aenter__()
        self._port = self._server.port

    async def stop(self) -> None:
        await self._server.__aexit__()

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the VM's disks now."""
        return {disk_id: hashlib.sha256(content).hexdigest() for disk_id, content in self.disks.items()}

    def restored(self) -> dict[str, str]:
        """SHA-256 of what was written in the newest round."""
        return {disk_id: hashlib.sha256(server.disk).hexdigest() for disk_id, server in self.written.items()}

    async def OpenBackupSource(
        self, request: backup_source_pb2.OpenBackupSourceRequest, context: Any
    ) -> backup_source_pb2.BackupSource:
        self.calls.append("OpenBackupSource")
        name = f"{POOL}/backupSources/{request.backup_source_id}"
        if name in self.closed:
            raise FailedPrecondition(f"{name} was closed.", reason="SOURCE_CLOSED")
        if name not in self.snapshots:
            self.snapshots[name] = await self._snapshot(name, request)
        return self.snapshots[name].proto

    async def GetBackupSource(
        self, request: backup_source_pb2.GetBackupSourceRequest, context: Any
    ) -> backup_source_pb2.BackupSource:
        self.calls.append("GetBackupSource")
        snapshot = self.snapshots[request.name]
        found = backup_source_pb2.BackupSource()
        found.CopyFrom(snapshot.proto)
        found.notices.extend(self.happened)
        for disk in found.disks:
            endpoint = snapshot.servers[disk.disk_id].endpoint
            disk.nbd_endpoints.add(
                host_id="host-1",
                address="127.0.0.1",
                port=snapshot.gates[disk.disk_id][-1].port,
                export_name=endpoint.export_name,
                certificate_pem=endpoint.certificate_pem,
                server_name=endpoint.server_name,
            )
        return found

    async def ListExtents(
        self, request: backup_source_pb2.ListExtentsRequest, context: Any
    ) -> AsyncIterator[backup_source_pb2.ListExtentsResponse]:
        disks = self.snapshots[request.name].proto.disks
        disk = next(each for each in disks if each.disk_id == request.disk_id)
        now = self._image(disk.tracking_ref).read_bytes()
        before = self._image(disk.base_tracking_ref).read_bytes()
        for offset in range(0, len(now), BLOCK):
            if now[offset : offset + BLOCK] != before[offset : offset + BLOCK]:
                length = min(BLOCK, len(now) - offset)
                extent = capture_pb2.Extent(offset_bytes=offset, length_bytes=length)
                yield backup_source_pb2.ListExtentsResponse(extents=[extent])

    async def ReviewBackupSource(
        self, request: backup_source_pb2.ReviewBackupSourceRequest, context: Any
    ) -> backup_source_pb2.ReviewBackupSourceResponse:
        self.calls.append("ReviewBackupSource")
        if request.name in self.closed:
            raise FailedPrecondition(f"{request.name} was closed.", reason="SOURCE_CLOSED")
        told = [*self.snapshots[request.name].proto.notices, *self.happened]
        return backup_source_pb2.ReviewBackupSourceResponse(notices=told)

    async def CloseBackupSource(
        self, request: backup_source_pb2.CloseBackupSourceRequest, context: Any
    ) -> backup_source_pb2.CloseBackupSourceResponse:
        self.calls.append("CloseBackupSource")
        if request.name not in self.snapshots:
            raise NotFound(f"There is no {request.name}.", reason="SOURCE_UNKNOWN")
        self.closed.setdefault(request.name, request.committed)
        return backup_source_pb2.CloseBackupSourceResponse(notices=[*self.happened, *self.happened_late])

    async def PrepareRestoreTarget(
        self, request: restore_target_pb2.PrepareRestoreTargetRequest, context: Any
    ) -> restore_target_pb2.RestoreTarget:
        self.calls.append("PrepareRestoreTarget")
        self.configurations.append(request.vm_configuration)
        name = f"{request.placement.pool}/restoreTargets/{request.restore_target_id}"
        prepared = restore_target_pb2.RestoreTarget(
            name=name,
            state=restore_target_pb2.RestoreTarget.STATE_PREPARED,
            disks=[
                restore_target_pb2.TargetDisk(disk_id=disk.disk_id, size_bytes=disk.size_bytes)
                for disk in request.disks
            ],
        )
        return self.targets.setdefault(name, prepared)

    async def GetRestoreTarget(
        self, request: restore_target_pb2.GetRestoreTargetRequest, context: Any
    ) -> restore_target_pb2.RestoreTarget:
        """As the contract says: what was written before no longer counts, on any disk."""
        self.calls.append("GetRestoreTarget")
        found = restore_target_pb2.RestoreTarget()
        found.CopyFrom(self.targets[request.name])
        directory = self._directory / f"round-{len(self.calls)}"
        directory.mkdir()
        self.written = {}
        for disk in found.disks:
            server = FramedServer(directory, disk.size_bytes, self.write_scripts, disk.disk_id)
            self._stack.enter_context(server)
            self.written[disk.disk_id] = server
            disk.endpoint.url = server.endpoint.url
            disk.endpoint.certificate_pem = server.endpoint.certificate_pem
            disk.endpoint.host_id = server.host_id
        self.write_scripts = (takes_all,)
        return found

    async def CommitRestoreTarget(
        self, request: restore_target_pb2.CommitRestoreTargetRequest, context: Any
    ) -> restore_target_pb2.RestoreTarget:
        self.calls.append("CommitRestoreTarget")
        target = self.targets[request.name]
        target.state = restore_target_pb2.RestoreTarget.STATE_COMMITTED
        target.vm = f"{POOL}/vms/restored"
        del target.notices[:]
        target.notices.add(code="VM_NOT_STARTED", message="The VM was restored but did not start.")
        return target

    async def AbortRestoreTarget(
        self, request: restore_target_pb2.AbortRestoreTargetRequest, context: Any
    ) -> restore_target_pb2.AbortRestoreTargetResponse:
        self.calls.append("AbortRestoreTarget")
        if request.name not in self.targets:
            raise NotFound(f"There is no {request.name}.", reason="TARGET_UNKNOWN")
        self.targets[request.name].state = restore_target_pb2.RestoreTarget.STATE_ABORTED
        return restore_target_pb2.AbortRestoreTargetResponse()

    async def moved(self, source: str, disk_id: str) -> Gate:
        """Another way to a disk: the old one takes no more and drops what it had."""
        snapshot = self.snapshots[source]
        old = snapshot.gates[disk_id][-1]
        new = await self._gate(snapshot.servers[disk_id])
        snapshot.gates[disk_id].append(new)
        await old.close()
        return new

    async def _snapshot(self, name: str, request: backup_source_pb2.OpenBackupSourceRequest) -> Snapshot:
        bases = {base.disk_id: base.tracking_ref for base in request.bases}
        proto = backup_source_pb2.BackupSource(
            name=name,
            vm=request.vm,
            vm_display_name="web",
            pool_display_name="lab",
            method=capture_pb2.METHOD_NORMAL,
            consistency=capture_pb2.CONSISTENCY_CRASH,
            vm_configuration=b"<vm name='web'/>",
        )
        proto.snapshot_time.FromSeconds(1_800_000_000 + len(self.snapshots))
        snapshot = Snapshot(proto, {})
        for number, (disk_id, content) in enumerate(self.disks.items()):
            ref = f"{request.backup_source_id}-{number}"
            await asyncio.to_thread(self._image(ref).parent.mkdir)
            await asyncio.to_thread(self._image(ref).write_bytes, content)
            base = bases.get(disk_id, "")
            proto.disks.add(
                disk_id=disk_id,
                device=str(number),
                display_name=f"disk {number}",
                size_bytes=len(content),
                level=capture_pb2.LEVEL_INCREMENTAL if base else capture_pb2.LEVEL_FULL,
                full_reason=capture_pb2.FULL_REASON_UNSPECIFIED if base else request.full_reason,
                tracking_ref=ref,
                extents_known=bool(base),
                changed_bytes=len(content),
                base_tracking_ref=base,
            )
            server = Nbdkit(self._image(ref))
            self._stack.enter_context(server)
            snapshot.servers[disk_id] = server
            gate = await self._gate(server)
            if self.hold_after is not None:
                gate.hold_after(self.hold_after)
            snapshot.gates[disk_id] = [gate]
        self.hold_after = None
        return snapshot

    async def _gate(self, server: Nbdkit) -> Gate:
        return await self._stack.enter_async_context(Gate(server.endpoint.port))

    def _image(self, tracking_ref: str) -> Path:
        return self._directory / tracking_ref / "image"
