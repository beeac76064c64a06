"""Which virtual GPUs of a point come back: what the pool cannot give is left out, and told."""

from dataclasses import replace

from services.chassis.errors import FailedPrecondition
from services.hypervisor.domain.configuration import Configuration
from services.hypervisor.domain.gpus import GpuFate, GpuObstacle
from services.hypervisor.domain.memory import Memory
from services.hypervisor.domain.notice import Notice
from services.hypervisor.domain.target import Target
from services.hypervisor.ports.pool import PoolConnection


async def assert_resumable(
    connection: PoolConnection, configured: Configuration, memory: Memory | None
) -> None:
    """A memory cannot go on without its GPU. Raises FailedPrecondition MEMORY_NEEDS_GPU; what the pool
    raises."""
    if memory is None:
        return
    for each in await connection.gpu_obstacles(configured.archive):
        raise FailedPrecondition(
            f"The memory of VM {configured.vm_display_name!r} cannot go on without its virtual GPU "
            f"{each.gpu.type.model!r}: {each.why}.",
            reason="MEMORY_NEEDS_GPU",
            hint="Restore it into a pool with such a GPU, or without the memory.",
        )


async def decided(connection: PoolConnection, configured: Configuration, target: Target) -> Target:
    """The target with the GPUs it leaves out, and what a person should know of them."""
    obstacles = await connection.gpu_obstacles(configured.archive)
    left_out = tuple(each.gpu.gpu_id for each in obstacles if each.fate is GpuFate.LEFT_OUT)
    notices = (*target.notices, *map(_told, obstacles))
    return replace(target, gpus_left_out=left_out, notices=notices)


def _told(each: GpuObstacle) -> Notice:
    gpu = f"virtual GPU {each.gpu.type.model!r} of {each.gpu.group_name!r}"
    if each.fate is GpuFate.LEFT_OUT:
        return Notice("GPU_LEFT_OUT", f"The VM comes back without its {gpu}: {each.why}.")
    return Notice("GPU_NOT_ENABLED", f"The VM cannot start with its {gpu} yet: {each.why}.")
