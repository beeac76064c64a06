"""Calls of class SR (xapi: ocaml/xapi/xapi_sr.ml)."""

from collections.abc import Mapping
from typing import Any

from services.simulator.database.row import Row
from services.simulator.dispatch.call import Call
from services.simulator.failure import XapiFailure, uuid_invalid
from services.simulator.model.defaults import NULL_REF
from services.simulator.pool import allowed_operations, high_availability, membership, storage_types
from services.simulator.pool.disks import Disks
from services.simulator.pool.pool import disk_work
from services.simulator.pool.shelf import place

_UNSAID_SIZE = 1024**4
"""Bytes of a device that nobody told the size of."""


async def scan(call: Call, ref: str) -> None:
    """Disks that nobody knew get records without names, records without disks go.

    Raises ``SR_HAS_NO_PBDS``.
    """
    call.pool.repository(ref)
    await call.pool.disks[ref].follow(adopt=True)
    call.pool.disks[ref].coalesce_soon()


async def update(call: Call, ref: str) -> None:
    call.pool.repository(ref)
    await call.pool.disks[ref].follow()


async def get_supported_types(call: Call) -> list[str]:
    return [sm["type"] for sm in call.db.rows("SM")]


async def create(
    call: Call,
    host: str,
    device_config: dict[str, str],
    physical_size: int,
    name_label: str,
    name_description: str,
    type_: str,
    content_type: str,
    shared: bool,
    sm_config: dict[str, str],
) -> str:
    """An empty SR, attached to ``host`` or, when shared, to all. Raises ``SR_UNKNOWN_DRIVER`` and what the
    driver says of its device_config.
    """
    call.db.row("host", host)
    _check_driver(call, type_)
    where = await disk_work(place, type_, device_config, host)
    uuid = call.pool.ids.new()
    size = physical_size or _UNSAID_SIZE
    repository = await disk_work(call.pool.shelf.make, uuid, where, size)
    ref = call.pool.create(
        "SR",
        uuid=uuid,
        name_label=name_label,
        name_description=name_description,
        type=type_,
        content_type=content_type,
        shared=shared,
        sm_config=sm_config,
        physical_size=size,
    )
    call.pool.repositories[ref] = repository
    call.pool.disks[ref] = Disks(call.pool, ref)
    for each in call.pool.hosts if shared else (host,):
        attached = call.pool.hosts[each].alive
        call.pool.create("PBD", host=each, SR=ref, device_config=device_config, currently_attached=attached)
    allowed_operations.refresh(call.db, "SR", ref)
    await call.pool.disks[ref].follow()
    return ref


async def introduce(
    call: Call,
    uuid: str,
    name_label: str,
    name_description: str,
    type_: str,
    content_type: str,
    shared: bool,
    sm_config: dict[str, str],
) -> str:
    """A record for an SR that is somewhere; PBDs say where. Raises ``SR_UUID_EXISTS``."""
    _check_driver(call, type_)
    if len(uuid) != 36:
        raise uuid_invalid("SR", uuid)
    if call.db.tables["SR"].by_uuid(uuid) is not None:
        raise XapiFailure("SR_UUID_EXISTS", uuid)
    ref = call.pool.create(
        "SR",
        uuid=uuid,
        name_label=name_label,
        name_description=name_description,
        type=type_,
        content_type=content_type,
        shared=shared,
        sm_config=sm_config,
    )
    allowed_operations.refresh(call.db, "SR", ref)
    return ref


async def forget(call: Call, ref: str) -> None:
    """The records; the disks stay where they are. Raises ``SR_HAS_PBD`` while it is attached."""
    membership.drop_storage(call.pool, _check_detached(call, ref))


async def destroy(call: Call, ref: str) -> None:
    """Raises ``SR_HAS_NO_PBDS``, ``SR_HAS_PBD``, ``SR_INDESTRUCTIBLE``, ``SR_NOT_EMPTY``."""
    sr = _check_detached(call, ref)
    if not sr["PBDs"]:
        raise XapiFailure("SR_HAS_NO_PBDS", ref)
    if sr["other_config"].get("indestructible") == "true":
        raise XapiFailure("SR_INDESTRUCTIBLE", ref)
    if any(call.db.row("VDI", vdi)["managed"] for vdi in sr["VDIs"]):
        raise XapiFailure("SR_NOT_EMPTY")
    membership.drop_storage(call.pool, sr)
    await disk_work(call.pool.shelf.wipe, sr["uuid"])


async def probe(
    call: Call, host: str, device_config: dict[str, str], type_: str, sm_config: dict[str, str]
) -> str:
    """XML of the SRs on a device. Raises ``SR_UNKNOWN_DRIVER`` and what the driver misses."""
    call.db.row("host", host)
    _check_driver(call, type_)
    where = await disk_work(place, type_, device_config, host)
    found = "".join(
        f"\t<SR>\n\t\t<UUID>\n\t\t\t{uuid}\n\t\t</UUID>\n\t</SR>\n" for uuid in call.pool.shelf.found(where)
    )
    return f'<?xml version="1.0" ?>\n<SRlist>\n{found}</SRlist>\n'


async def probe_ext(
    call: Call, host: str, device_config: dict[str, str], type_: str, sm_config: dict[str, str]
) -> list[Mapping[str, Any]]:
    """For drivers of a newer kind than any here. Raises ``SR_OPERATION_NOT_SUPPORTED``."""
    _check_driver(call, type_)
    raise XapiFailure("SR_OPERATION_NOT_SUPPORTED", NULL_REF)


async def make(call: Call, *_: object) -> str:
    """Raises ``MESSAGE_DEPRECATED``."""
    raise XapiFailure("MESSAGE_DEPRECATED")


async def assert_can_host_ha_statefile(call: Call, ref: str) -> None:
    """Raises ``SR_OPERATION_NOT_SUPPORTED`` for local storage, ``SR_HAS_NO_PBDS``."""
    high_availability.check_storage(call.pool, ref)


async def refuse_database_replication(call: Call, ref: str) -> None:
    """No driver here can keep metadata. Raises ``SR_OPERATION_NOT_SUPPORTED``."""
    raise XapiFailure("SR_OPERATION_NOT_SUPPORTED", call.db.row("SR", ref).ref)


def _check_driver(call: Call, type_: str) -> None:
    if type_ not in storage_types.DRIVERS:
        raise XapiFailure("SR_UNKNOWN_DRIVER", type_)


def _check_detached(call: Call, ref: str) -> Row:
    sr = call.db.row("SR", ref)
    if any(call.db.row("PBD", each)["currently_attached"] for each in sr["PBDs"]):
        raise XapiFailure("SR_HAS_PBD", ref)
    return sr
