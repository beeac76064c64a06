"""Virtual GPUs of a VM that is put back, and what its pool can give it."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class GpuType:
    """A kind of virtual GPU; pools know it by its identifier, or by vendor and model."""

    identifier: str
    vendor: str
    model: str

    def same(self, other: "GpuType") -> bool:
        names = (self.vendor, self.model) == (other.vendor, other.model)
        return names or bool(self.identifier and self.identifier == other.identifier)


@dataclass(frozen=True)
class SavedGpu:
    """A virtual GPU in a point. ``devices`` are the PCI ids ("10de/1eb8") of the processors of its group."""

    gpu_id: str
    device: str
    group_name: str
    devices: tuple[str, ...]
    type: GpuType


@dataclass(frozen=True)
class GpuGroup:
    """Processors of a pool, and the types they can take and may take."""

    devices: tuple[str, ...]
    supported: tuple[GpuType, ...]
    enabled: tuple[GpuType, ...]


class GpuFate(Enum):
    LEFT_OUT = "LEFT_OUT"
    NOT_ENABLED = "NOT_ENABLED"


@dataclass(frozen=True)
class GpuObstacle:
    """A virtual GPU that does not come back as it was, and why in one clause."""

    gpu: SavedGpu
    fate: GpuFate
    why: str


def obstacle(gpu: SavedGpu, groups: tuple[GpuGroup, ...], *, licensed: bool) -> GpuObstacle | None:
    """A pool takes no VM whose group of processors it does not have, and would make up a type that none of
    them offers (xapi: ocaml/xapi/import.ml ``GPUGroup``, ``VGPUType``)."""
    if not licensed:
        return GpuObstacle(gpu, GpuFate.LEFT_OUT, "the pool's licence does not include GPUs")
    same = [group for group in groups if group.devices == gpu.devices]
    if not same:
        why = f"the pool has no group of GPUs of the device {', '.join(gpu.devices) or 'it was made of'}"
        return GpuObstacle(gpu, GpuFate.LEFT_OUT, why)
    if not any(gpu.type.same(type_) for group in same for type_ in group.supported):
        return GpuObstacle(gpu, GpuFate.LEFT_OUT, "no such GPU of the pool offers the type")
    if not any(gpu.type.same(type_) for group in same for type_ in group.enabled):
        return GpuObstacle(gpu, GpuFate.NOT_ENABLED, "the type is not enabled on any such GPU of the pool")
    return None
