"""What is known of a point's state does not depend on the order in which it came."""

from collections.abc import Callable
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from services.catalog.domain.health import UNSPOKEN, Health, with_damage, with_soundness
from tests.unit.catalog.fakes import at

Lesson = Callable[[Health], Health]


def damage(minute: int, message: str = "torn") -> Lesson:
    return lambda health: with_damage(health, at(minute), message)


def sound(minute: int, full: bool = True) -> Lesson:
    return lambda health: with_soundness(health, at(minute), full=full)


def learn(*lessons: Lesson) -> Health:
    health = Health()
    for lesson in lessons:
        health = lesson(health)
    return health


LESSONS = st.one_of(
    st.builds(damage, st.integers(0, 3), st.sampled_from(["", "torn", "gone"])),
    st.builds(sound, st.integers(0, 3), st.booleans()),
)


@given(st.lists(LESSONS, max_size=4))
def test_every_order_gives_the_same_answer(lessons: list[Lesson]) -> None:
    assert len({learn(*order) for order in permutations(lessons)}) == 1


@given(st.lists(LESSONS, max_size=6))
def test_a_fact_that_comes_twice_changes_nothing(lessons: list[Lesson]) -> None:
    assert learn(*lessons, *lessons) == learn(*lessons)


def test_damage_has_the_words_it_came_with() -> None:
    assert learn(damage(1, "pack 3f is torn")).words == "pack 3f is torn"
    assert learn(damage(1, "")).words == UNSPOKEN
    assert learn(damage(1, "torn"), damage(2, "")).words == "torn"
    assert learn().words == ""


def test_only_a_later_full_verification_takes_damage_back() -> None:
    assert learn(damage(2), sound(1)).damaged
    assert learn(damage(2), sound(2)).damaged
    assert learn(damage(2), sound(3, full=False)).damaged
    assert not learn(damage(2), sound(3)).damaged
    assert learn(damage(2), sound(3), damage(4)).damaged


def test_a_scrub_counts_as_a_verification() -> None:
    assert learn(sound(3, full=False)).verify_time == at(3)
