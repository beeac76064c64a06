"""The graphics processors of a new pool's hosts (xapi: ocaml/xapi/xapi_pgpu.ml ``update_gpus``,
xapi_gpu_group.ml ``find_or_create``, xapi_vgpu_type.ml).
"""

from collections.abc import Iterable, Sequence

from services.simulator.database.row import Row
from services.simulator.pool import gpus
from services.simulator.pool.description import GpuDescription, GpuTypeDescription
from services.simulator.pool.pool import Pool

_PASSTHROUGH = GpuTypeDescription(name="passthrough", vendor="", capacity=1, implementation="passthrough")
"""Every processor can be given to a VM as a whole."""


def add_gpus(pool: Pool, host: str, described: Sequence[GpuDescription]) -> None:
    """Processors of the same device share a group, whichever hosts they are in."""
    for number, gpu in enumerate(described):
        vendor, _, device = gpu.device.partition("/")
        pci = pool.create(
            "PCI",
            host=host,
            class_id="0302",
            class_name="3D controller",
            vendor_id=vendor,
            vendor_name=gpu.vendor,
            device_id=device,
            device_name=gpu.name,
            pci_id=f"0000:{number + 0x3B:02x}:00.0",
        )
        group = _group(pool, gpu)
        capacities = {_type(pool, gpu, each): each.capacity for each in (_PASSTHROUGH, *gpu.types)}
        _let_together(pool, list(capacities), gpu.types)
        pgpu = pool.create(
            "PGPU",
            PCI=pci,
            GPU_group=group,
            host=host,
            supported_VGPU_max_capacities=capacities,
            compatibility_metadata=dict(gpu.compatibility_metadata),
        )
        for field in ("supported", "enabled"):
            gpus.set_types(pool.db, pgpu, field, list(capacities))


def _group(pool: Pool, gpu: GpuDescription) -> str:
    found = _first(row for row in pool.db.rows("GPU_group") if row["GPU_types"] == [gpu.device])
    name = f"Group of {gpu.vendor} {gpu.name} GPUs"
    return found.ref if found else pool.create("GPU_group", name_label=name, GPU_types=[gpu.device])


def _type(pool: Pool, gpu: GpuDescription, kind: GpuTypeDescription) -> str:
    vendor = kind.vendor if kind.vendor is not None else gpu.vendor
    named = (row for row in pool.db.rows("VGPU_type") if row["model_name"] == kind.name)
    found = _first(row for row in named if row["vendor_name"] == vendor)
    if found:
        return found.ref
    whole = kind.implementation == "passthrough"
    return pool.create(
        "VGPU_type",
        vendor_name=vendor,
        model_name=kind.name,
        framebuffer_size=kind.framebuffer_bytes,
        max_heads=0 if whole else 4,
        max_resolution_x=0 if whole else 4096,
        max_resolution_y=0 if whole else 2160,
        implementation=kind.implementation,
        identifier="passthrough" if whole else f"{kind.implementation},{gpu.device},{kind.name}",
    )


def _let_together(pool: Pool, refs: Sequence[str], described: Sequence[GpuTypeDescription]) -> None:
    """Which of a processor's types may be in one VM (xapi: ``VGPU_type.compatible_types_in_vm``)."""
    if not gpus.allows_several(pool.db):
        return
    by_name = {pool.db.row("VGPU_type", ref)["model_name"]: ref for ref in refs}
    for kind in described:
        together = [by_name[name] for name in kind.together_with]
        pool.db.set("VGPU_type", by_name[kind.name], "compatible_types_in_vm", together)


def _first(rows: Iterable[Row]) -> Row | None:
    return next(iter(rows), None)
