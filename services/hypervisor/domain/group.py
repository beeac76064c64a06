"""VMs that are captured at one moment: all of them or none.

TAKING -> TAKEN or FAILED, stored before it is acted on. Killed while TAKING, what there is of snapshots is
removed and all are taken again: some from before and some from after would not be one moment.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from services.chassis.errors import KINDS, InvalidInput, XenkeepError

MOST_MEMBERS = 64


class GroupState(Enum):
    TAKING = "TAKING"
    TAKEN = "TAKEN"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Member:
    """A VM, and the id its backup source has or is going to have."""

    pool_id: str
    vm_id: str
    source_id: str


@dataclass(frozen=True)
class GroupMoment:
    """What each point of the group says of it; ``spread_ms`` is how far the snapshots lie apart at most."""

    group_id: str
    vm_count: int
    spread_ms: int


@dataclass(frozen=True)
class GroupFailure:
    """Why a group was not captured: the error of the VM that could not be, in the words of the error tree."""

    kind: str
    reason: str
    message: str
    hint: str

    def error(self) -> XenkeepError:
        return KINDS[self.kind](self.message, reason=self.reason, hint=self.hint)


@dataclass(frozen=True)
class Group:
    """``failure`` is there when FAILED."""

    group_id: str
    members: tuple[Member, ...]
    created: datetime
    state: GroupState = GroupState.TAKING
    spread_ms: int = 0
    failure: GroupFailure | None = None

    @property
    def moment(self) -> GroupMoment:
        return GroupMoment(self.group_id, len(self.members), self.spread_ms)


def assert_sound(group: Group, opening: Member) -> None:
    """Raises InvalidInput GROUP_INVALID."""
    members = group.members
    if opening not in members:
        raise _invalid("the VM that is opened is not one of its members")
    if not 2 <= len(members) <= MOST_MEMBERS:
        raise _invalid(f"it has {len(members)} members instead of 2 to {MOST_MEMBERS}")
    for ids in ({each.vm_id for each in members}, {each.source_id for each in members}):
        if len(ids) != len(members):
            raise _invalid("a VM or an id is in it twice")


def _invalid(why: str) -> InvalidInput:
    return InvalidInput(
        f"The group of backup sources cannot be used: {why}.",
        reason="GROUP_INVALID",
        hint="Name each VM once, with the id its source is opened with.",
    )
