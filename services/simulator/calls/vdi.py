"""Calls of class VDI (xapi: ocaml/xapi/xapi_vdi.ml)."""

from typing import Any

from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, attachments, image_formats, placement, vdi_rules
from services.simulator.pool.disks import add_vdi
from services.simulator.pool.operations import vdi_operation
from services.simulator.pool.pool import disk_work

_GIVEN = (
    "name_label",
    "name_description",
    "type",
    "sharable",
    "read_only",
    "other_config",
    "xenstore_data",
    "sm_config",
    "tags",
)


async def create(call: Call, record: dict[str, Any]) -> str:
    """Raises ``SR_HAS_NO_PBDS``, ``VDI_INCOMPATIBLE_TYPE``, ``SR_BACKEND_FAILURE_44``, ``_66``, ``_79``."""
    if record["type"] == "cbt_metadata":
        raise XapiFailure("VDI_INCOMPATIBLE_TYPE", "", vdi_rules.TYPE_NAMES["cbt_metadata"])
    sr = call.db.row("SR", record["SR"]).ref
    if "VDI_CREATE" not in vdi_rules.sm_features(call.db, sr):
        raise XapiFailure("SR_OPERATION_NOT_SUPPORTED", sr)
    repository = call.pool.repository(sr)
    size, asked = record["virtual_size"], record.get("sm_config", {})
    image_format = image_formats.choose(call.pool, sr, size, asked)
    node = await disk_work(repository.create_disk, call.pool.ids.new(), size, image_format)
    given = {field: record[field] for field in _GIVEN if field in record}
    told = asked | image_formats.told(call.pool, sr, image_format)
    ref = add_vdi(call.pool, sr, node, **given | {"sm_config": told})
    await call.pool.disks[sr].follow()
    return ref


async def introduce(
    call: Call,
    uuid: str,
    name_label: str,
    name_description: str,
    sr: str,
    type_: str,
    sharable: bool,
    read_only: bool,
    other_config: dict[str, str],
    location: str,
    *_: object,
) -> str:
    """A record for a disk that its SR holds and the pool forgot.

    Raises ``LOCATION_NOT_UNIQUE`` when it has one, ``SR_BACKEND_FAILURE_46`` for a disk that is none.
    """
    repository = call.pool.repository(sr)
    if call.db.tables["VDI"].by_uuid(location) is not None:
        raise XapiFailure("LOCATION_NOT_UNIQUE", sr, location)
    node = await disk_work(repository.node, location)
    about = {"name_label": name_label, "name_description": name_description, "other_config": other_config}
    ref = add_vdi(call.pool, sr, node, type=type_, sharable=sharable, read_only=read_only, **about)
    await call.pool.disks[sr].follow()
    return ref


async def destroy(call: Call, ref: str) -> None:
    """The disk, its record, and the VBDs that show it. Raises ``VDI_IN_USE``."""
    db = call.db
    vdi = db.row("VDI", ref)
    repository = call.pool.repository(vdi["SR"])
    async with vdi_operation(call, ref, "destroy"):
        await disk_work(repository.destroy, vdi["uuid"])
        forget_record(call, ref)
    await call.pool.disks[vdi["SR"]].follow()
    call.pool.disks[vdi["SR"]].coalesce_soon()


async def forget(call: Call, ref: str) -> None:
    """The record alone."""
    vdi_rules.check(call.db, call.db.row("VDI", ref), "forget")
    forget_record(call, ref)


def forget_record(call: Call, ref: str) -> None:
    """Delete the record of a disk and its VBDs; empty drives keep theirs."""
    for vbd_ref in list(call.db.row("VDI", ref)["VBDs"]):
        if call.db.row("VBD", vbd_ref)["type"] == "CD":
            call.db.update("VBD", vbd_ref, VDI=NULL_REF, empty=True)
        else:
            call.db.delete("VBD", vbd_ref)
    call.db.delete("VDI", ref)


async def resize(call: Call, ref: str, size: int) -> None:
    """Raises ``SR_BACKEND_FAILURE_79`` for a smaller size."""
    db = call.db
    vdi = db.row("VDI", ref)
    repository = call.pool.repository(vdi["SR"])
    async with vdi_operation(call, ref, "resize"):
        await attachments.lose_tracking(call.pool, vdi, "resize")
        await disk_work(repository.resize, vdi["uuid"], size)
    await call.pool.disks[vdi["SR"]].follow()


async def resize_online(call: Call, ref: str, size: int) -> None:
    """No driver here can. Raises ``SR_OPERATION_NOT_SUPPORTED``."""
    raise XapiFailure("SR_OPERATION_NOT_SUPPORTED", call.db.row("VDI", ref)["SR"])


async def refuse_database(call: Call, ref: str) -> str:
    """No disk here holds the database of a pool. Raises ``VDI_INCOMPATIBLE_TYPE``."""
    type_ = call.db.row("VDI", ref)["type"]
    raise XapiFailure("VDI_INCOMPATIBLE_TYPE", ref, vdi_rules.TYPE_NAMES.get(type_, type_))


async def update(call: Call, ref: str) -> None:
    vdi = call.db.row("VDI", ref)
    vdi_rules.check(call.db, vdi, "update")
    await call.pool.disks[vdi["SR"]].follow()


async def set_on_boot(call: Call, ref: str, value: str) -> None:
    vdi = call.db.row("VDI", ref)
    for vbd in vdi["VBDs"]:
        vm = call.db.row("VM", call.db.row("VBD", vbd)["VM"])
        if vm["power_state"] != "Halted":
            raise XapiFailure("VM_BAD_POWER_STATE", vm.ref, "halted", vm["power_state"].lower())
    vdi_rules.check(call.db, vdi, "set_on_boot")
    call.db.set("VDI", ref, "on_boot", value)


async def get_nbd_info(call: Call, ref: str) -> list[dict[str, Any]]:
    """How to reach the disk over NBD, once for every address of every host that can serve it.

    ``cert`` is the host's certificate, ``exportname`` holds the session: handle it as a secret.
    """
    vdi = call.db.row("VDI", ref)
    if vdi["type"] == "cbt_metadata":
        raise XapiFailure("VDI_INCOMPATIBLE_TYPE", ref, vdi_rules.TYPE_NAMES["cbt_metadata"])
    networks = [row for row in call.db.rows("network") if {"nbd", "insecure_nbd"} & {*row["purpose"]}]
    infos = []
    for host in call.pool.hosts.values():
        if not placement.sees(call.pool, host.ref, vdi["SR"]):
            continue
        pifs = [call.db.row("PIF", pif) for network in networks for pif in network["PIFs"]]
        for address in (pif["IP"] for pif in pifs if pif["host"] == host.ref and pif["currently_attached"]):
            infos.append(
                {
                    "exportname": f"/{vdi['uuid']}?session_id={call.session}",
                    "address": address,
                    "port": host.nbd_port or call.pool.description.nbd_port,
                    "cert": host.certificate.pem,
                    "subject": host.name,
                }
            )
    return infos


async def refuse_setting(call: Call, ref: str, value: bool) -> None:
    """Fields that the storage manager alone writes. Raises ``PERMISSION_DENIED`` (recorded)."""
    raise XapiFailure("PERMISSION_DENIED", "")


async def update_allowed_operations(call: Call, ref: str) -> None:
    allowed_operations.refresh(call.db, "VDI", ref)
