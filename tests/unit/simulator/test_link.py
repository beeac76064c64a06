"""The speed of a link, and its cut."""

import threading

from services.simulator.pool.link import Link


def test_bytes_are_delayed_to_keep_the_speed() -> None:
    now = [100.0]
    link = Link(lambda: now[0])
    assert link.delay(1_000_000) == 0.0
    link.limit(1000)
    assert link.delay(500) == 0.5
    assert link.delay(500) == 1.0
    now[0] += 10
    assert link.delay(1000) == 1.0


def test_a_cut_happens_once_after_so_many_bytes() -> None:
    link = Link(lambda: 0.0)
    link.cut_after(10)
    assert [link.allowance(6), link.allowance(6), link.allowance(6)] == [6, 4, 6]


def test_whoever_waits_goes_on_when_the_limit_is_lifted() -> None:
    asked = threading.Event()

    def now() -> float:
        asked.set()
        return 0.0

    link = Link(now)
    link.limit(1)
    asked.clear()
    waiting = threading.Thread(target=link.pause, args=(3600,))
    waiting.start()
    asked.wait()  # it holds the lock until it waits
    link.limit(0)
    waiting.join()
