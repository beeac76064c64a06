"""In which format a storage repository keeps a disk, and what a restore asks for.

A VHD ends at 2040 GiB (sm: vhdutil.MAX_VHD_SIZE). A client asks with ``image-format`` in a VDI's sm_config
(docs.xcp-ng.org: QCOW2 FAQ; xcp-ng/sm: drivers/SR.py). Drivers that do not know of it ignore it, and the
record says what was asked, not what was made: so only drivers that tell what they make are asked.
"""

from dataclasses import dataclass

from services.chassis.errors import FailedPrecondition
from services.hypervisor.domain.configuration import ConfiguredDisk
from services.hypervisor.domain.notice import Notice

VHD, QCOW2 = "vhd", "qcow2"
LARGEST_VHD_BYTES = 2040 << 30


@dataclass(frozen=True)
class DiskStorage:
    """A storage repository as far as formats matter: those its driver makes, None when it does not tell."""

    display_name: str
    image_formats: tuple[str, ...] | None


def to_ask_for(disk: ConfiguredDisk, size_bytes: int, storage: DiskStorage) -> str:
    """The format the disk had if the storage says that it makes it, QCOW2 for what no VHD takes; empty: as
    the storage likes. Raises FailedPrecondition DISK_TOO_LARGE.
    """
    makes = storage.image_formats
    if size_bytes > LARGEST_VHD_BYTES:
        if makes is not None and QCOW2 not in makes:
            raise FailedPrecondition(
                f"Disk {disk.display_name!r} ({disk.disk_id}) of {size_bytes} bytes does not fit into the "
                f"storage repository {storage.display_name!r}: it makes VHD images, which end at 2040 GiB.",
                reason="DISK_TOO_LARGE",
                hint="Name a storage repository that makes QCOW2 images.",
            )
        return QCOW2
    had = disk.image_format
    return had if had in (VHD, QCOW2) and had in (makes or ()) else ""


def changed(disk: ConfiguredDisk, made: str) -> tuple[Notice, ...]:
    """What to tell when a disk was made in another format than it had. Storage that tells none makes VHDs."""
    had, has = disk.image_format, made or VHD
    if not had or had == has:
        return ()
    told = (
        f"Disk {disk.display_name!r} ({disk.disk_id}) was a {had.upper()} image and is restored as a "
        f"{has.upper()} image: that is what its storage repository makes. Its data is the same."
    )
    return (Notice("IMAGE_FORMAT_CHANGED", told),)
