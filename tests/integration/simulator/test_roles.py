"""Who may do what: the least role of the calls and handlers that backups need (xapi: ocaml/idl)."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import XenAPI

from services.simulator.model.types import Kind, Type
from services.simulator.pool.description import UserDescription
from services.simulator.pool.simulation import Simulation
from tests.integration.simulator.pools import PASSWORD, Sdk, describe, running

ROLES = ("read-only", "vm-operator", "vm-admin", "vm-power-admin", "pool-operator", "pool-admin")
"""From the least to the most."""
CALLS = {
    "read-only": ("VM.get_record", "event.from", "task.create", "host.get_server_certificate"),
    "vm-operator": (
        "VM.start",
        "VM.clean_shutdown",
        "VM.hard_shutdown",
        "VM.suspend",
        "VDI.list_changed_blocks",
    ),
    "vm-admin": (
        "VM.destroy",
        "VM.clone",
        "VM.copy",
        "VM.provision",
        "VM.set_is_a_template",
        "VM.set_bios_strings",
        "VDI.snapshot",
        "VDI.destroy",
        "VDI.data_destroy",
        "VDI.enable_cbt",
        "VDI.disable_cbt",
        "VDI.get_nbd_info",
        "VBD.destroy",
        "VIF.destroy",
    ),
    "vm-power-admin": (
        "VM.snapshot",
        "VM.checkpoint",
        "VM.revert",
        "VM.start_on",
        "VM.pool_migrate",
        "SR.scan",
    ),
    "pool-operator": (
        "VM.import",
        "VM.set_ha_restart_priority",
        "VM.set_appliance",
        "VM.power_state_reset",
        "pool.set_other_config",
        "message.create",
    ),
    "pool-admin": ("network.add_purpose", "host.call_plugin"),
}
HANDLERS = {
    ("GET", "/vm_rrd"): "read-only",
    ("GET", "/vncsnapshot"): "vm-operator",
    ("GET", "/export"): "vm-admin",
    ("GET", "/export_metadata"): "vm-admin",
    ("GET", "/export_raw_vdi"): "vm-admin",
    ("PUT", "/import_raw_vdi"): "vm-admin",
    ("GET", "/host_backup"): "pool-admin",
    ("GET", "/pool/xmldbdump"): "pool-admin",
}
_NOTHING = {
    Kind.REF: "OpaqueRef:NULL",
    Kind.STRING: "",
    Kind.INT: "0",
    Kind.FLOAT: 0.0,
    Kind.BOOL: False,
    Kind.SET: [],
    Kind.MAP: {},
}


@pytest.fixture
async def simulation(tmp_path: Path) -> AsyncIterator[Simulation]:
    """One user for every role, and root."""
    users = [UserDescription(name=role, password="pw", role=role) for role in ROLES]
    described = describe(tmp_path / "pool", users=[UserDescription(password=PASSWORD), *users])
    async with running(described) as simulation:
        yield simulation


async def test_a_call_takes_its_role_or_a_higher_one(simulation: Simulation) -> None:
    enums = simulation.pool.model.enums

    def nothing(type_: Type) -> object:
        return min(enums[type_.name]) if type_.kind is Kind.ENUM else _NOTHING[type_.kind]

    for rank, role in enumerate(ROLES):
        sdk = await Sdk(simulation).log_in(role, "pw")
        for least, names in CALLS.items():
            for name in names:
                params = [nothing(param.type) for param in simulation.pool.model.messages[name].params]
                try:
                    await sdk.call(name, *params)
                    answer = ["none"]
                except XenAPI.Failure as refusal:
                    answer = refusal.details
                if rank >= ROLES.index(least):
                    assert answer[0] != "RBAC_PERMISSION_DENIED", f"{name} as {role}"
                else:
                    denied = ["RBAC_PERMISSION_DENIED", name.lower(), "No permission in user session"]
                    assert answer == denied, f"{name} as {role}"
        sdk.close()


async def test_a_handler_takes_its_role_or_a_higher_one(simulation: Simulation) -> None:
    root = await Sdk(simulation).log_in()
    (vm,) = await root.call("VM.get_by_name_label", "web")
    uuid = await root.call("VM.get_uuid", vm)
    address = f"https://127.0.0.11:{simulation.pool.description.https_port}"
    context = ssl._create_unverified_context()
    limits = httpx.Limits(max_keepalive_connections=0)  # /host_backup says keep-alive and closes
    async with httpx.AsyncClient(verify=context, limits=limits) as client:
        for rank, role in enumerate(ROLES):
            sdk = await Sdk(simulation).log_in(role, "pw")
            for (method, path), least in HANDLERS.items():
                task = await sdk.call("task.create", path, "")
                query = {"session_id": sdk.session.handle, "task_id": task, "ref": vm, "uuid": uuid}
                response = await client.request(method, f"{address}{path}", params=query)
                allowed = rank >= ROLES.index(least)
                assert (response.status_code != 403) == allowed, f"{path} as {role}: {response.status_code}"
                if not allowed:
                    assert (await sdk.call("task.get_error_info", task))[0] == "RBAC_PERMISSION_DENIED"
                    assert await sdk.call("task.get_status", task) == "failure"
            sdk.close()
    root.close()


async def test_a_task_of_somebody_else_takes_a_pool_operator(simulation: Simulation) -> None:
    """xapi: ocaml/xapi/xapi_task.ml, the permission ``task.destroy/any``."""
    owner = await Sdk(simulation).log_in("vm-admin", "pw")
    other = await Sdk(simulation).log_in("vm-power-admin", "pw")
    operator = await Sdk(simulation).log_in("pool-operator", "pw")
    task = await owner.call("task.create", "mine", "")
    for method, *value in (["task.cancel"], ["task.destroy"], ["task.set_status", "success"]):
        assert (await other.refused(method, task, *value))[:2] == [
            "RBAC_PERMISSION_DENIED",
            "task.destroy/any",
        ]
    await operator.call("task.cancel", task)
    await owner.call("task.set_status", task, "success")
    await owner.call("task.destroy", task)
    for sdk in (owner, other, operator):
        sdk.close()
