from dataclasses import replace

import pytest

from services.chassis.errors import InvalidInput
from services.hypervisor.domain.configuration import ConfiguredDisk
from services.hypervisor.domain.disk_rules import Candidate, DiskRules, assert_rules, choose

ROOT = Candidate(ConfiguredDisk("root", "0", "web root", "", (), "sr-1"), 1000, "Shared")
SWAP = Candidate(ConfiguredDisk("swap", "1", "web swap", "", ("scratch", "old"), "sr-2"), 5000, "Fast")
DISKS = (ROOT, SWAP)


@pytest.mark.parametrize(
    "rule", ["device:1", "device:01", "name:*swap", "tag:scratch", "sr:sr-2", "sr:Fast", "larger-than:1000"]
)
def test_a_rule_leaves_out_what_it_matches_and_is_named(rule: str) -> None:
    choice = choose(DiskRules(exclude=(rule,)), DISKS)
    assert {"swap"} == choice.left_out
    [notice] = choice.notices
    assert "DISK_EXCLUDED" == notice.code
    assert rule in notice.message and "web swap" in notice.message


def test_with_inclusions_only_those_are_in() -> None:
    choice = choose(DiskRules(include=("device:0",)), DISKS)
    assert {"swap"} == choice.left_out
    assert "no rule includes it" in choice.notices[0].message


def test_an_exclusion_wins_over_an_inclusion() -> None:
    assert {"root", "swap"} == choose(DiskRules(("device:0",), ("name:web*",)), DISKS).left_out


def test_without_rules_all_are_in() -> None:
    choice = choose(DiskRules(), DISKS)
    assert (frozenset(), ()) == (choice.left_out, choice.notices)


@pytest.mark.parametrize("rule", ["device:7", "name:Web*", "tag:scr", "sr:Sha", "larger-than:5000"])
def test_a_rule_that_matches_nothing_is_told_of(rule: str) -> None:
    choice = choose(DiskRules(exclude=(rule,)), DISKS)
    assert frozenset() == choice.left_out
    assert ["DISK_RULE_UNUSED"] == [notice.code for notice in choice.notices]


def test_a_disk_at_no_number_is_at_no_device() -> None:
    odd = replace(ROOT, disk=replace(ROOT.disk, device="xvda"))
    assert frozenset() == choose(DiskRules(exclude=("device:0",)), (odd,)).left_out


@pytest.mark.parametrize(
    "rule", ["", "device:", "device:a", "uuid:1", "larger-than:0", "larger-than:1G", "name:"]
)
def test_what_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(InvalidInput):
        assert_rules(DiskRules(exclude=(rule,)))


def test_there_are_not_more_rules_than_anyone_needs() -> None:
    with pytest.raises(InvalidInput):
        assert_rules(DiskRules(include=("device:0",) * 1001))
