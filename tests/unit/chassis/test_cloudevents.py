from datetime import UTC, datetime

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from xenkeep.catalog.v1.events_pb2 import RestorePointRemoved

from services.chassis.bus import cloudevents, subjects
from services.chassis.bus.redelivery import Redelivery
from services.chassis.errors import InvalidInput, Unavailable

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@given(st.text(), st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_whatever_is_wrapped_comes_back_and_headers_stay_one_line_of_ascii(text: str, name: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    event = RestorePointRemoved(restore_point=text, asset_display_name="x")
    made = cloudevents.wrap(event, id=name, source="xenkeep://service/catalog", subject_id=text, time=NOW)
    assert all(
        value.isascii() and value.isprintable() and " " not in value for value in made.headers.values()
    )
    meta = cloudevents.meta_of(made.headers)
    assert (meta.id, meta.subject, meta.time) == (name, text, NOW)
    assert cloudevents.unwrap(RestorePointRemoved, made.body) == event


def test_fields_of_a_newer_release_are_ignored() -> None:
    body = b'{"restorePoint":"p","somethingNew":{"a":[1]}}'
    assert cloudevents.unwrap(RestorePointRemoved, body) == RestorePointRemoved(restore_point="p")


def test_a_message_too_large_for_the_bus_is_refused_before_it_is_stored() -> None:
    event = RestorePointRemoved(restore_point="x" * 1_000_000)
    with pytest.raises(InvalidInput) as caught:
        cloudevents.wrap(event, id="1", source="s", subject_id="", time=NOW)
    assert caught.value.reason == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize("text", ["", "a.b", "*", ">", "a b", "-x", "a" * 64, "é"])
def test_what_nats_would_read_as_a_pattern_is_no_part_of_a_subject(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        subjects.of_work(text, "transfer")
    assert caught.value.reason == "SUBJECT_INVALID"
    with pytest.raises(InvalidInput):
        subjects.of_dead(text)


def test_subjects_follow_from_types() -> None:
    assert subjects.of_event(RestorePointRemoved) == "xenkeep.catalog.v1.RestorePointRemoved"
    assert subjects.of_work("v1", "transfer") == "xenkeep.work.v1.transfer"
    with pytest.raises(InvalidInput) as caught:
        subjects.of_event(Struct)
    assert caught.value.reason == "EVENT_TYPE_UNKNOWN"


def test_pauses_double_up_to_the_longest_and_waiting_is_more_patient_than_failing() -> None:
    policy = Redelivery(max_deliveries=3, max_waits=6, first_pause_s=1, longest_pause_s=5)
    assert [policy.pause(n) for n in (1, 2, 3, 4, 1000)] == [1, 2, 4, 5, 5]
    away = Unavailable("Away.", reason="AWAY")
    assert [policy.is_final(ValueError(), n) for n in (2, 3)] == [False, True]
    assert [policy.is_final(away, n) for n in (3, 6)] == [False, True]
