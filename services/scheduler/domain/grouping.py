"""VMs of a run that are captured at one moment, all of them or none."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from services.chassis.errors import FailedPrecondition
from services.scheduler.domain.groups import Grouping, VmGroup
from services.scheduler.domain.notes import Notice
from services.scheduler.domain.selection import Vm
from services.scheduler.domain.task import Member, Moment, Task, TaskState

MOST_MEMBERS = 64
EVERYTHING = "all"
"""Name of the group that all VMs of a run are in."""


def grouped(grouping: Grouping, vms: Sequence[Vm]) -> tuple[Mapping[str, str], tuple[Notice, ...]]:
    """(group by VM, for those that are in one with others; what a person should know).

    Raises FailedPrecondition GROUP_AMBIGUOUS, GROUP_TOO_LARGE.
    """
    members: dict[str, list[Vm]] = defaultdict(list)
    for vm in vms:
        for name in _groups_of(grouping, vm):
            members[name].append(vm)
    for name, those in members.items():
        if len(those) > MOST_MEMBERS:
            raise FailedPrecondition(
                f"The group {name!r} has {len(those)} VMs; {MOST_MEMBERS} can be captured at one moment.",
                reason="GROUP_TOO_LARGE",
                hint="Divide it into smaller ones.",
            )
    of = {vm.name: name for name, those in members.items() if len(those) > 1 for vm in those}
    return of, tuple(_notices(grouping, vms, members))


def moments(starting: Sequence[tuple[Task, str]], new_id: Callable[[], str]) -> Mapping[str, Moment]:
    """The moment of each task that starts with others of its group, by task; ``starting`` are tasks with
    the transfers they start as."""
    together: dict[tuple[str, str], list[tuple[Task, str]]] = defaultdict(list)
    for task, transfer_id in starting:
        if task.group:
            together[task.run_id, task.group].append((task, transfer_id))
    found: dict[str, Moment] = {}
    for those in together.values():
        if len(those) > 1:
            moment = Moment(new_id(), tuple(Member(task.subject, id) for task, id in those))
            found |= {task.task_id: moment for task, _ in those}
    return found


def left_alone(task: Task, fellows: Iterable[Task]) -> Task:
    """The task, which says so when VMs of its group were captured at another moment."""
    done = [each.display_name for each in fellows if each.state is TaskState.SUCCEEDED]
    if not done:
        return task
    told = f"It is captured at another moment than {', '.join(sorted(done))} of its group {task.group!r}."
    return replace(task, notices=(*task.notices, Notice("GROUP_LEFT", told)))


def _groups_of(grouping: Grouping, vm: Vm) -> list[str]:
    if grouping.everything:
        return [EVERYTHING]
    names = [group.name for group in grouping.groups if _has(group, vm)]
    if len(names) > 1:
        raise FailedPrecondition(
            f"VM {vm.display_name!r} is in the groups {', '.join(map(repr, names))}.",
            reason="GROUP_AMBIGUOUS",
            hint="A VM can be captured with one group only: correct the policy or the VM's tags.",
            metadata={"vm": vm.name},
        )
    return names


def _has(group: VmGroup, vm: Vm) -> bool:
    return bool({vm.display_name, vm.vm_id, vm.name} & set(group.vms) or vm.tags & set(group.tags))


def _notices(grouping: Grouping, vms: Sequence[Vm], members: Mapping[str, Sequence[Vm]]) -> Iterator[Notice]:
    called = {reference for vm in vms for reference in (vm.display_name, vm.vm_id, vm.name)}
    for group in grouping.groups:
        for missing in (reference for reference in group.vms if reference not in called):
            told = f"The group {group.name!r} names {missing!r}, which is not among the VMs of this run."
            yield Notice("GROUP_MEMBER_MISSING", told)
        if len(members.get(group.name, ())) < 2:
            told = (
                f"The group {group.name!r} has fewer than two VMs in this run: nothing is captured together."
            )
            yield Notice("GROUP_OF_ONE", told)
