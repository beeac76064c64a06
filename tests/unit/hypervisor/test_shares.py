"""How the connections of hosts are shared out."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.hypervisor.domain.shares import room_left, share_out

HOSTS = ("h1", "h2", "h3")
_held = st.lists(st.dictionaries(st.sampled_from(HOSTS), st.integers(1, 4)), max_size=8)
_disks = st.lists(st.sets(st.sampled_from(HOSTS), min_size=1), min_size=1, max_size=4)


def test_streams_are_spread_over_the_hosts_that_see_the_disk() -> None:
    assert share_out(4, 12, [set(HOSTS)], []) == {"h1": 2, "h2": 1, "h3": 1}


def test_the_roomiest_hosts_come_first() -> None:
    assert share_out(2, 12, [set(HOSTS)], [{"h1": 4}, {"h3": 1}]) == {"h2": 2}


def test_a_disk_that_one_host_sees_is_read_there_alone() -> None:
    assert share_out(4, 12, [{"h2"}, set(HOSTS)], []) == {"h1": 2, "h2": 4, "h3": 1}


def test_everybody_gets_the_same_when_all_together_want_more_than_there_is() -> None:
    told: list[dict[str, int]] = [{} for _ in range(4)]
    for _ in range(3):  # each asks again from time to time
        for number in range(4):
            others = told[:number] + told[number + 1 :]
            told[number] = share_out(8, 12, [{"h1"}], others)
    assert told == [{"h1": 3}] * 4


def test_one_more_source_is_refused_when_only_what_is_kept_free_is_left() -> None:
    full = [{"h1": 4}] * 3
    assert not room_left(12, ["h1"], full)
    assert room_left(12, ["h1", "h2"], full)


@given(st.integers(1, 16), st.integers(1, 16), _disks, _held)
def test_a_share_covers_every_disk_and_no_more_than_was_wanted_or_is_there(
    wanted: int, per_host: int, disks: list[set[str]], others: list[dict[str, int]]
) -> None:
    share = share_out(wanted, per_host, disks, others)
    taken: Counter[str] = Counter()
    for held in others:
        taken.update(held)
    assert all(disk & share.keys() for disk in disks)
    assert all(0 < count <= wanted for count in share.values())
    assert all(taken[host] + count <= max(per_host, taken[host] + 1) for host, count in share.items())
