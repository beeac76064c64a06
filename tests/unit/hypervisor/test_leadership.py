"""Who leads a pool, by what its hosts say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.hypervisor.domain.leadership import Answer, Leadership, judge

NAMES = ("a", "b", "c", "d")


def answers(**follows: str) -> list[Answer]:
    """By host; nothing is a host that does not tell."""
    return [Answer(host, leader, "" if leader else "refused") for host, leader in follows.items()]


@pytest.mark.parametrize(
    ("said", "leader"),
    [
        (answers(a="a"), "a"),
        (answers(a="a", b="a", c="a"), "a"),
        (answers(a="a", b="", c=""), "a"),
        (answers(a="", b="a", c="a"), "a"),
        (answers(a="", b=""), ""),
        (answers(a="b", b="b", c="a"), "b"),
        (answers(a="a", b="a", c="elsewhere"), "a"),
    ],
    ids=[
        "alone",
        "all",
        "the others are away",
        "itself away",
        "nobody",
        "just replaced",
        "by an address nobody knows",
    ],
)
def test_a_pool_that_one_host_leads_is_not_contested(said: list[Answer], leader: str) -> None:
    assert Leadership(leader) == judge(said)


@pytest.mark.parametrize(
    ("said", "leader"),
    [
        (answers(a="a", b="b", c="b"), "b"),
        (answers(a="a", b="b", c="b", d=""), ""),
        (answers(a="a", b="a", c="c", d="c"), ""),
        (answers(a="a", b="b"), ""),
        (answers(a="a", b="b", c=""), ""),
        (answers(a="a", b="", c="b", d="b"), ""),
        (answers(a="a", b="", c="b"), ""),
    ],
    ids=[
        "most",
        "half and a silent one",
        "half",
        "one each",
        "one each, one away",
        "followers of a silent one",
        "one follower of a silent one",
    ],
)
def test_where_two_lead_only_most_of_all_hosts_decide(said: list[Answer], leader: str) -> None:
    found = judge(said)
    assert (leader, True) == (found.leader, found.contested)


def test_a_dispute_says_who_follows_whom_and_who_says_nothing() -> None:
    found = judge(answers(a="a", b="b", c="b", d=""))
    assert "a is followed by itself; b is followed by itself, c; d does not tell (refused)" == found.dispute


def test_a_dispute_says_what_else_is_told_of_who_leads() -> None:
    said = [Answer("a", "a"), Answer("b", "b", "refuses our password"), Answer("c", "b")]
    told = "a is followed by itself; b is followed by itself, c; b refuses our password"
    assert Leadership("b", told) == judge(said)


@pytest.mark.parametrize(
    ("found", "allowed"),
    [
        (Leadership("a"), True),
        (Leadership("a", "dispute"), True),
        (Leadership("b", "dispute"), False),
        (Leadership("", "dispute"), False),
        (Leadership(""), True),
    ],
)
def test_a_pool_is_used_through_who_leads_most_of_it_or_alone(found: Leadership, allowed: bool) -> None:
    assert allowed is found.allows("a")


@given(st.lists(st.sampled_from(("", *NAMES)), min_size=1, max_size=4))
def test_of_two_who_took_our_login_at_most_one_is_used(follows: list[str]) -> None:
    found = judge([Answer(host, leader) for host, leader in zip(NAMES, follows, strict=False)])
    leaders = [host for host, leader in zip(NAMES, follows, strict=False) if host == leader]
    assert len(leaders) < 2 or len([host for host in leaders if found.allows(host)]) <= 1
