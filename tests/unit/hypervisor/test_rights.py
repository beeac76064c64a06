"""What an account is asked to have is what the calls made here need, and the role that is advised has it."""

import ast
import json
import re
from pathlib import Path

from services.hypervisor.adapters.xapi_rights import NEEDED, missing_rights
from services.hypervisor.adapters.xapi_settings import COMPARED

ROOT = Path(__file__).parents[3]
ADAPTERS = ROOT / "services/hypervisor/adapters"
CLASSES = json.loads((ROOT / "services/simulator/model/datamodel.json").read_text())["classes"]
ADVISED = "vm-power-admin"
OTHERWISE = {
    "vm.update_allowed_operations": "refused, what it tells is told later (renew_allowed_operations)",
    "vgpu.create": "a pool operator's; that a GPU could not be set is told",
    "vgpu.destroy": "the same",
    "vgpu.set_extra_args": "the same",
    "vm.snapshot_with_quiesce": "releases from 8.1 on do not have it, and it takes what a snapshot takes",
}
"""Permissions that are not asked for, and why."""
SETTINGS = {f"vm.set_{field}".lower() for field in COMPARED}
"""Called by the names of fields; what could not be set is told, but that a VM is not protected any more."""


def _roles(permission: str) -> list[str]:
    for name, kind in CLASSES.items():
        for call, told in kind["messages"].items():
            if f"{name}.{call}".lower() == permission:
                return list(told["roles"])
    raise AssertionError(permission)


def _called() -> set[str]:
    """Permissions of the calls that are named in the adapters and that not everybody has who may look."""
    known = {
        f"{name}.{call}": told["roles"]
        for name, kind in CLASSES.items()
        for call, told in kind["messages"].items()
    }
    found = set()
    for file in ADAPTERS.glob("xapi_*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                name = node.value.removeprefix("Async.")
                if "read-only" not in known.get(name, ["read-only"]):
                    found.add(name.lower())
    return found


def test_every_call_that_needs_a_right_is_asked_for() -> None:
    called = _called()
    assert {"vm.snapshot", "vdi.create", "vm.start_on"} <= called
    assert "vm.set_blocked_operations" in SETTINGS
    called |= {"vm.set_blocked_operations"}
    assert set() == called - set(NEEDED) - set(OTHERWISE)
    assert {name for name in NEEDED if "/" not in name} == called - set(OTHERWISE)


def test_the_role_that_is_advised_lacks_nothing() -> None:
    lacking = {name for name in NEEDED if not re.match("http/", name) and ADVISED not in _roles(name)}
    assert set() == lacking


async def test_each_right_that_is_missing_is_one_sentence() -> None:
    async def call(method: str, *_: object) -> object:
        return False if method.endswith("superuser") else sorted(set(NEEDED) - {"vm.snapshot", "vdi.create"})

    assert (
        "The account may not take snapshots of VMs (vm.snapshot); the role vm-power-admin includes it.",
        "The account may not make disks for a restore (vdi.create); the role vm-power-admin includes it.",
    ) == await missing_rights(call, "session")
