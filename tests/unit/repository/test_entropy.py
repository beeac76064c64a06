"""Randomness that neither a clone of the machine nor a moment of the clock repeats."""

import os
import time

import pytest

from services.mover.repository.entropy import fresh


@pytest.mark.parametrize("clock", ["time_ns", "perf_counter_ns"])
def test_a_clone_whose_kernel_repeats_itself_gets_other_bytes_a_moment_later(
    monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    now = [1]
    monkeypatch.setattr(os, "urandom", bytes)
    for each in ("time_ns", "perf_counter_ns"):
        monkeypatch.setattr(time, each, lambda: 1)
    monkeypatch.setattr(time, clock, lambda: now[0])
    here = fresh(32)
    assert here == fresh(32)
    now[0] += 1
    assert fresh(32) != here


def test_two_machines_at_one_moment_get_other_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    for clock in ("time_ns", "perf_counter_ns"):
        monkeypatch.setattr(time, clock, lambda: 1)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert 100 == len({fresh(32) for _ in range(100)})


@pytest.mark.parametrize("length", [1, 12, 16, 32, 64])
def test_as_many_bytes_come_as_were_asked_for(length: int) -> None:
    assert length == len(fresh(length))


def test_more_than_one_digest_holds_is_refused_and_not_cut() -> None:
    with pytest.raises(ValueError, match="65 bytes at once, of 64"):
        fresh(65)
