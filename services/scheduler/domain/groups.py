"""Which VMs of a policy belong together."""

from collections.abc import Iterator
from dataclasses import dataclass

MOST_GROUPS = 256
LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class VmGroup:
    """VMs by name or UUID, or with any of these tags."""

    name: str
    vms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grouping:
    """``everything``: all VMs of a run are one group; otherwise those of ``groups``, the others alone."""

    everything: bool = False
    groups: tuple[VmGroup, ...] = ()


def complaints(grouping: Grouping) -> Iterator[tuple[str, str]]:
    """(field, what is wrong with it)."""
    groups = grouping.groups
    if grouping.everything and groups:
        yield "groups", "are of no use where all VMs are one group"
    if len(groups) > MOST_GROUPS:
        yield "groups", f"are more than {MOST_GROUPS}"
    names = [group.name for group in groups]
    if len(set(names)) != len(names):
        yield "groups", "have a name twice"
    if not all(0 < len(name) <= LONGEST_NAME for name in names):
        yield "groups", f"have a name that is empty or longer than {LONGEST_NAME} characters"
    for group in groups:
        if not (group.vms or group.tags):
            yield "groups", f"have one that selects nothing: {group.name[:80]!r}"
