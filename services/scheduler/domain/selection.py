"""Which VMs a selector means, of those the pools have."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.chassis.errors import FailedPrecondition, NotFound
from services.scheduler.domain.policy import Selector


@dataclass(frozen=True, slots=True)
class MethodCheck:
    """What the hypervisor service says of a method: ``obstacle`` is why it cannot be used now, empty when
    it can; ``usable_with`` the option it could be used with all the same."""

    method: str
    obstacle: str
    consistency: str
    usable_with: str = ""


@dataclass(frozen=True, slots=True)
class Vm:
    """A VM as the hypervisor service lists it. ``name`` is ``pools/{pool}/vms/{vm}``; host empty when off."""

    name: str
    display_name: str
    host_id: str = ""
    tags: frozenset[str] = frozenset()
    sr_ids: tuple[str, ...] = ()
    checks: tuple[MethodCheck, ...] = ()
    template: bool = False

    @property
    def vm_id(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def pool_id(self) -> str:
        return self.name.split("/")[1]


@dataclass(frozen=True, slots=True)
class Selection:
    """``missing`` are the references no VM answers to, in the order they were given."""

    vms: tuple[Vm, ...]
    missing: tuple[str, ...]


def select(selector: Selector, vms: Iterable[Vm]) -> Selection:
    """The selected VMs by display name. Two VMs of one name are both meant."""
    every = sorted(vms, key=lambda vm: (vm.display_name, vm.name))
    called = _by_reference(every)
    named = {vm.name for reference in selector.vms for vm in called.get(reference, ())}
    excluded = {vm.name for reference in selector.excluded_vms for vm in called.get(reference, ())}
    tags = frozenset(selector.tags)
    return Selection(
        vms=tuple(
            vm
            for vm in every
            if vm.name not in excluded and (vm.name in named or _is_meant(vm, selector, tags))
        ),
        missing=tuple(dict.fromkeys(ref for ref in selector.vms if ref not in called)),
    )


def _is_meant(vm: Vm, selector: Selector, tags: frozenset[str]) -> bool:
    """Not by name. VMs made of a template have its tags: those mean VMs only."""
    return selector.templates if vm.template else selector.all or bool(tags & vm.tags)


def check_by_hand(selector: Selector, vms: Iterable[Vm]) -> None:
    """A person names each VM exactly. Raises NotFound VM_NOT_FOUND, FailedPrecondition VM_NAME_AMBIGUOUS."""
    called = _by_reference(vms)
    for reference in selector.vms:
        meant = called.get(reference, ())
        if not meant:
            raise NotFound(
                f"There is no VM {reference[:100]!r} in any pool.",
                reason="VM_NOT_FOUND",
                hint="List the VMs to see their names and UUIDs.",
                metadata={"vm": reference[:100]},
            )
        if len(meant) > 1:
            raise FailedPrecondition(
                f"{len(meant)} VMs are called {reference!r}: {', '.join(sorted(vm.vm_id for vm in meant))}.",
                reason="VM_NAME_AMBIGUOUS",
                hint="Name the VM by its UUID.",
                metadata={"vm": reference},
            )


def _by_reference(vms: Iterable[Vm]) -> Mapping[str, Sequence[Vm]]:
    """By name, by UUID and by resource name; a template has its name only if no VM has it."""
    found: dict[str, list[Vm]] = {}
    for vm in sorted(vms, key=lambda vm: vm.template):
        for reference in {vm.display_name, vm.vm_id, vm.name}:
            others = found.setdefault(reference, [])
            if not vm.template or all(other.template for other in others):
                others.append(vm)
    return found
