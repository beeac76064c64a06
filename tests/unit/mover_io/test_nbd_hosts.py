"""Which endpoint is next, how long a failed one rests, when a read is given up."""

from dataclasses import replace

import pytest

from services.chassis.errors import DataLoss, Unavailable
from services.mover.adapters.nbd_endpoint import NbdEndpoint
from services.mover.adapters.nbd_hosts import NbdHosts
from services.mover.adapters.nbd_redo import Redo
from services.mover.domain import BlockRead
from services.mover.notice_book import NoticeBook


def endpoint(host: str, address: str = "10.0.0.1") -> NbdEndpoint:
    return NbdEndpoint(host, address, 10809, "/disk", "pem")


A, B = endpoint("a"), endpoint("b")


def hosts_of(*endpoints: NbdEndpoint, per_host: int = 2) -> NbdHosts:
    return NbdHosts(endpoints, per_host, first_rest=1, longest_rest=4)


def test_connections_are_spread_and_limited_by_host_not_by_address() -> None:
    hosts = hosts_of(A, endpoint("a", "fd00::1"), B)
    chosen = [hosts.choose(0) for _ in range(5)]
    assert [one.host_id if one else None for one in chosen] == ["a", "b", "a", "b", None]
    hosts.closed(B)
    assert hosts.choose(0) == B


def test_a_failed_endpoint_rests_longer_each_time_until_it_works() -> None:
    hosts = hosts_of(A)
    now = 0.0
    for rest in (1, 2, 4, 4):
        assert hosts.choose(now) == A
        hosts.failed(A, now)
        assert hosts.next_ready() == now + rest
        assert hosts.choose(now + rest - 0.1) is None
        now += rest
    assert hosts.choose(now) == A
    hosts.opened(A)
    hosts.failed(A, now)
    assert hosts.next_ready() == now + 1


def test_fresh_endpoints_forget_failures_but_not_that_a_host_is_full_or_silent() -> None:
    hosts = hosts_of(A, B)
    assert hosts.choose(0) == A
    hosts.failed(A, 0)
    assert hosts.choose(0) == B
    hosts.shun(B, 0)
    hosts.replace([A, B])
    assert hosts.choose(0) == A
    assert hosts.choose(0) == A
    assert hosts.choose(0) is None
    assert hosts.choose(1) == B


def test_no_endpoints_are_never_ready() -> None:
    assert hosts_of().choose(0) is None
    assert hosts_of().next_ready() is None


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def reads(count: int) -> list[BlockRead]:
    return [BlockRead(at * 512, memoryview(bytearray(512))) for at in range(count)]


def redo_of(fresh: list[BlockRead], time: Time) -> Redo:
    return Redo(iter(fresh), patience=10, first_pause=1, longest_pause=4, monotonic=time)


def lost() -> Unavailable:
    return Unavailable("The host is gone.", reason="GONE")


def test_lost_reads_come_again_first_alone_and_one_at_a_time() -> None:
    fresh = reads(5)
    redo = redo_of(fresh, Time())
    assert redo.ready()
    assert redo.window(4) == 4
    drawn = [next(redo) for _ in range(3)]
    redo.done(drawn[0])
    assert redo.lost(drawn[1:], None, lost()) == 0
    assert redo.ready()
    assert redo.window(4) == 1
    assert list(redo) == fresh[1:3]
    assert redo.ready()
    assert redo.window(4) == 4
    assert list(redo) == fresh[3:]
    assert not redo.ready()


def test_pauses_grow_until_something_succeeds() -> None:
    redo = redo_of([], Time())
    (read,) = reads(1)
    assert [redo.lost([read], None, lost()) for _ in range(5)] == [0, 1, 2, 4, 4]
    redo.done(read)
    assert redo.lost([read], None, lost()) == 0


def test_a_read_is_given_up_after_the_patience_and_not_before() -> None:
    time = Time()
    redo = redo_of([], time)
    (read,) = reads(1)
    redo.lost([read], None, lost())
    time.now = 10
    redo.lost([read], None, lost())
    time.now = 10.5
    with pytest.raises(Unavailable) as failed:
        redo.lost([read], None, lost())
    assert failed.value.reason == "NBD_READ_GIVEN_UP"


def test_a_read_refused_four_times_is_lost_data() -> None:
    redo = redo_of([], Time())
    (read,) = reads(1)
    refusal = DataLoss("It cannot be read.", reason="NBD_READ_REFUSED")
    for _ in range(3):
        redo.lost([read], read, refusal)
    with pytest.raises(DataLoss):
        redo.lost([read], read, refusal)


def test_equal_notices_are_counted_and_their_number_is_bounded() -> None:
    book = NoticeBook()
    for number in range(300):
        book.add("A", f"text {number}")
        book.add("B", "always the same")
    notices = book.all()
    assert len(notices) == 201
    assert [notice.count for notice in notices if notice.code == "B"] == [300]
    assert (notices[-1].code, notices[-1].count) == ("NOTICES_OMITTED", 101)


def test_a_share_of_a_host_is_not_exceeded_and_less_of_it_is_noticed() -> None:
    mine = replace(A, max_connections=2)
    hosts = hosts_of(mine, per_host=4)
    assert [hosts.choose(0), hosts.choose(0), hosts.choose(0)] == [mine, mine, None]
    assert hosts.is_shared()
    assert not hosts.too_many("a")
    hosts.replace([replace(A, max_connections=1)])
    assert hosts.too_many("a")
    hosts.closed(mine)
    assert not hosts.too_many("a")


def test_hosts_that_are_not_shared_are_never_used_too_much() -> None:
    hosts = hosts_of(A)
    assert [hosts.choose(0), hosts.choose(0)] == [A, A]
    assert (hosts.is_shared(), hosts.too_many("a"), hosts.too_many("b")) == (False, False, False)
