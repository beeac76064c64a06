"""``SimulatorService``: what tests and demonstrations may do to a pool from the side."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import grpc
from xenkeep.simulator.v1 import simulator_pb2 as pb

from services.simulator.calls import machines, pool_ha
from services.simulator.control.disorder import DisorderApi
from services.simulator.control.lookup import Context, named, named_host, open_disk
from services.simulator.failure import XapiFailure
from services.simulator.pool.host import Host
from services.simulator.storage.errors import OutOfRange, StorageError
from services.simulator.storage.ports import BLOCK, Disk

_PIECE = 16 * BLOCK


class SimulatorApi(DisorderApi):
    """Unpacks, calls, packs; hosts go by uuid or name, disks by uuid."""

    async def GetState(self, request: pb.GetStateRequest, context: Context) -> pb.GetStateResponse:
        hosts = [self._host(host) for host in self._pool.hosts.values()]
        return pb.GetStateResponse(hosts=hosts, version=self._pool.model.version)

    async def KillHost(self, request: pb.KillHostRequest, context: Context) -> pb.KillHostResponse:
        await self._do(context, request.host, self._pool.failures.kill, silently=request.silently)
        return pb.KillHostResponse()

    async def ReviveHost(self, request: pb.ReviveHostRequest, context: Context) -> pb.ReviveHostResponse:
        await self._do(context, request.host, self._pool.failures.revive)
        return pb.ReviveHostResponse()

    async def SilenceHost(self, request: pb.SilenceHostRequest, context: Context) -> pb.SilenceHostResponse:
        fall_silent = self._pool.failures.fall_silent
        await self._do(context, request.host, fall_silent, to_its_pool=request.to_its_pool)
        return pb.SilenceHostResponse()

    async def HearHost(self, request: pb.HearHostRequest, context: Context) -> pb.HearHostResponse:
        await self._do(context, request.host, self._pool.failures.hear)
        return pb.HearHostResponse()

    async def DesignateCoordinator(
        self, request: pb.DesignateCoordinatorRequest, context: Context
    ) -> pb.DesignateCoordinatorResponse:
        await self._do(context, request.host, self._pool.failures.designate)
        return pb.DesignateCoordinatorResponse()

    async def SetHighAvailability(
        self, request: pb.SetHighAvailabilityRequest, context: Context
    ) -> pb.SetHighAvailabilityResponse:
        if request.enabled:
            await self._attempt(context, "high availability", pool_ha.enable, [], {})
        else:
            await self._attempt(context, "high availability", pool_ha.disable)
        return pb.SetHighAvailabilityResponse()

    async def SeizeCoordinator(
        self, request: pb.SeizeCoordinatorRequest, context: Context
    ) -> pb.SeizeCoordinatorResponse:
        host = await named_host(self._pool, context, request.host)
        if not host.emergency:
            text = (
                f"host {request.host} has its coordinator; let that one die first, without high availability"
            )
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, text)
        await self._pool.failures.seize(host)
        return pb.SeizeCoordinatorResponse()

    async def SplitPool(self, request: pb.SplitPoolRequest, context: Context) -> pb.SplitPoolResponse:
        stay = [await named_host(self._pool, context, name) for name in request.stay]
        await self._do(context, request.host, partial(self._pool.failures.split, stay=stay))
        return pb.SplitPoolResponse()

    async def RecoverSupporters(
        self, request: pb.RecoverSupportersRequest, context: Context
    ) -> pb.RecoverSupportersResponse:
        found = await self._pool.failures.recover_supporters()
        return pb.RecoverSupportersResponse(host_ids=[self._pool.hosts[ref].uuid for ref in found])

    async def RestartToolstack(
        self, request: pb.RestartToolstackRequest, context: Context
    ) -> pb.RestartToolstackResponse:
        await self._do(context, request.host, self._pool.failures.restart_toolstack)
        return pb.RestartToolstackResponse()

    async def CutConnections(
        self, request: pb.CutConnectionsRequest, context: Context
    ) -> pb.CutConnectionsResponse:
        host = await named_host(self._pool, context, request.host)
        kinds = pb.CutConnectionsRequest
        count = 0
        if request.kind != kinds.KIND_NBD:
            count += host.cut_http(request.after_bytes)
        if request.kind != kinds.KIND_HTTP:
            count += await host.cut_nbd(request.after_bytes)
        return pb.CutConnectionsResponse(count=count)

    async def SetLinkSpeed(
        self, request: pb.SetLinkSpeedRequest, context: Context
    ) -> pb.SetLinkSpeedResponse:
        host = await named_host(self._pool, context, request.host)
        host.link.limit(request.bytes_per_second)
        return pb.SetLinkSpeedResponse()

    async def WriteGuest(self, request: pb.WriteGuestRequest, context: Context) -> pb.WriteGuestResponse:
        writes = [(write.offset_bytes, write.data) for write in request.writes]
        async with self._pool.guests_may_write:
            disk = await open_disk(self._pool, context, request.disk_id)
            try:
                await asyncio.to_thread(_write, disk, writes)
            except (OutOfRange, StorageError) as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"disk {request.disk_id}: {error}")
        return pb.WriteGuestResponse(written_bytes=sum(len(write.data) for write in request.writes))

    async def AttachMachine(
        self, request: pb.AttachMachineRequest, context: Context
    ) -> pb.AttachMachineResponse:
        vm = await named(self._pool, context, "VM", request.vm)
        try:
            arguments = await machines.attach(self._pool, vm, Path(request.folder))
        except (XapiFailure, OSError) as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"VM {request.vm}: {error}")
        return pb.AttachMachineResponse(qemu_arguments=arguments)

    async def HashDisk(self, request: pb.HashDiskRequest, context: Context) -> pb.HashDiskResponse:
        disk = await open_disk(self._pool, context, request.disk_id)
        digest = await asyncio.to_thread(_hash, disk)
        return pb.HashDiskResponse(sha256=digest, size_bytes=disk.virtual_size)

    async def CopyDisk(self, request: pb.CopyDiskRequest, context: Context) -> pb.CopyDiskResponse:
        disk = await open_disk(self._pool, context, request.disk_id)
        try:
            await asyncio.to_thread(_copy, disk, Path(request.path))
        except OSError as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        return pb.CopyDiskResponse(size_bytes=disk.virtual_size)

    def _host(self, host: Host) -> pb.SimulatedHost:
        vms = (self._pool.db.row("VM", vm) for vm in self._pool.db.row("host", host.ref)["resident_VMs"])
        leader = self._pool.led_with(host).coordinator
        return pb.SimulatedHost(
            host_id=host.uuid,
            display_name=host.name,
            address=host.address,
            port=host.https_port,
            alive=host.alive,
            coordinator=host is leader,
            vm_ids=[vm["uuid"] for vm in vms if not vm["is_control_domain"]],
            nbd_connections=host.nbd_connections,
            nbd_sent_bytes=host.nbd_sent_bytes,
            silent=host.silence.fallen,
            follows=leader.uuid if host.alive and not host.emergency else "",
        )

    async def _do(
        self, context: Context, name: str, action: Callable[..., Awaitable[None]], **how: bool
    ) -> None:
        host = await named_host(self._pool, context, name)
        try:
            await action(host, **how)
        except (XapiFailure, OSError) as error:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"host {name}: {error}")


def _write(disk: Disk, writes: list[tuple[int, bytes]]) -> None:
    for offset, data in writes:
        disk.write(offset, data)


def _hash(disk: Disk) -> str:
    """SHA-256 of the whole disk; parts that were never written cost no reads."""
    digest = hashlib.sha256()
    for piece in _pieces(disk):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(disk: Disk) -> Iterator[memoryview]:
    """The disk from end to end."""
    zeroes = bytes(_PIECE)
    for extent in disk.extents():
        offset, end = extent.offset, extent.offset + extent.length
        while offset < end:
            length = min(_PIECE, end - offset)
            if extent.data:
                buffer = bytearray(length)
                disk.read_into(offset, buffer)
                yield memoryview(buffer)
            else:
                yield memoryview(zeroes)[:length]
            offset += length


def _copy(disk: Disk, path: Path) -> None:
    """A sparse file; it must not exist yet."""
    with path.open("xb") as file:
        file.truncate(disk.virtual_size)
        for extent in disk.extents():
            for offset in range(extent.offset, extent.offset + extent.length, _PIECE) if extent.data else ():
                buffer = bytearray(min(_PIECE, extent.offset + extent.length - offset))
                disk.read_into(offset, buffer)
                file.seek(offset)
                file.write(buffer)
