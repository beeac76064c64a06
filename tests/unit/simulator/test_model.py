"""The data model as releases publish it."""

import pytest

from services.simulator.model.defaults import default_value
from services.simulator.model.lifecycle import Presence, presence, release
from services.simulator.model.schema import load_model
from services.simulator.model.types import Kind, parse_type

MODEL = load_model("23.1.0")


def test_releases_with_names_are_older_than_those_with_numbers() -> None:
    assert release("rio") < release("stockholm") < release("1.257.0") < release("22.26.0") < release("23.1.0")


@pytest.mark.parametrize("version", ["24.19", "26.17"])
def test_a_release_of_two_numbers_is_the_first_of_those_with_three(version: str) -> None:
    assert load_model(version) == load_model(f"{version}.0")


def test_a_message_is_absent_before_it_is_published_and_known_after_it_is_removed() -> None:
    transitions = [("published", "george"), ("removed", "quebec")]
    assert presence(transitions, release("rio")) is Presence.ABSENT
    assert presence(transitions, release("lima")) is Presence.PRESENT
    assert presence(transitions, release("23.1.0")) is Presence.REMOVED


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("VM ref set", Kind.SET),
        ("(string -> enum vm_operations) map", Kind.MAP),
        ("enum vdi_type", Kind.ENUM),
    ],
)
def test_types_are_read_from_their_text(text: str, kind: Kind) -> None:
    assert parse_type(text).kind is kind


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ValueError, match="no type"):
        parse_type("an event batch of")


def test_defaults_are_values() -> None:
    assert default_value("{}", parse_type("string set")) == []
    assert default_value('{"active" -> "false"}', parse_type("(string -> string) map")) == {"active": "false"}
    assert default_value("VString null_ref", parse_type("SR ref")) == "OpaqueRef:NULL"


def test_the_class_of_a_later_release_is_not_there() -> None:
    assert "VM_group" not in MODEL.classes
    assert "VM_group" in load_model("26.17.0").classes


def test_removed_messages_are_kept_by_name() -> None:
    assert MODEL.messages["VM.snapshot_with_quiesce"].removed
    assert not MODEL.messages["VM.snapshot"].removed


def test_a_message_has_an_alias_with_an_underscore() -> None:
    assert MODEL.aliases["VM_get_all_records"] == "VM.get_all_records"
    assert MODEL.aliases["PIF_metrics_get_all"] == "PIF_metrics.get_all"
