"""What a run of a policy would do to a VM now, as far as can be told before anything is done."""

from dataclasses import dataclass

from services.scheduler.domain.capture import Capture, Requirement
from services.scheduler.domain.policy import Method, Policy
from services.scheduler.domain.selection import MethodCheck, Vm


@dataclass(frozen=True, slots=True)
class VmPreview:
    """``method`` is None when its backup would fail; ``message`` is why, or why it is another method."""

    vm: Vm
    method: Method | None
    consistency: str = ""
    message: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """``missing`` is what the policy names that is no VM."""

    vms: tuple[VmPreview, ...]
    missing: tuple[str, ...]


def preview(policy: Policy, vm: Vm, group: str) -> VmPreview:
    """What the pool itself would refuse only when asked (space, coalescing) is not in it."""
    checks = {check.method: check for check in vm.checks}
    wanted = checks.get(policy.method.value)
    if wanted is None:
        return VmPreview(vm, policy.method, "", "The hypervisor service says nothing of this method.", group)
    if not wanted.obstacle or _allowed(wanted, policy.capture):
        return VmPreview(vm, policy.method, wanted.consistency, "", group)
    normal = checks.get(Method.NORMAL.value)
    if _prefers(policy.capture) and normal is not None:
        told = f"Not {policy.method.value}, because {wanted.obstacle}."
        return VmPreview(vm, Method.NORMAL, normal.consistency, told, group)
    return VmPreview(vm, None, "", f"It would fail, because {wanted.obstacle}.", group)


def _allowed(check: MethodCheck, capture: Capture) -> bool:
    force = capture.offline is not None and capture.offline.force
    controllers = capture.memory is not None and capture.memory.domain_controllers
    given = {"offline.force": force, "memory.domain_controllers": controllers}
    return given.get(check.usable_with, False)


def _prefers(capture: Capture) -> bool:
    memory = capture.memory is not None and capture.memory.requirement is Requirement.PREFER
    return memory or capture.quiesce is Requirement.PREFER
