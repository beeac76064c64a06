"""What a source may have open at a host is for all its disks that are read at the same time."""

from dataclasses import replace

from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_hosts import NbdHosts
from services.mover.adapters.nbd_sharing import NbdSharing

HOST = NbdEndpoint("a", "10.0.0.1", 10809, "/disk", "pem", max_connections=4)


def two_disks(endpoint: NbdEndpoint) -> tuple[NbdSharing, NbdHosts, NbdHosts]:
    sharing = NbdSharing()
    one, two = (NbdHosts([endpoint], 4, 1, 4, sharing) for _ in range(2))
    return sharing, one, two


def opened(hosts: NbdHosts) -> int:
    count = 0
    while hosts.choose(0) is not None:
        count += 1
    return count


def test_one_disk_alone_has_it_all() -> None:
    sharing, one, _ = two_disks(HOST)
    sharing.readers.add("one")
    assert 4 == opened(one)


def test_two_disks_have_as_much_each_and_no_more_together() -> None:
    sharing, one, two = two_disks(HOST)
    sharing.readers.update(("one", "two"))
    assert (2, 2, 0) == (opened(one), opened(two), opened(one))


def test_the_first_gives_up_what_it_has_too_much_of_when_another_comes() -> None:
    sharing, one, two = two_disks(HOST)
    sharing.readers.add("one")
    assert 4 == opened(one)
    assert not one.too_many("a")
    sharing.readers.add("two")
    assert (0, True) == (opened(two), two.others_have_it())
    while one.too_many("a"):
        one.closed(HOST)
    assert (2, False) == (opened(two), two.others_have_it())


def test_a_disk_takes_what_another_leaves() -> None:
    sharing, one, two = two_disks(HOST)
    sharing.readers.update(("one", "two"))
    assert (2, 2) == (opened(one), opened(two))
    sharing.readers.discard("two")
    for _ in range(2):
        two.closed(HOST)
    assert 2 == opened(one)


def test_where_one_connection_is_all_a_disk_waits_for_its_turn() -> None:
    sharing, one, two = two_disks(replace(HOST, max_connections=1))
    sharing.readers.update(("one", "two"))
    assert (1, 0) == (opened(one), opened(two))
    assert (False, True) == (one.others_have_it(), two.others_have_it())
