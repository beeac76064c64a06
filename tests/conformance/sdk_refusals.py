"""Wrong calls: the code and the parameters that a client relies on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import XenAPI

from tests.conformance.report import Tally

NOBODY = "OpaqueRef:00000000-0000-0000-0000-000000000000"
NO_UUID = "00000000-0000-0000-0000-000000000000"
LAST_TO_QUIESCE = 12
"""API version 2.12 is that of release 8.0."""
CLASSES = ("VM", "VDI", "VBD", "VIF", "SR", "PBD", "host", "network", "PIF", "pool", "task", "secret", "SM")


def _quiesce(session: Any, vm: str) -> list[str]:
    """Removed in 8.1; before that a halted VM could not."""
    if int(next(iter(session.xenapi.host.get_all_records().values()))["API_version_minor"]) > LAST_TO_QUIESCE:
        return ["MESSAGE_REMOVED"]
    return ["VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", vm, "the guest does not offer it"]


def check(tally: Tally, session: Any, reader: Callable[[], AbstractContextManager[Any]]) -> None:
    for cls in CLASSES:
        with tally.check(f"{cls}: a reference to nothing is HANDLE_INVALID"):
            assert refusal(session, f"{cls}.get_record", NOBODY) == ["HANDLE_INVALID", cls, NOBODY]
        with tally.check(f"{cls}: a uuid of nothing is UUID_INVALID"):
            assert refusal(session, f"{cls}.get_by_uuid", NO_UUID) == ["UUID_INVALID", cls, NO_UUID]
    (vm,) = session.xenapi.VM.get_by_name_label("db")
    (running,) = session.xenapi.VM.get_by_name_label("web")
    expected: dict[str, tuple[tuple[Any, ...], list[str]]] = {
        "VM.no_such_call": ((), ["MESSAGE_METHOD_UNKNOWN", "VM.no_such_call"]),
        "VM.get_record": ((), ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_record", "1", "0"]),
        "VM.get_uuid": ((vm, "x"), ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_uuid", "1", "2"]),
        "VM.snapshot_with_quiesce": ((vm, "x"), _quiesce(session, vm)),
        "VM.hard_shutdown": ((vm,), ["VM_BAD_POWER_STATE", vm, "paused, suspended, running", "halted"]),
        "VM.start": ((running, False, False), ["VM_BAD_POWER_STATE", running, "halted", "running"]),
        "VM.checkpoint": ((vm, "x"), ["VM_BAD_POWER_STATE", vm, "paused, suspended, running", "halted"]),
        "VM.provision": ((vm,), ["PROVISION_ONLY_ALLOWED_ON_TEMPLATE"]),
    }
    for method, (args, failure) in expected.items():
        with tally.check(f"{method} is refused as {failure[0]}"):
            assert refusal(session, method, *args) == failure
    with tally.check("a key that is in a map already is MAP_DUPLICATE_KEY"):
        session.xenapi.VM.add_to_other_config(vm, "twice", "1")
        failure = refusal(session, "VM.add_to_other_config", vm, "twice", "2")
        assert failure == ["MAP_DUPLICATE_KEY", "VM", "other_config", vm, "twice"]
        session.xenapi.VM.remove_from_other_config(vm, "twice")
    with tally.check("a blocked operation says by whom"):
        session.xenapi.VM.set_blocked_operations(vm, {"start": "the backup"})
        assert refusal(session, "VM.start", vm, False, False) == ["OPERATION_BLOCKED", vm, "the backup"]
        session.xenapi.VM.set_blocked_operations(vm, {})
    with tally.check("a disk in use is not destroyed"):
        (disk,) = [
            session.xenapi.VBD.get_VDI(vbd)
            for vbd in session.xenapi.VM.get_VBDs(running)
            if not session.xenapi.VBD.get_empty(vbd)
        ]
        assert refusal(session, "VDI.destroy", disk) == ["VDI_IN_USE", disk, "destroy"]
    with tally.check("a read-only user reads"), reader() as restricted:
        assert restricted.xenapi.VM.get_uuid(vm) == session.xenapi.VM.get_uuid(vm)
    for method, args in {
        "VM.start": (vm, False, False),
        "VM.snapshot": (vm, "x"),
        "VM.destroy": (vm,),
    }.items():
        with tally.check(f"{method} is denied to a read-only user"), reader() as restricted:
            assert refusal(restricted, method, *args)[:2] == ["RBAC_PERMISSION_DENIED", method.lower()]


def refusal(session: Any, method: str, *args: Any) -> list[str]:
    try:
        result = session.xenapi_request(method, args)
    except XenAPI.Failure as failure:
        return list(failure.details)
    raise AssertionError(f"{method} was answered with {result!r}")
