"""Every error of a pool that a person can cause is one sentence with a way out, and is tried again or not."""

import ast
import json
import re
from pathlib import Path

import pytest

from services.chassis.errors import (
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from services.hypervisor.adapters.xapi_errors import CODES, translated
from services.hypervisor.adapters.xapi_rpc import XapiFailure

ROOT = Path(__file__).parents[3]
MODEL = json.loads((ROOT / "services/simulator/model/datamodel.json").read_text())["errors"]
ADAPTERS = ROOT / "services/hypervisor/adapters"
RETRIED = (Aborted, DeadlineExceeded, ResourceExhausted, Unavailable)
REFERENCES = {
    "object",
    "ref",
    "handle",
    "operation_ref",
    "vm",
    "vdi",
    "sr",
    "host",
    "vbd",
    "task",
    "pool",
}


def _told(code: str) -> list[str]:
    return ["OpaqueRef:1" if name.lower() in REFERENCES else f"<{name}>" for name in MODEL.get(code, [])]


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_with_a_row_is_one_sentence_with_a_way_out(code: str) -> None:
    error = translated(XapiFailure(code, _told(code) or ["a", "b", "c"]), "taking a snapshot of VM x")
    first, _, rest = error.message.partition(" failed. ")
    assert first == "Taking a snapshot of VM x"
    assert re.fullmatch(r"[A-Z][^?]*[.]", rest), rest
    assert ". " not in rest
    assert re.fullmatch(r"[A-Z].*[.]", error.hint)
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+", error.reason)
    assert error.metadata["pool_code"] == code
    assert "OpaqueRef" not in str(error)


@pytest.mark.parametrize("code", sorted(set(MODEL) - CODES))
def test_a_code_without_a_row_is_told_as_it_is_and_never_tried_again(code: str) -> None:
    error = translated(XapiFailure(code, _told(code)), "doing this")
    assert (type(error), error.reason, error.metadata["pool_code"]) == (
        FailedPrecondition,
        "POOL_REFUSED",
        code,
    )
    assert code in error.message
    assert error.hint


def test_a_code_nobody_has_heard_of_is_told_as_it_is() -> None:
    error = translated(XapiFailure("BRAND_NEW", ["OpaqueRef:secret", "because"]), "doing this")
    assert "BRAND_NEW (because)" in error.message


def test_every_code_about_vms_disks_storage_and_restores_has_a_sentence() -> None:
    ours = {
        code
        for code in MODEL
        if re.match(r"(VM_|VMS_|VDI_|SR_|VBD_|IMPORT_|DEVICE_|MEMORY_|SESSION_|TOO_)", code)
    }
    assert sorted(ours - CODES - EXEMPT) == []


def _declared() -> dict[str, set[str]]:
    """Every error that the data model says a call of ours may raise, and by which calls."""
    classes = json.loads((ROOT / "services/simulator/model/datamodel.json").read_text())["classes"]
    raised: dict[str, set[str]] = {}
    for file in ADAPTERS.glob("xapi_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                kind, _, call = node.value.removeprefix("Async.").partition(".")
                for code in classes.get(kind, {"messages": {}})["messages"].get(call, {}).get("errors", ()):
                    raised.setdefault(code, set()).add(f"{kind}.{call}")
    return raised


def test_every_error_that_a_call_of_ours_is_declared_to_raise_has_a_sentence() -> None:
    raised = _declared()
    assert {"SR_FULL", "VM_BAD_POWER_STATE", "VDI_IN_USE"} & raised.keys()
    assert [] == sorted(raised.keys() - CODES - HANDLED)


HANDLED = {"DEVICE_ALREADY_DETACHED", "EVENT_FROM_TOKEN_PARSE_FAILURE", "EVENT_SUBSCRIPTION_PARSE_FAILURE"}
"""What is looked for is so already; and of events, what only we could do wrong: it is told as it is."""
EXEMPT = {
    "DEVICE_ALREADY_DETACHED",
    "DEVICE_NOT_ATTACHED",
    "IMPORT_ERROR_CANNOT_HANDLE_CHUNKED",
    "MEMORY_CONSTRAINT_VIOLATION_MAXPIN",
    "SESSION_NOT_REGISTERED",
    "SR_HAS_MULTIPLE_PBDS",
    "SR_HAS_PBD",
    "SR_INDESTRUCTIBLE",
    "SR_IS_CACHE_SR",
    "SR_NOT_EMPTY",
    "SR_NOT_SHARABLE",
    "SR_UUID_EXISTS",
    "TOO_MANY_GROUPS",
    "TOO_MANY_VUSBS",
    "VBD_IS_EMPTY",
    "VBD_NOT_EMPTY",
    "VBD_NOT_REMOVABLE_MEDIA",
    "VBD_TRAY_LOCKED",
    "VDI_CONTAINS_METADATA_OF_THIS_POOL",
    "VDI_HAS_RRDS",
    "VDI_IS_NOT_ISO",
    "VDI_NEEDS_VM_FOR_MIGRATE",
    "VM_ASSIGNED_TO_PROTECTION_POLICY",
    "VM_CALL_PLUGIN_RATE_LIMIT",
    "VM_CANNOT_DELETE_DEFAULT_TEMPLATE",
    "VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED",
    "VM_NO_CRASHDUMP_SR",
    "VM_NO_EMPTY_CD_VBD",
    "VM_PCI_BUS_FULL",
}
"""Codes of calls that are never made here: they are told as they are."""


@pytest.mark.parametrize(
    "code",
    [
        "SESSION_AUTHENTICATION_FAILED",
        "RBAC_PERMISSION_DENIED",
        "LICENCE_RESTRICTION",
        "OPERATION_BLOCKED",
        "INTERNAL_ERROR",
        "VM_TO_IMPORT_IS_NOT_NEWER_VERSION",
        "VDI_IO_ERROR",
        "IMPORT_ERROR_SOME_CHECKSUMS_FAILED",
    ],
)
def test_what_another_try_cannot_help_is_not_tried_again(code: str) -> None:
    assert not isinstance(translated(XapiFailure(code, ["x"]), "doing this"), RETRIED)


@pytest.mark.parametrize(
    "code", ["OTHER_OPERATION_IN_PROGRESS", "HOST_OFFLINE", "TOO_MANY_PENDING_TASKS", "VDI_IN_USE", "SR_FULL"]
)
def test_what_passes_is_tried_again(code: str) -> None:
    assert isinstance(translated(XapiFailure(code, ["VM", "x"]), "doing this"), RETRIED)


def test_credentials_and_rights_are_told_apart() -> None:
    kinds = [type(translated(XapiFailure(code, ["x"]), "doing this")) for code in CREDENTIALS]
    assert kinds == [Unauthenticated, PermissionDenied, PermissionDenied, Internal]


CREDENTIALS = (
    "SESSION_AUTHENTICATION_FAILED",
    "RBAC_PERMISSION_DENIED",
    "SESSION_AUTHORIZATION_FAILED",
    "INTERNAL_ERROR",
)

ONCE = re.compile(
    r"[A-Za-z_]+\.(create|snapshot\w*|checkpoint|clone|copy|start\w*|resume\w*|provision|import\w*)"
)
"""Calls that make something, or make something run: a lost answer must never lead to a second one."""


def _calls() -> set[tuple[str, str, bool]]:
    """(file, method, whether it is repeated when its answer is lost) of every call with a literal name."""
    found = set()
    for file in ADAPTERS.glob("xapi_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            names = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            methods = [name for name in names if re.fullmatch(r"(Async\.)?[A-Za-z_]+\.[a-z_A-Z]+", name)]
            if not methods or node.func.attr not in ("call", "call_once", "run", "_call"):
                continue
            said = {key.arg: key.value for key in node.keywords}
            repeated = node.func.attr in ("call", "_call")
            if node.func.attr == "run":
                value = said["repeatable"]
                assert isinstance(value, ast.Constant), f"{file.name}: say whether {methods[0]} is repeatable"
                repeated = bool(value.value)
            found.add((file.name, methods[0].removeprefix("Async."), repeated))
    return found


def test_nothing_that_makes_something_is_repeated_when_its_answer_is_lost() -> None:
    calls = _calls()
    assert {"VDI.create", "VM.start", "task.create"} <= {method for _, method, _ in calls}
    assert [call for call in sorted(calls) if ONCE.fullmatch(call[1]) and call[2]] == []
