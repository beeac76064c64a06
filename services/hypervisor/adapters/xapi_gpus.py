"""Virtual GPUs of VMs that are put back (xapi: ocaml/xapi/import.ml, xapi_vgpu.ml).

An import fails, after it has removed the VM it is to replace, when the pool has no group of the same devices;
so what a pool cannot give is taken out of the archive before. Of several groups of the same devices an import
takes any: the VM's GPU is moved to the one it was in.
"""

from collections.abc import Collection

import structlog

from services.hypervisor.adapters.xapi_archive import NULL, Archive, Archived
from services.hypervisor.adapters.xapi_errors import translating
from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.domain.gpus import GpuGroup, GpuObstacle, GpuType, SavedGpu, obstacle

_log = structlog.get_logger()


class XapiGpus:
    """Virtual GPUs on one session."""

    def __init__(self, session: XapiSession, objects: XapiObjects) -> None:
        self._session = session
        self._objects = objects

    async def obstacles(self, archive: bytes) -> tuple[GpuObstacle, ...]:
        """See ports.Restores."""
        told = Archive(archive)
        saved = [_saved(told, gpu) for gpu in told.of("VGPU")]
        if not saved:
            return ()
        with translating("looking for the GPUs of the pool"):
            types = await self._session.call("VGPU_type.get_all_records")
            groups = await self._session.call("GPU_group.get_all_records")
            [pool] = (await self._session.call("pool.get_all_records")).values()
        offered = tuple(_group(group, types) for group in groups.values())
        licensed = pool["restrictions"].get("restrict_gpu") != "true"
        found = (obstacle(gpu, offered, licensed=licensed) for gpu in saved)
        return tuple(each for each in found if each is not None)

    async def complete(
        self, ref: str, vm: Record, archive: bytes, left_out: Collection[str]
    ) -> tuple[str, ...]:
        """Puts the VM's GPUs but ``left_out`` (UUIDs) into their groups, with their extra arguments; what
        could not be, one clause each. Safe to repeat: one that was taken out and not put back is put back."""
        told, wrong = Archive(archive), []
        for gpu in told.of("VGPU"):
            if gpu.text("uuid") in left_out:
                continue
            try:
                await self._complete(ref, vm, gpu, told)
            except XapiFailure as failure:
                _log.warning("a GPU was not put back", vm=vm["uuid"], pool_says=failure.words)
                wrong.append(f"its GPU at {gpu.text('device')} could not be set: {failure.words}")
        return tuple(wrong)

    async def _complete(self, ref: str, vm: Record, gpu: Archived, told: Archive) -> None:
        there, now = await self._at(vm, gpu.text("device"))
        group = await self._objects.ref("GPU_group", told.by_id(gpu.text("GPU_group")).text("uuid"))
        if group is not None and (now is None or now["GPU_group"] != group):
            kind = now["type"] if now else await self._type(_type(told.by_id(gpu.text("type"))))
            if there:
                await self._session.call("VGPU.destroy", there)
            args = (ref, group, gpu.text("device"), gpu.pairs("other_config"), kind)
            there = str(await self._session.call_once("VGPU.create", *args))
            now = await self._objects.record("VGPU", there)
        extra = gpu.text("extra_args") if gpu.has("extra_args") else ""
        if now is not None and now.get("extra_args", extra) != extra:
            await self._session.call("VGPU.set_extra_args", there, extra)

    async def _at(self, vm: Record, device: str) -> tuple[str, Record | None]:
        for ref in vm["VGPUs"]:
            gpu = await self._objects.record("VGPU", ref)
            if gpu is not None and gpu["device"] == device:
                return str(ref), gpu
        return "", None

    async def _type(self, wanted: GpuType) -> str:
        types: dict[str, Record] = await self._session.call("VGPU_type.get_all_records")
        return next((ref for ref, each in types.items() if wanted.same(_type_of(each))), NULL)


def without(archive: bytes, gpus: Collection[str]) -> bytes:
    """The archive without these GPUs (UUIDs), and without the groups and types nothing else in it uses."""
    told = Archive(archive)
    for gpu in [each for each in told.of("VGPU") if each.text("uuid") in gpus]:
        told.remove(gpu)
    left = {gpu.text(field) for gpu in told.of("VGPU") for field in ("GPU_group", "type")}
    for kind in ("GPU_group", "VGPU_type"):
        for unused in [each for each in told.of(kind) if each.id not in left]:
            told.remove(unused)
    ids = {each.id for each in told.of("VGPU")}
    for vm in told.of("VM"):
        if vm.has("VGPUs"):
            vm.set_texts("VGPUs", [id for id in vm.texts("VGPUs") if id in ids])
    return told.packed()


def _saved(told: Archive, gpu: Archived) -> SavedGpu:
    group = told.by_id(gpu.text("GPU_group"))
    return SavedGpu(
        gpu_id=gpu.text("uuid"),
        device=gpu.text("device"),
        group_name=group.text("name_label"),
        devices=tuple(group.texts("GPU_types")),
        type=_type(told.by_id(gpu.text("type"))),
    )


def _type(told: Archived) -> GpuType:
    identifier = told.text("identifier") if told.has("identifier") else ""
    return GpuType(identifier, told.text("vendor_name"), told.text("model_name"))


def _type_of(record: Record) -> GpuType:
    return GpuType(record.get("identifier", ""), record["vendor_name"], record["model_name"])


def _group(record: Record, types: dict[str, Record]) -> GpuGroup:
    def offered(field: str) -> tuple[GpuType, ...]:
        return tuple(_type_of(types[ref]) for ref in record[field] if ref in types)

    return GpuGroup(
        devices=tuple(record["GPU_types"]),
        supported=offered("supported_VGPU_types"),
        enabled=offered("enabled_VGPU_types"),
    )
