"""Every class through every generated getter: all ways to read a value agree."""

from __future__ import annotations

from typing import Any

import XenAPI

from tests.conformance.report import Tally

REMOVED = {"VMPP", "VBD_metrics", "VIF_metrics"}
"""Listed by ``system.listMethods`` although a call answers MESSAGE_REMOVED (recorded)."""
VOLATILE = {("session", "last_active"), ("host_metrics", "last_updated")}
NOT_FIELDS = {"all", "all_records", "all_records_where", "record", "by_uuid", "by_name_label"}
SAMPLE = 3
"""Records of a class whose fields are read one by one."""


def check(tally: Tally, session: Any) -> None:
    """One check per class and way to read it."""
    methods = set(session.system.listMethods())
    with tally.check("system.listMethods lists calls of sixty classes"):
        assert len({name.partition(".")[0] for name in methods}) >= 60
    for cls in sorted({name.partition(".")[0] for name in methods if name.endswith(".get_all_records")}):
        with tally.check(f"{cls}: a removed class says so" if cls in REMOVED else f"{cls}.get_all_records"):
            records = _records(session, cls)
            if cls in REMOVED:
                assert records is None
                continue
        if records is not None:
            _check_class(tally, session, cls, records, methods)


def _records(session: Any, cls: str) -> dict[str, dict[str, Any]] | None:
    try:
        return dict(session.xenapi_request(f"{cls}.get_all_records", ()))
    except XenAPI.Failure as failure:
        assert failure.details == ["MESSAGE_REMOVED"], failure.details
        return None


def _check_class(
    tally: Tally, session: Any, cls: str, records: dict[str, dict[str, Any]], methods: set[str]
) -> None:
    def ask(name: str, *args: Any) -> Any:
        return session.xenapi_request(f"{cls}.{name}", args)

    with tally.check(f"{cls}: get_all names the records"):
        assert set(records) == set(ask("get_all"))
    with tally.check(f"{cls}: every record has the same fields"):
        assert len({frozenset(record) for record in records.values()}) <= 1
    with tally.check(f"{cls}: get_record is the record"):
        for ref, record in records.items():
            assert _steady(cls, record) == _steady(cls, ask("get_record", ref))
    with tally.check(f"{cls}: get_all_records_where selects by reference"):
        for ref in list(records)[:SAMPLE]:
            assert list(ask("get_all_records_where", f'field "_ref"="{ref}"')) == [ref]
    if f"{cls}.get_by_uuid" in methods:
        with tally.check(f"{cls}: get_by_uuid finds it"):
            for ref, record in records.items():
                assert ask("get_by_uuid", record["uuid"]) == ref
    if f"{cls}.get_by_name_label" in methods:
        with tally.check(f"{cls}: get_by_name_label finds all of that name"):
            for record in records.values():
                named = {ref for ref, other in records.items() if other["name_label"] == record["name_label"]}
                assert set(ask("get_by_name_label", record["name_label"])) == named
    getters = sorted(name[4:] for name in _getters(cls, methods))
    sample = dict(list(records.items())[:SAMPLE])
    fields = next(iter(records.values()), None)
    for name in getters:
        if fields is None or name not in fields or (cls, name) in VOLATILE:
            continue
        with tally.check(f"{cls}.get_{name} is the record's"):
            for ref, record in sample.items():
                assert ask(f"get_{name}", ref) == record[name]


def _getters(cls: str, methods: set[str]) -> set[str]:
    own = {name.partition(".")[2] for name in methods if name.startswith(f"{cls}.get_")}
    return {name for name in own if name[4:] not in NOT_FIELDS}


def _steady(cls: str, record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if (cls, name) not in VOLATILE}
