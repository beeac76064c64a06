"""Rows, mirrored references, generations."""

from typing import Any

import pytest

from services.simulator.database.database import Change, Database
from services.simulator.database.stored import dump_fields, load_fields
from services.simulator.failure import XapiFailure
from services.simulator.model.schema import load_model

MODEL = load_model("23.1.0")
NULL = "OpaqueRef:NULL"


@pytest.fixture
def db() -> Database:
    db = Database(MODEL)
    db.create("VM", "vm", {"uuid": "1", "name_label": "web"})
    return db


def test_a_reference_fills_the_set_on_its_other_side(db: Database) -> None:
    db.create("VBD", "vbd", {"uuid": "2", "VM": "vm"})
    assert db.row("VM", "vm")["VBDs"] == ["vbd"]
    db.delete("VBD", "vbd")
    assert db.row("VM", "vm")["VBDs"] == []


def test_a_moved_reference_leaves_the_old_set(db: Database) -> None:
    db.create("host", "a", {"uuid": "3"})
    db.create("host", "b", {"uuid": "4"})
    db.set("VM", "vm", "resident_on", "a")
    db.set("VM", "vm", "resident_on", "b")
    assert (db.row("host", "a")["resident_VMs"], db.row("host", "b")["resident_VMs"]) == ([], ["vm"])


def test_the_parent_of_a_new_object_has_changed_too(db: Database) -> None:
    before = db.generation
    db.create("VBD", "vbd", {"uuid": "2", "VM": "vm"})
    assert [row.ref for row in db.tables["VM"].changed_since(before)] == ["vm"]


def test_writing_the_same_value_changes_nothing(db: Database) -> None:
    heard: list[Change] = []
    db.listen(heard.append)
    before = db.generation
    db.set("VM", "vm", "name_label", "web")
    assert (db.generation, heard) == (before, [])


def test_several_fields_are_one_change(db: Database) -> None:
    heard: list[Change] = []
    forget = db.listen(heard.append)
    db.update("VM", "vm", name_label="a", name_description="b")
    forget()
    db.set("VM", "vm", "name_label", "c")
    assert [(change.operation, change.row.ref) for change in heard] == [("mod", "vm")]


def test_a_key_is_added_once(db: Database) -> None:
    db.add_to_map("VM", "vm", "other_config", "k", "v")
    with pytest.raises(XapiFailure) as refusal:
        db.add_to_map("VM", "vm", "other_config", "k", "v")
    assert refusal.value.description == ["MAP_DUPLICATE_KEY", "VM", "other_config", "vm", "k"]
    db.remove_from_map("VM", "vm", "other_config", "k")
    db.remove_from_map("VM", "vm", "other_config", "k")
    assert db.row("VM", "vm")["other_config"] == {}


def test_defaults_are_not_shared_between_rows(db: Database) -> None:
    db.create("VM", "other", {"uuid": "9"})
    db.add_to_set("VM", "vm", "tags", "t")
    assert db.row("VM", "other")["tags"] == []


def test_what_was_made_and_deleted_since_is_not_deleted(db: Database) -> None:
    start = db.generation
    db.create("VM", "new", {"uuid": "5"})
    middle = db.generation
    db.delete("VM", "new")
    assert db.tables["VM"].deleted_since(start) == []
    assert [gone.ref for gone in db.tables["VM"].deleted_since(middle)] == ["new"]


@pytest.mark.parametrize(
    "values",
    [
        {"name_label": "it's (a) \\ name", "other_config": {"a'b": "c\\'d", "": ""}, "tags": ["x y", "'"]},
        {"memory_static_max": 5, "is_a_template": True, "HVM_shadow_multiplier": 1.5},
    ],
)
def test_fields_survive_as_text(values: dict[str, Any]) -> None:
    assert load_fields(MODEL.classes["VM"], dump_fields(values)) == values


def test_text_that_is_no_expression_is_refused() -> None:
    with pytest.raises(ValueError, match="expression"):
        load_fields(MODEL.classes["VM"], "(('a' 'b'")
