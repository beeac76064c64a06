"""The life of a delivery."""

from datetime import timedelta

from services.notifier.domain.delivery import ATTEMPTS, Receipt, State, wait_after
from tests.contract.notifier.samples import NOW, a_delivery


def test_waits_double_up_to_half_an_hour() -> None:
    waits = [wait_after(attempts) for attempts in range(1, 10)]
    assert [int(wait.total_seconds()) for wait in waits] == [15, 30, 60, 120, 240, 480, 960, 1800, 1800]


def test_the_attempts_take_less_than_an_hour() -> None:
    assert sum((wait_after(n) for n in range(1, ATTEMPTS)), timedelta(0)) < timedelta(hours=1)


def test_a_refusal_waits_and_the_last_one_fails() -> None:
    delivery = a_delivery()
    for attempt in range(1, ATTEMPTS):
        delivery = delivery.refused("tired", NOW, final=False)
        assert (delivery.state, delivery.next_attempt_time) == (State.PENDING, NOW + wait_after(attempt))
    last = delivery.refused("still tired", NOW, final=False)
    assert (last.state, last.attempts, last.detail, last.finish_time) == (State.FAILED, 8, "still tired", NOW)


def test_a_receipt_ends_it() -> None:
    delivered = a_delivery().refused("tired", NOW, final=False).delivered(Receipt(True, "250 OK"), NOW)
    assert (delivered.state, delivered.attempts, delivered.confirmed) == (State.DELIVERED, 2, True)
