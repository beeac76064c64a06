"""How a VM is put back."""

from xenkeep.hypervisor.v1 import restore_target_pb2

from services.chassis.errors import InvalidInput
from services.scheduler.domain.run import Placement, PlacementMode, RestoredMemory

_TO_PROTO = {
    PlacementMode.NEW_VM: restore_target_pb2.Placement.MODE_NEW_VM,
    PlacementMode.ORIGINAL: restore_target_pb2.Placement.MODE_ORIGINAL,
}
_FROM_PROTO = {proto: mode for mode, proto in _TO_PROTO.items()} | {
    restore_target_pb2.Placement.MODE_UNSPECIFIED: PlacementMode.NEW_VM
}


_MEMORY_TO_PROTO = {
    RestoredMemory.DEFAULT: restore_target_pb2.Placement.MEMORY_UNSPECIFIED,
    RestoredMemory.WITH: restore_target_pb2.Placement.MEMORY_WITH,
    RestoredMemory.WITHOUT: restore_target_pb2.Placement.MEMORY_WITHOUT,
}
_MEMORY_FROM_PROTO = {proto: memory for memory, proto in _MEMORY_TO_PROTO.items()}


def placement_to_proto(placement: Placement) -> restore_target_pb2.Placement:
    return restore_target_pb2.Placement(
        pool=placement.pool,
        sr=placement.sr,
        mode=_TO_PROTO[placement.mode],
        vm_display_name=placement.vm_display_name,
        keep_mac_addresses=placement.keep_mac_addresses,
        start=placement.start,
        memory=_MEMORY_TO_PROTO[placement.memory],
        key_material=placement.key_material,
        vm_snapshot=placement.vm_snapshot,
    )


def placement_from_proto(placement: restore_target_pb2.Placement) -> Placement:
    """Raises InvalidInput PLACEMENT_MODE_UNKNOWN, PLACEMENT_MEMORY_UNKNOWN: guessing could overwrite a VM."""
    if placement.mode not in _FROM_PROTO:
        raise InvalidInput(
            f"There is no way {int(placement.mode)} to put a VM back.",
            reason="PLACEMENT_MODE_UNKNOWN",
            hint="Restore as a new VM or over the original.",
        )
    if placement.memory not in _MEMORY_FROM_PROTO:
        raise InvalidInput(
            f"There is no choice {int(placement.memory)} for the memory in a restore point.",
            reason="PLACEMENT_MEMORY_UNKNOWN",
            hint="Restore with the memory or without it.",
        )
    return Placement(
        placement.pool,
        placement.sr,
        _FROM_PROTO[placement.mode],
        placement.vm_display_name,
        placement.keep_mac_addresses,
        placement.start,
        _MEMORY_FROM_PROTO[placement.memory],
        placement.key_material,
        placement.vm_snapshot,
    )
