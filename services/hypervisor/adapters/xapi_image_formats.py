"""Formats of images, as the records of disks and drivers tell them."""

from services.hypervisor.adapters.xapi_objects import Record, XapiObjects
from services.hypervisor.domain.image_format import LARGEST_VHD_BYTES, QCOW2, VHD

KEY = "image-format"
"""Of a VDI's sm_config."""


def told(vdi: Record) -> str:
    """What a disk says of its own image, or its size: no VHD is so large. Empty from storage that makes VHDs
    and does not speak of it, and of a clone until the next scan of its SR.
    """
    unsaid = QCOW2 if int(vdi["virtual_size"]) > LARGEST_VHD_BYTES else ""
    return str(vdi["sm_config"].get(KEY, "")).lower() or unsaid


async def of_chain(objects: XapiObjects, vdi: Record) -> str:
    """The same; of a snapshot that does not tell, what its disk says: a chain has one format, and drivers
    leave it out of snapshots until the next scan (xcp-ng/sm: drivers/FileSR.py, FileVDI._snapshot).
    """
    if found := told(vdi):
        return found
    origin = await objects.record("VDI", vdi["snapshot_of"])
    return told(origin) if origin else ""


def made_by(driver: Record) -> tuple[str, ...] | None:
    """The formats an SM driver makes, or None when it does not tell.

    Its record has a list since 26.15 (xapi: doc/content/design/sm-supported-image-formats.md); before, names
    tell: "Local EXT3 VHD", "Local EXT4 VHD and QCOW2", "LVHD over iSCSI" (sm: DRIVER_INFO of each driver).
    """
    listed = tuple(driver.get("supported_image_formats", ()))
    if listed:
        return listed
    name = f"{driver['name_label']} {driver['name_description']}".lower()
    return tuple(each for each in (VHD, QCOW2) if each in name) or None
