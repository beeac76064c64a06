"""Who belongs to a pool: a newcomer's records, and what is left when a host goes.

A real host joins by calls that only xapi may make: ``host.create``, ``VDI.pool_introduce``, ``pool.hello``
(xapi: ocaml/xapi/xapi_pool.ml). Here a simulated host hands itself over in two documents: what it is, and,
once it has stopped answering by itself, what its local storage holds.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.simulator.database.row import Row
from services.simulator.failure import XapiFailure
from services.simulator.pool import allowed_operations, gpus
from services.simulator.pool.build import add_host, count_processors
from services.simulator.pool.certificates import load_certificate, write_secret
from services.simulator.pool.description import HostDescription
from services.simulator.pool.disks import Disks
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.pool.shelf import Place
from services.simulator.wire.datetimes import DateTime

NAMES = ("name_label", "name_description", "type", "other_config", "tags", "read_only", "sharable")
"""What a disk's record says that its storage does not know."""


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MemberTold(_Told):
    """``secret`` is key and certificate in PEM; the ports are those that all hosts of its pool share."""

    uuid: str
    machine: HostDescription
    secret: str = Field(repr=False)
    https_port: int
    nbd_port: int


class DiskTold(_Told):
    """``snapshot_of`` is a uuid, or empty."""

    fields: dict[str, Any]
    snapshot_of: str
    snapshot_time: str


class StorageTold(_Told):
    """One local SR; ``folder`` holds it on this machine, ``disks`` are its records by uuid."""

    uuid: str
    name: str
    description: str
    type: str
    device_config: dict[str, str]
    size_bytes: int
    folder: Path
    disks: dict[str, DiskTold]


class HelloTold(_Told):
    """``host`` is the reference that the pool gave the newcomer."""

    host: str
    storage: list[StorageTold]


async def take_in(pool: Pool, told: MemberTold) -> str:
    """Records of a host that has yet to boot; its reference.

    Raises ``JOINING_HOST_SERVICE_FAILED`` for a host that is known, or that nobody would find by its address
    alone.
    """
    ports = (pool.description.https_port, pool.description.nbd_port)
    known = any(
        told.machine.address == host.address or told.uuid == host.uuid for host in pool.hosts.values()
    )
    if known or ports != (told.https_port, told.nbd_port):
        raise XapiFailure("JOINING_HOST_SERVICE_FAILED")
    path = pool.data_dir / f"member-{len(pool.hosts)}-{pool.ids.new()}.pem"
    try:
        await disk_work(write_secret, path, told.secret)
        certificate = load_certificate(path)
    except ValueError as error:
        raise XapiFailure("JOINING_HOST_SERVICE_FAILED") from error
    interfaces = [pool.db.row("PIF", ref) for ref in pool.db.row("host", pool.coordinator.ref)["PIFs"]]
    physical = sorted((pif for pif in interfaces if pif["physical"]), key=lambda pif: str(pif["device"]))
    ref = add_host(pool, told.machine, certificate, [pif["network"] for pif in physical], uuid=told.uuid)
    pool.db.set("host_metrics", pool.db.row("host", ref)["metrics"], "live", False)
    return ref


async def welcome(pool: Pool, told: HelloTold) -> None:
    """The newcomer boots, sees the shared storage, and brings its own. Raises ``HANDLE_INVALID``, ``OSError``
    when its address is not free yet.
    """
    host = pool.hosts[pool.db.row("host", told.host).ref]
    await pool.failures.revive(host)
    for sr in pool.db.rows("SR"):
        pbds = [pool.db.row("PBD", ref) for ref in sr["PBDs"]]
        if sr["shared"] and pbds and all(pbd["host"] != host.ref for pbd in pbds):
            config = pbds[0]["device_config"]
            pool.create("PBD", host=host.ref, SR=sr.ref, device_config=config, currently_attached=True)
    for storage in told.storage:
        await _take_over(pool, host.ref, storage)


async def _take_over(pool: Pool, host: str, told: StorageTold) -> None:
    where = Place(told.type, told.device_config, host)
    sr = pool.create(
        "SR",
        uuid=told.uuid,
        name_label=told.name,
        name_description=told.description,
        type=told.type,
        content_type="user",
        physical_size=told.size_bytes,
    )
    pool.repositories[sr] = await disk_work(pool.shelf.adopt, told.uuid, where, told.folder)
    pool.disks[sr] = Disks(pool, sr)
    pool.create("PBD", host=host, SR=sr, device_config=told.device_config, currently_attached=True)
    allowed_operations.refresh(pool.db, "SR", sr)
    await pool.disks[sr].follow(adopt=True)
    for uuid, disk in told.disks.items():
        row = pool.db.tables["VDI"].by_uuid(uuid)
        if row is not None:
            pool.db.update("VDI", row.ref, **_known(disk.fields), **_origin(pool, disk))


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in NAMES if name in fields}


def _origin(pool: Pool, disk: DiskTold) -> dict[str, Any]:
    origin = pool.db.tables["VDI"].by_uuid(disk.snapshot_of)
    if origin is None:
        return {}
    time = DateTime(disk.snapshot_time)
    return {"is_a_snapshot": True, "snapshot_of": origin.ref, "snapshot_time": time}


def storage_of(pool: Pool, host: str) -> list[StorageTold]:
    """A host's local storage, as another pool is to know it."""
    told = []
    for sr in local_storage(pool, host):
        (pbd,) = [pool.db.row("PBD", ref) for ref in sr["PBDs"]]
        disks = {row["uuid"]: _disk(pool, row) for row in (pool.db.row("VDI", ref) for ref in sr["VDIs"])}
        told.append(
            StorageTold(
                uuid=sr["uuid"],
                name=sr["name_label"],
                description=sr["name_description"],
                type=sr["type"],
                device_config=pbd["device_config"],
                size_bytes=sr["physical_size"],
                folder=pool.shelf.folder(sr["uuid"]),
                disks={uuid: disk for uuid, disk in disks.items() if disk is not None},
            )
        )
    return told


def _disk(pool: Pool, row: Row) -> DiskTold | None:
    origin = pool.db.find("VDI", row["snapshot_of"])
    fields = {name: row[name] for name in NAMES}
    time = str(row["snapshot_time"])
    uuid = "" if origin is None else str(origin["uuid"])
    return DiskTold(fields=fields, snapshot_of=uuid, snapshot_time=time) if row["managed"] else None


def local_storage(pool: Pool, host: str) -> list[Row]:
    """SRs that no other host sees."""
    srs = [pool.db.row("SR", pool.db.row("PBD", pbd)["SR"]) for pbd in pool.db.row("host", host)["PBDs"]]
    return [sr for sr in srs if not sr["shared"] and len(sr["PBDs"]) == 1]


def drop_storage(pool: Pool, sr: Row) -> None:
    """The records of an SR, its disks and their VBDs; nobody here works with its contents any more."""
    for vdi in list(sr["VDIs"]):
        for vbd in list(pool.db.row("VDI", vdi)["VBDs"]):
            pool.db.delete("VBD", vbd)
        pool.db.delete("VDI", vdi)
    for pbd in list(sr["PBDs"]):
        pool.db.delete("PBD", pbd)
    pool.repositories.pop(sr.ref, None)
    pool.disks.pop(sr.ref, None)
    pool.db.delete("SR", sr.ref)


def forget_host(pool: Pool, ref: str) -> None:
    """The records of a host and what is part of it; it is a stranger from then on."""
    row = pool.db.row("host", ref)
    certificates = row.get("certificates", ())
    for pgpu in list(row["PGPUs"]):
        gpus.forget(pool.db, pgpu)
    parts = {"PIF": "PIFs", "PBD": "PBDs", "host_cpu": "host_CPUs", "PCI": "PCIs"}
    for cls, field in parts.items():
        for part in list(row[field]):
            pool.db.delete(cls, part)
    for usb in (each for each in pool.db.rows("PUSB") if each["host"] == ref):
        pool.db.delete("PUSB", usb.ref)
        group = pool.db.row("USB_group", usb["USB_group"])
        if not group["PUSBs"] and not group["VUSBs"]:
            pool.db.delete("USB_group", group.ref)
    for part in list(certificates):
        pool.db.delete("Certificate", part)
    for console in [each.ref for each in pool.db.rows("console") if each["VM"] == row["control_domain"]]:
        pool.db.delete("console", console)
    for cls, part in (("VM", row["control_domain"]), ("host_metrics", row["metrics"])):
        if pool.db.find(cls, part) is not None:
            pool.db.delete(cls, part)
    pool.db.delete("host", ref)
    count_processors(pool)
    pool.strangers.append(pool.hosts.pop(ref))
