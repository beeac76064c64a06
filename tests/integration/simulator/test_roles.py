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
    ("GET", "/host_rrd"): ("host_rrd", "read-only"),
    ("GET", "/vm_rrd"): ("vm_rrd", "read-only"),
    ("GET", "/sr_rrd"): ("sr_rrd", "read-only"),
    ("GET", "/rrd_updates"): ("rrd_updates", "read-only"),
    ("GET", "/audit_log"): ("get_audit_log", "read-only"),
    ("GET", "/vncsnapshot"): ("get_vncsnapshot", "vm-operator"),
    ("GET", "/export"): ("get_export", "vm-admin"),
    ("GET", "/export_metadata"): ("get_export_metadata", "vm-admin"),
    ("GET", "/export_raw_vdi"): ("get_export_raw_vdi", "vm-admin"),
    ("PUT", "/import"): ("put_import", "vm-admin"),
    ("PUT", "/import_metadata"): ("put_import_metadata", "vm-admin"),
    ("PUT", "/import_raw_vdi"): ("put_import_raw_vdi", "vm-admin"),
    ("PUT", "/messages"): ("put_messages", "vm-power-admin"),
    ("PUT", "/services/SM"): ("put_services_sm", "vm-power-admin"),
    ("PUT", "/services/xenops"): ("put_services_xenops", "vm-power-admin"),
    ("GET", "/host_backup"): ("get_host_backup", "pool-admin"),
    ("PUT", "/host_restore"): ("put_host_restore", "pool-admin"),
    ("GET", "/pool/xmldbdump"): ("get_pool_xml_db_sync", "pool-admin"),
    ("PUT", "/pool/xmldbdump"): ("put_pool_xml_db_sync", "pool-admin"),
}
"""Name and least role of every handler that has one in xapi (ocaml/idl/datamodel.ml ``http_actions``)."""
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


async def test_a_handler_takes_its_role_or_a_higher_one_and_the_session_says_so(
    simulation: Simulation,
) -> None:
    """A probe without a body: whoever may come in is told that it is no archive, or is given nothing."""
    address = f"https://127.0.0.11:{simulation.pool.description.https_port}"
    context = ssl._create_unverified_context()
    limits = httpx.Limits(max_keepalive_connections=0)  # /host_backup says keep-alive and closes
    async with httpx.AsyncClient(verify=context, limits=limits) as client:
        for rank, role in enumerate(ROLES):
            sdk = await Sdk(simulation).log_in(role, "pw")
            (vm,) = await sdk.call("VM.get_by_name_label", "web")
            uuid = await sdk.call("VM.get_uuid", vm)
            told = await sdk.call("session.get_rbac_permissions", sdk.session.handle)
            for (method, path), (name, least) in HANDLERS.items():
                task = await sdk.call("task.create", path, "")
                query = {"session_id": sdk.session.handle, "task_id": task, "ref": vm, "uuid": uuid}
                async with client.stream(method, f"{address}{path}", params=query) as response:
                    status = response.status_code
                allowed = rank >= ROLES.index(least)
                seen = (status != 403, f"http/{name}" in told)
                assert seen == (allowed, allowed), f"{path} as {role}: {status}"
                if not allowed:
                    denied = ["RBAC_PERMISSION_DENIED", f"http/{name}", "No permission in user session"]
                    assert await sdk.call("task.get_error_info", task) == denied
                    assert await sdk.call("task.get_status", task) == "failure"
            sdk.close()


async def test_only_pool_administrators_see_the_screen_of_a_control_domain(simulation: Simulation) -> None:
    (dom0,) = [row.ref for row in simulation.pool.db.rows("VM") if row["is_control_domain"]]
    address = f"https://127.0.0.11:{simulation.pool.description.https_port}/vncsnapshot"
    async with httpx.AsyncClient(verify=ssl._create_unverified_context()) as client:
        for role, refused in (("pool-operator", True), ("pool-admin", False)):
            sdk = await Sdk(simulation).log_in(role, "pw")
            task = await sdk.call("task.create", "screen", "")
            query = {"session_id": sdk.session.handle, "task_id": task, "ref": dom0}
            response = await client.get(address, params=query)
            wrong = "http/get_vncsnapshot/host_console"
            denied = ["RBAC_PERMISSION_DENIED", wrong, "No permission in user session"] if refused else []
            assert await sdk.call("task.get_error_info", task) == denied
            assert (wrong in await sdk.call("session.get_rbac_permissions", sdk.session.handle)) != refused
            assert (response.headers["content-type"] == "image/jpeg") != refused
            sdk.close()


async def test_some_keys_take_another_role_than_their_map(simulation: Simulation) -> None:
    """xapi: ocaml/idl/datamodel.ml ``map_keys_roles``."""
    operator = await Sdk(simulation).log_in("vm-operator", "pw")
    admin = await Sdk(simulation).log_in("vm-admin", "pw")
    (vm,) = await operator.call("VM.get_by_name_label", "web")
    (pool,) = await operator.call("pool.get_all")
    await operator.call("VM.add_to_other_config", vm, "XenCenter.CustomFields.owner", "me")
    await operator.call("VM.remove_from_other_config", vm, "XenCenter.CustomFields.owner")
    await operator.call("pool.add_to_other_config", pool, "EMPTY_FOLDERS", "/a")
    for sdk, method, ref, key, permission in (
        (operator, "VM.add_to_other_config", vm, "mine", "vm.add_to_other_config"),
        (operator, "VM.add_to_other_config", vm, "EMPTY_FOLDERS", "vm.add_to_other_config"),
        (admin, "VM.add_to_other_config", vm, "pci", "vm.add_to_other_config/key:pci"),
        (admin, "pool.add_to_other_config", pool, "mine", "pool.add_to_other_config"),
    ):
        denied = ["RBAC_PERMISSION_DENIED", permission, "No permission in user session"]
        assert await sdk.refused(method, ref, key, "v") == denied
    told = await operator.call("session.get_rbac_permissions", operator.session.handle)
    assert "vm.add_to_other_config/key:xencenter.customfields.*" in told
    for sdk in (operator, admin):
        sdk.close()


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
