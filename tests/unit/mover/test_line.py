"""What several copies send together keeps to their limits, and each has its part of it."""

import asyncio
import heapq
import random
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from services.chassis.clock import FakeClock
from services.chassis.errors import Cancelled
from services.chassis.tls import TlsFiles
from services.mover.adapters.copy_targets import GrpcAndStoreTargets
from services.mover.adapters.stores import Stores
from services.mover.domain.line import Ask, Line, Share
from services.mover.domain.rates import UNLIMITED, RateLimit, RateLimits

KIB, MIB = 1 << 10, 1 << 20
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def all_day(rate: int) -> RateLimits:
    return RateLimits((RateLimit(0, 0, rate),))


@dataclass(eq=False)
class Sender:
    """Sends parts of ``part`` bytes from ``start`` on until ``end``, in ``threads``."""

    share: Share
    part: int = 256 * KIB
    start: float = 0.0
    end: float = 1e9
    threads: int = 2
    sent: list[tuple[float, int]] = field(default_factory=list)

    def between(self, start: float, end: float) -> int:
        return sum(size for at, size in self.sent if start <= at < end)


def run(seconds: float, *senders: Sender, noon_at: float = 0.0, late: float = 0.0) -> None:
    """Everybody asks when it was told to, or up to ``late`` seconds later."""
    line, order, chance = Line(), count(), random.Random(1)
    asking = [
        (sender.start, next(order), sender, Ask(sender.share, sender.part))
        for sender in senders
        for _ in range(sender.threads)
    ]
    heapq.heapify(asking)
    while asking and asking[0][0] < seconds:
        now, _, sender, ask = heapq.heappop(asking)
        if now >= sender.end:
            line.withdraw(ask)
            continue
        wait = line.take(ask, NOON + timedelta(seconds=now - noon_at), now)
        if not wait:
            sender.sent.append((now, ask.size))
            ask = Ask(sender.share, sender.part)
        heapq.heappush(asking, (now + wait + late * chance.random() * bool(wait), next(order), sender, ask))


def test_two_copies_together_send_what_one_may_and_each_half_of_it() -> None:
    one, other = Sender(Share(all_day(2 * MIB))), Sender(Share(all_day(2 * MIB)))
    run(100, one, other)
    sums = [sender.between(0, 100) for sender in (one, other)]
    assert 200 * MIB <= sum(sums) <= 200 * MIB + 256 * KIB
    assert abs(sums[0] - sums[1]) <= 256 * KIB


def test_when_one_ends_the_other_gets_all_at_once() -> None:
    one, other = Sender(Share(all_day(2 * MIB)), end=50), Sender(Share(all_day(2 * MIB)))
    run(100, one, other)
    assert other.between(0, 50) == pytest.approx(50 * MIB, abs=MIB)
    assert other.between(50, 51) == pytest.approx(2 * MIB, abs=MIB / 2)
    assert other.between(50, 100) == pytest.approx(100 * MIB, abs=MIB)


def test_who_comes_late_has_its_part_from_then_on_and_not_what_others_had_before() -> None:
    one, late = Sender(Share(all_day(2 * MIB))), Sender(Share(all_day(2 * MIB)), start=50)
    run(100, one, late)
    for sender in (one, late):
        assert sender.between(50, 100) == pytest.approx(50 * MIB, abs=MIB)


def test_it_is_shared_by_bytes_and_by_copies_whatever_their_parts_and_threads() -> None:
    packs = Sender(Share(all_day(8 * MIB)), part=32 * MIB, threads=4)
    parts = Sender(Share(all_day(8 * MIB)), threads=1)
    run(400, packs, parts)
    assert packs.between(0, 400) == pytest.approx(1600 * MIB, abs=33 * MIB)
    assert parts.between(0, 400) == pytest.approx(1600 * MIB, abs=33 * MIB)


def test_threads_that_wake_late_cost_nobody_else_his_part() -> None:
    senders = [Sender(Share(all_day(4 * MIB))) for _ in range(3)]
    run(120, *senders, late=0.02)
    for sender in senders:
        assert 0.7 * 160 * MIB <= sender.between(0, 120) <= 161 * MIB


def test_each_keeps_to_its_own_limit_and_all_to_the_highest() -> None:
    slow, fast = Sender(Share(all_day(1 * MIB))), Sender(Share(all_day(8 * MIB)))
    run(100, slow, fast)
    assert slow.between(0, 100) == pytest.approx(100 * MIB, abs=MIB)
    assert slow.between(0, 100) + fast.between(0, 100) <= 800 * MIB + 256 * KIB
    assert fast.between(0, 100) == pytest.approx(700 * MIB, rel=0.02)


def test_one_that_may_send_nothing_now_keeps_nobody_waiting() -> None:
    stopped, going = Sender(Share(all_day(0))), Sender(Share(all_day(2 * MIB)))
    run(100, stopped, going)
    assert 0 == stopped.between(0, 100)
    assert going.between(0, 100) == pytest.approx(200 * MIB, abs=MIB)


def test_one_without_a_limit_neither_waits_nor_takes_from_the_others() -> None:
    line, free, limited = Line(), Share(UNLIMITED), Share(all_day(MIB))
    assert 0.0 == line.take(Ask(free, 1 << 40), NOON, 0.0)
    assert 0.0 == line.take(Ask(limited, MIB), NOON, 0.0)
    assert 0.0 == line.take(Ask(free, 1 << 40), NOON, 0.1)
    assert 0.0 == line.take(Ask(limited, MIB), NOON, 1.0)


@pytest.mark.parametrize("after", [0.0, 1.0, 3.0, 100.0])
def test_what_a_faster_one_sent_last_does_not_keep_a_slower_one_waiting_at_its_own_rate(after: float) -> None:
    line = Line()
    assert 0.0 == line.take(Ask(Share(all_day(8 * MIB)), 32 * MIB), NOON, 0.0)
    now, ask = after, Ask(Share(all_day(64 * KIB)), 64 * KIB)
    while wait := line.take(ask, NOON, now):
        now += wait
    assert max(4.0, after) == pytest.approx(now)


@pytest.mark.parametrize(("morning", "noon"), [(1, 8), (8, 1), (8, 0), (0, 8)])
def test_a_limit_that_changes_with_the_hour_holds_at_once_for_all(morning: int, noon: int) -> None:
    limits = RateLimits(
        (RateLimit(0, 12 * 60, morning * MIB), RateLimit(12 * 60, 0, noon * MIB)),
    )
    senders = [Sender(Share(limits)) for _ in range(3)]
    run(120, *senders, noon_at=60)
    before = sum(sender.between(0, 60) for sender in senders)
    after = sum(sender.between(60, 120) for sender in senders)
    second = sum(sender.between(61, 62) for sender in senders)
    assert before == pytest.approx(60 * morning * MIB, abs=MIB)
    assert after == pytest.approx(60 * noon * MIB, abs=(noon + 1) * MIB)  # looked at every second
    assert second == pytest.approx(noon * MIB, abs=MIB / 2)


def test_who_waits_for_long_looks_every_second_and_a_faster_hour_holds_from_then_on() -> None:
    line = Line()
    share = Share(RateLimits((RateLimit(0, 12 * 60, KIB), RateLimit(12 * 60, 0, 8 * MIB))))
    assert 0.0 == line.take(Ask(share, MIB), NOON - timedelta(seconds=10), 0.0)
    now, ask = 0.0, Ask(share, MIB)
    while wait := line.take(ask, NOON + timedelta(seconds=now - 10), now):
        assert wait <= 1.0
        now += wait
    assert 10.0 <= now < 11.0


def test_who_gives_up_is_waited_for_by_nobody() -> None:
    line, gone, other = Line(), Share(all_day(MIB)), Share(all_day(MIB))
    assert 0.0 == line.take(Ask(other, MIB), NOON, 0.0)
    waiting = Ask(gone, MIB)
    assert 0.0 < line.take(waiting, NOON, 0.5)
    again = Ask(other, MIB)
    assert 0.0 < line.take(again, NOON, 1.0)  # its turn comes after the one that waits
    line.withdraw(waiting)
    assert 0.0 == line.take(again, NOON, 1.0)


async def test_the_places_of_a_movers_copies_are_on_one_line(tmp_path: Path) -> None:
    """Cancelled from the beginning: what has to wait is let go with that at once."""
    tls = TlsFiles(tmp_path / "ca", tmp_path / "certificate", tmp_path / "key")
    loop = asyncio.get_running_loop()
    targets = GrpcAndStoreTargets(Stores(None, None), tls, FakeClock(), loop)
    cancel = threading.Event()
    cancel.set()
    one, other, free = (
        targets.open((tmp_path / name).as_uri(), "r", limits, cancel, lambda *_: None)
        for name, limits in (("one", all_day(1)), ("other", all_day(1)), ("free", UNLIMITED))
    )
    name = "packs/data/aa/" + "aa" * 32
    one.put(name, [b"12"])
    with pytest.raises(Cancelled):
        other.put(name, [b"12"])
    free.put(name, [b"12"])
    other.put("leases/x", [b"12"])
    assert [] == list(other.list("packs/"))


def test_one_whose_limit_ended_and_that_has_not_looked_yet_keeps_nobody_waiting() -> None:
    line = Line()
    morning, ever = Share(RateLimits((RateLimit(0, 12 * 60, MIB),))), Share(all_day(MIB))
    assert 0.0 == line.take(Ask(ever, MIB), NOON - timedelta(seconds=1), 0.0)
    assert 0.0 < line.take(Ask(morning, MIB), NOON - timedelta(seconds=0.5), 0.5)
    assert 0.0 == line.take(Ask(ever, MIB), NOON, 1.0)
