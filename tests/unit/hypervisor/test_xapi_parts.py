"""Parts of the XenAPI adapters that need no pool."""

from typing import cast

import pytest

from services.chassis.errors import XenkeepError
from services.hypervisor.adapters import xapi_tags
from services.hypervisor.adapters.xapi_errors import CODES, translated
from services.hypervisor.adapters.xapi_migrations import XapiMigrations
from services.hypervisor.adapters.xapi_objects import XapiObjects
from services.hypervisor.adapters.xapi_records import Records
from services.hypervisor.adapters.xapi_rpc import XapiFailure
from services.hypervisor.adapters.xapi_session import XapiSession
from services.hypervisor.adapters.xapi_tasks import values


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_of_the_table_is_a_sentence_with_a_way_out(code: str) -> None:
    error = translated(XapiFailure(code, []), "doing something")
    assert error.message.startswith("Doing something failed. ")
    assert error.message.endswith(".")
    assert error.hint
    assert code == error.metadata["pool_code"]


def test_an_unknown_code_is_told_as_it_is_and_references_are_not() -> None:
    failure = XapiFailure("NEW_CODE", ["OpaqueRef:0f7c", "words {0}"])
    error: XenkeepError = translated(failure, "doing something")
    assert "NEW_CODE (words {0})" in error.message
    assert "OpaqueRef" not in str(error)


def test_results_of_tasks_are_values_or_arrays_of_them() -> None:
    assert ["OpaqueRef:1"] == values("<value>OpaqueRef:1</value>")
    array = "<value><array><data><value>a</value><value>b&amp;c</value></data></array></value>"
    assert ["a", "b&c"] == values(array)
    assert [] == values("<value></value>") == values("")


SOURCE = "11111111-2222-4333-8444-555555555555"


def _record(**more: object) -> dict[str, object]:
    return {"uuid": "own", "is_a_snapshot": True, "other_config": {}, "name_label": ""} | more


def test_a_tagged_snapshot_is_ours_and_its_copies_are_not() -> None:
    config = {xapi_tags.SOURCE: SOURCE, xapi_tags.OBJECT: "own"}
    assert SOURCE == xapi_tags.source_of(_record(other_config=config))
    assert "" == xapi_tags.source_of(_record(other_config=config, uuid="copy"))
    assert "" == xapi_tags.source_of(_record(other_config=config, is_a_snapshot=False))


def test_an_untagged_snapshot_vm_is_ours_by_its_name_and_a_disk_is_not() -> None:
    name = xapi_tags.snapshot_name(SOURCE)
    assert SOURCE == xapi_tags.source_of(_record(name_label=name, power_state="Halted"))
    assert "" == xapi_tags.source_of(_record(name_label=name))


def test_a_copy_of_what_was_made_for_a_restore_is_not_ours() -> None:
    config = {xapi_tags.TARGET: "t", xapi_tags.OBJECT: "own"}
    assert "t" == xapi_tags.target_of(_record(is_a_snapshot=False, other_config=config))
    assert "" == xapi_tags.target_of(_record(is_a_snapshot=False, other_config=config, uuid="copy"))
    assert "" == xapi_tags.target_of(_record(other_config=config))


class _Objects:
    """As ``XapiObjects``: a VM with an operation under way."""

    def __init__(self, operation: str) -> None:
        self._operation = operation

    async def ref(self, kind: str, uuid: str) -> str:
        return f"OpaqueRef:{uuid}"

    async def fields(self, kind: str, ref: str, names: list[str]) -> dict[str, dict[str, str]]:
        return {name: {"OpaqueRef:task": self._operation} for name in names}


@pytest.mark.parametrize(("operation", "moves"), [("migrate_send", True), ("pool_migrate", False)])
async def test_disks_move_while_a_vm_is_sent_and_not_while_it_only_changes_its_host(
    operation: str, moves: bool
) -> None:
    objects = cast(XapiObjects, _Objects(operation))
    migrations = XapiMigrations(cast(XapiSession, None), objects, "installation")
    assert moves is await migrations.moves_disks("vm")


def test_the_end_of_a_migration_is_looked_at_as_news_of_storage_is() -> None:
    """Its begin is not: nobody who waits may go on."""
    records, seen = Records("pool"), []
    pool = {"master": "OpaqueRef:host", "name_label": "Lab", "restrictions": {}}
    records.apply({"class": "pool", "ref": "OpaqueRef:pool", "operation": "add", "snapshot": pool})
    for operations in (
        {},
        {"task": "migrate_send"},
        {},
        {"task": "pool_migrate"},
        {"task": "pool_migrate"},
        {},
    ):
        vm = _record() | {"is_a_template": False, "current_operations": operations}
        records.apply({"class": "vm", "ref": "OpaqueRef:vm", "operation": "mod", "snapshot": vm})
        picture = records.picture()
        assert picture is not None
        seen.append(picture.storage_changes)
    assert [0, 0, 1, 1, 1, 2] == seen
