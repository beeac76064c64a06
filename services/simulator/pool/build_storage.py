"""The storage of a new pool."""

from collections.abc import Mapping

from services.simulator.pool import allowed_operations, image_formats
from services.simulator.pool.disks import Disks, add_vdi
from services.simulator.pool.pool import Pool, disk_work
from services.simulator.pool.shelf import Place
from services.simulator.pool.storage_types import DRIVERS, Driver

_MIB = 1024**2
_TOOLS_SIZE = 64 * _MIB


async def add_storage(pool: Pool) -> None:
    """Drivers, the described SRs, and the SR of the guest tools; the first described one becomes the
    default.
    """
    for type_, driver in DRIVERS.items():
        _add_driver(pool, type_, driver)
    by_name: dict[str, str] = {}
    for storage in pool.description.storage:
        host = None if storage.host is None else pool.host_named(storage.host).ref
        more = {image_formats.PREFERENCE: ",".join(storage.image_formats)} if storage.image_formats else {}
        by_name[storage.name] = await _add_sr(
            pool, storage.name, storage.type, storage.size_bytes, host, more=more
        )
    first = pool.description.default_storage or next(iter(by_name), None)
    if first is not None:
        pool.db.set("pool", pool.db.only("pool").ref, "default_SR", by_name[first])
    await _add_tools(pool)


def _add_driver(pool: Pool, type_: str, driver: Driver) -> None:
    reverts = pool.description.storage_reverts and pool.model.offers("VDI.revert")
    more = ("VDI_REVERT",) if reverts and "VDI_SNAPSHOT" in driver.features else ()
    able = sorted((*driver.features, *more))
    newer = pool.model.has_qcow2
    pool.create(
        "SM",
        name_label=(newer and driver.newer_label) or driver.label,
        name_description=f"SR plugin of type {type_}",
        type=type_,
        vendor="XenServer",
        copyright="",
        version="1.0",
        required_api_version="1.0",
        capabilities=able,
        features={feature: 2 if feature == "VDI_RESET_ON_BOOT" else 1 for feature in able},
        driver_filename=f"/opt/xensource/sm/{type_.upper()}SR",
        supported_image_formats=list(driver.image_formats) if newer else [],
    )


async def _add_sr(
    pool: Pool,
    name: str,
    type_: str,
    size: int,
    host: str | None,
    *,
    tools: bool = False,
    more: Mapping[str, str] | None = None,
) -> str:
    uuid = pool.ids.new()
    sr = pool.create(
        "SR",
        uuid=uuid,
        name_label=name,
        type=type_,
        content_type="iso" if type_ == "iso" else "user",
        shared=host is None,
        is_tools_sr=tools,
        physical_size=size,
    )
    config = _device_config(pool, type_, uuid) | dict(more or {})
    where = Place(type_, config, host or "")
    pool.repositories[sr] = await disk_work(pool.shelf.make, uuid, where, size)
    pool.disks[sr] = Disks(pool, sr)
    for ref in pool.hosts if host is None else (host,):
        pool.create("PBD", host=ref, SR=sr, device_config=config, currently_attached=True)
    allowed_operations.refresh(pool.db, "SR", sr)
    await pool.disks[sr].follow()
    return sr


def _device_config(pool: Pool, type_: str, uuid: str) -> dict[str, str]:
    if type_ == "nfs":
        return {"server": "192.0.2.1", "serverpath": f"/exports/{uuid}"}
    if type_ == "linstor":
        return {"group-name": f"linstor_group/{uuid}", "redundancy": "2", "provisioning": "thin"}
    return (
        {"location": "/opt/xensource/packages/iso", "legacy_mode": "true"}
        if type_ == "iso"
        else {"device": f"/dev/sda{len(pool.repositories) + 3}"}
    )


async def _add_tools(pool: Pool) -> None:
    sr = await _add_sr(pool, "XenServer Tools", "iso", 4 * _TOOLS_SIZE, None, tools=True)
    node = await disk_work(pool.repository(sr).create_disk, pool.ids.new(), _TOOLS_SIZE)
    add_vdi(
        pool,
        sr,
        node,
        name_label="guest-tools.iso",
        type="user",
        read_only=True,
        sharable=True,
        is_tools_iso=True,
    )
