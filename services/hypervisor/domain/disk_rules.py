"""Which disks of a VM are backed up: those that match an inclusion (all without any) and no exclusion."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from services.chassis.errors import FailedPrecondition, InvalidInput
from services.hypervisor.domain.configuration import ConfiguredDisk
from services.hypervisor.domain.notice import Notice

MOST_RULES = 1000
_RULE = re.compile(r"device:[0-9]{1,3}|(?:name|tag|sr):.{1,256}|larger-than:[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class DiskRules:
    """``device:0``, ``name:<glob>``, ``tag:<tag>``, ``sr:<name or UUID>``, ``larger-than:<bytes>``.
    Globs tell upper from lower case.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A disk as rules see it."""

    disk: ConfiguredDisk
    size_bytes: int
    sr_display_name: str


@dataclass(frozen=True)
class Choice:
    """UUIDs of the disks that are left out by rules, and what to tell of it."""

    left_out: frozenset[str]
    notices: tuple[Notice, ...]


def assert_rules(rules: DiskRules) -> None:
    """Raises InvalidInput DISK_RULE_INVALID."""
    every = (*rules.include, *rules.exclude)
    for rule in every:
        if not _RULE.fullmatch(rule) or len(every) > MOST_RULES:
            raise InvalidInput(
                f"{rule[:80]!r} is no rule for disks, or there are more than {MOST_RULES}.",
                reason="DISK_RULE_INVALID",
                hint="Use device:0, name:<glob>, tag:<tag>, sr:<name or UUID> or larger-than:<bytes>.",
            )


def choose(rules: DiskRules, candidates: Sequence[Candidate]) -> Choice:
    """What the rules leave out of the disks of a VM."""
    left_out, notices = set(), []
    for each in candidates:
        why = _why_left_out(rules, each)
        if why:
            left_out.add(each.disk.disk_id)
            name = f"{each.disk.display_name!r} ({each.disk.disk_id})"
            notices.append(Notice("DISK_EXCLUDED", f"Disk {name} was not backed up: {why}."))
    for rule in (*rules.include, *rules.exclude):
        if not any(_matches(rule, each) for each in candidates):
            notices.append(Notice("DISK_RULE_UNUSED", f"No disk of the VM matches the rule {rule!r}."))
    return Choice(frozenset(left_out), tuple(notices))


def nothing_to_capture(vm_display_name: str) -> FailedPrecondition:
    """All disks are left out: such a point would protect nothing."""
    return FailedPrecondition(
        f"None of the disks of VM {vm_display_name!r} would be backed up.",
        reason="NOTHING_TO_CAPTURE",
        hint="Change the policy's rules for disks, or take the VM out of the policy.",
    )


def _why_left_out(rules: DiskRules, candidate: Candidate) -> str:
    for rule in rules.exclude:
        if _matches(rule, candidate):
            return f"the rule {rule!r} excludes it"
    if rules.include and not any(_matches(rule, candidate) for rule in rules.include):
        return f"no rule includes it ({', '.join(map(repr, rules.include[:10]))})"
    return ""


def _matches(rule: str, candidate: Candidate) -> bool:
    kind, _, value = rule.partition(":")
    disk = candidate.disk
    if kind == "device":
        return disk.device.isdecimal() and int(disk.device) == int(value)
    if kind == "name":
        return fnmatchcase(disk.display_name, value)
    if kind == "tag":
        return value in disk.tags
    if kind == "sr":
        return value in (disk.sr_id, candidate.sr_display_name)
    return candidate.size_bytes > int(value)
