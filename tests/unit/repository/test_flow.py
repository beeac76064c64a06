"""Threads with one fate."""

import threading

import pytest

from services.mover.repository.flow import Channel, Closed, Flow, Stopped


def test_items_pass_in_order_and_the_end_is_seen_by_all() -> None:
    flow = Flow()
    channel: Channel[int] = Channel(flow, 2)
    got: list[int] = []
    lock = threading.Lock()

    def consume() -> None:
        while True:
            try:
                item = channel.get()
            except Closed:
                return
            with lock:
                got.append(item)

    for n in range(3):
        flow.start(f"c{n}", consume)
    for n in range(500):
        channel.put(n)
    channel.close()
    flow.join()
    assert sorted(got) == list(range(500))


@pytest.mark.parametrize("full", [True, False])
def test_a_failure_wakes_whoever_waits(full: bool) -> None:
    flow = Flow()
    channel: Channel[int] = Channel(flow, 1)
    if full:
        channel.put(0)

    def wait() -> None:
        if full:
            channel.put(1)
        else:
            channel.get()

    waiting = flow.start("w", wait)
    flow.start("f", lambda: flow.fail(ValueError("first")))
    flow.fail(ValueError("second"))
    waiting.join(10)
    assert not waiting.is_alive()
    flow.join()
    with pytest.raises(ValueError, match=r"first|second"):
        flow.raise_failure()
    with pytest.raises(Stopped):
        flow.check()
    with pytest.raises(Stopped):
        channel.put(2)
